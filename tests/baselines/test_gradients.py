"""One step of every model and variant trains what is trainable, and holds what no loss can see.

In float64: a gradient that is zero in exact arithmetic is some 1e-16 of the largest there, one that is not is far
above. In float32 both are rounding now and then, and which depends on the processor.
"""

import importlib
from collections.abc import Callable

import pytest
import torch
from torch import nn

from reidkit.baselines.necks import hold_bias
from reidkit.cgclip.captions import EncodedCaption
from reidkit.training import zoo
from reidkit.training.losses import combine
from reidkit.training.optimiser import make_optimiser
from reidkit.training.recipe import Recipe

SMALL = ("height=64", "width=40", "backbone_width=8")
CLIP = ("pretrained=", "height=64", "width=32", "frames=2", "test_frames=2")
OVERRIDES = {
    "ap3d": ("height=64", "width=32"),  # any narrower, and the alignment's cosines are those of single numbers
    "ap3d_nl": ("height=64", "width=32", "layers=1,3,3,1"),  # a ReLU behind some non-local block
    "psta": ("height=64", "width=32", "backbone_width=8", "channels=64"),
    **dict.fromkeys(("tfclip", "clipreid", "vslaclip", "cgclip"), CLIP),
}
UNSEEN = {
    # a batch norm and differences are all that read the only feature
    "tfclip/baseline": {"image.ln_post.bias"},
    # a single token has nobody else to look at
    "cgclip/k1": {
        f"tfe.layers.{layer}.self_attention.{name}"
        for layer in range(2)
        for name in ("query.weight", "query.bias", "key.weight")
    },
}
ALL = [f"{name}/{v}".rstrip("/") for name in zoo.MODULES for v in ("", *getattr(zoo.module(name), "VARIANTS", {}))]
HOLDING = ["cgclip", "tfclip", "ap3d_nl", "bicnet", "stmn", "stmn/by-place"]


@pytest.fixture
def float64(parity):
    """What the models cast to float32 for mixed precision's sake stays float64, too."""
    with importlib.import_module("golden").float64():
        yield


def model_and_loss(name: str) -> tuple[torch.nn.Module, Recipe, Callable[[], torch.Tensor]]:
    """A model in training mode none of whose weights is zero, and its loss on one batch."""
    recipe = zoo.recipe(name, "tiny", OVERRIDES.get(name.partition("/")[0], SMALL))
    torch.manual_seed(0)
    model = zoo.module(name).build(recipe, 4, 2).double().train()
    with torch.no_grad():
        for parameter in model.parameters():  # nothing sleeps behind a zero, and ReLUs leave some maps empty
            parameter.add_(torch.randn_like(parameter), alpha=1.0 if parameter.ndim == 1 else 0.05)
        for key in ("memory", "text_features"):
            if hasattr(model, key):
                getattr(model, key).normal_()
    if hasattr(model, "bank"):
        width = model.bank.prototypes.shape[1]
        captions = [[EncodedCaption(torch.randn(3, width), torch.randn(width))] for _ in range(4)]
        model.bank.fill(captions, limit=8)
        model.bank.double()
    labels = torch.tensor([0, 0, 1, 1])
    clips = torch.randn(4, recipe.clip.frames, 3, recipe.clip.height, recipe.clip.width) + torch.randn(4, 1, 3, 1, 1)
    return model, recipe, lambda: combine(model(clips, torch.tensor([0, 1, 0, 1]), labels), labels, recipe)[0]


@pytest.mark.parametrize("name", ALL)
def test_a_step_trains_every_parameter(name, float64):
    model, recipe, loss = model_and_loss(name)
    optimiser = make_optimiser(model, recipe)
    loss().backward()
    trained = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert all((p.grad is None) or (id(p) in trained) for p in model.parameters())
    sizes = {
        n: 0.0 if p.grad is None else float(p.grad.abs().max()) for n, p in model.named_parameters() if id(p) in trained
    }
    without = {n for n, size in sizes.items() if size < 1e-10 * max(sizes.values())}
    assert without == UNSEEN.get(name, set())


@pytest.mark.parametrize("name", HOLDING)
def test_no_loss_sees_a_bias_that_is_held(name, float64):
    model, _, loss = model_and_loss(name)
    held = [buffer for key, buffer in model.named_buffers() if key.endswith(".bias")]
    assert held
    memory = {key: buffer.clone() for key, buffer in model.named_buffers() if key == "memory"}
    with torch.no_grad():
        before = loss()
        model.load_state_dict(memory, strict=False)  # it has followed the clips
        for bias in held:
            bias.normal_(std=3)
        torch.testing.assert_close(loss(), before, rtol=1e-9, atol=0)


def test_a_held_bias_keeps_its_name_and_its_value():
    torch.manual_seed(0)
    layer, plain = nn.Linear(3, 2), nn.Linear(3, 2)
    layer.load_state_dict(plain.state_dict())
    hold_bias(layer)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    x = torch.randn(4, 3)
    assert torch.equal(layer(x), plain(x))
    other = nn.Linear(3, 2)
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(x), other(x))
    assert layer.state_dict().keys() == plain.state_dict().keys()
