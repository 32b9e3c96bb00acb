"""The small twins of the comparisons with the authors' code, which take minutes at full size (`pytest -m slow`).

The tiny models, filled by the rule of the golden figures, in float64: what `embed` gives, every loss of a step, and the
gradients. The figures are ours, taken when the full-size models were shown equal to the authors' (`small_steps.json`);
whoever changes a model so that they change shows it equal again by the slow tests, and then writes them anew:

    python tests/baselines/test_small_steps.py
"""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reidkit.training import zoo
from reidkit.training.losses import combine

FIGURES = Path(__file__).with_name("small_steps.json")
SMALL = ("height=64", "width=40", "backbone_width=8")
OVERRIDES = {
    "ap3d": ("height=64", "width=32", "layers=1,1,1,1"),
    "ap3d_nl": ("height=64", "width=32", "layers=1,1,3,1"),
    "psta": ("height=64", "width=32", "backbone_width=8", "channels=64"),
    **dict.fromkeys(("tfclip", "clipreid", "vslaclip"), ("pretrained=",)),
}
MODELS = ("tfclip", "clipreid", "vslaclip", "ap3d", "ap3d_nl", "bicnet", "psta", "stmn", "sinet")
CLASSES, CAMERAS = 4, 2


def figures_of(name: str) -> dict[str, list[float]]:
    """What a tiny model computes, as lists of numbers by name."""
    golden = importlib.import_module("golden")
    with golden.float64():
        recipe = zoo.recipe(name, "tiny", OVERRIDES.get(name, SMALL))
        model = zoo.module(name).build(recipe, CLASSES, CAMERAS)
        state = {n: torch.from_numpy(golden.fill(n, tuple(t.shape), 0)).to(t) for n, t in model.state_dict().items()}
        model.load_state_dict(state)
        model.double()
        drawn = np.random.Generator(np.random.PCG64(7))
        shape = (4, recipe.clip.frames, 3, recipe.clip.height, recipe.clip.width)
        clips = torch.from_numpy(drawn.standard_normal(shape) + drawn.standard_normal((4, 1, 3, 1, 1)))
        cameras, labels = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
        with torch.no_grad():
            embedded = model.eval().embed(clips[:2], cameras[:2])
        for module in model.modules():  # what is drawn by chance would make the figures those of one generator
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        total, parts = combine(model.train()(clips, cameras, labels), labels, recipe)
        total.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found = {"feature": [*embedded[:, :4].flatten().tolist(), float(embedded.norm())]}
        found |= {f"loss/{key}": [float(value)] for key, value in parts.items()}
        return found | {"gradient": [float(torch.stack([g.norm() for g in gradients]).norm()), len(gradients)]}


@pytest.mark.parametrize("name", MODELS)
def test_a_small_model_computes_what_it_did_when_it_was_compared(parity, name):
    expected = json.loads(FIGURES.read_text())[name]
    found = figures_of(name)
    assert found.keys() == expected.keys()
    assert {key: values for key, values in found.items() if values != pytest.approx(expected[key], rel=1e-6)} == {}


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    lines = [f'"{name}": {json.dumps(figures_of(name))}' for name in MODELS]
    FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
