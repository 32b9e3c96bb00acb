"""VSLA-CLIP: parity with the authors' code, its adapters against loops, and what trains."""

import dataclasses

import pytest
import torch

from reidkit.baselines import vslaclip
from reidkit.baselines.clip import load_clip
from reidkit.training import zoo
from reidkit.training.losses import combine
from reidkit.training.optimiser import make_optimiser

TINY = vslaclip.RECIPES["tiny"]
CLASSES, CAMERAS = 4, 2


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 2, 3, 128, 64, generator=generator), torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 3, 3])


def filled(recipe=TINY):
    """A tiny model whose adapters do something."""
    torch.manual_seed(0)
    model = vslaclip.build(recipe, CLASSES, CAMERAS)
    model.text_features.normal_()
    for name, parameter in model.named_parameters():
        if name.endswith("up.weight"):
            torch.nn.init.normal_(parameter, std=0.02)
    return model


@pytest.mark.slow
def test_parity_with_the_authors_code(parity, golden_folder):
    golden = parity.Golden("vslaclip", golden_folder("vslaclip"), 0, lengths=(8,), variants=False)
    differences = golden.compare(parity.compute(golden))
    given = {n: v for n, v in differences.items() if not n.startswith(("T4/", "feature_T4", "T8_pbp/", "feature_pbp"))}
    assert None not in given.values()
    assert max(given.values()) < parity.BOUND, given
    assert golden.unexpected == []
    assert golden.missing == ["text_features"]


@pytest.mark.slow
def test_parity_with_four_frames_and_with_the_camera_prompt(parity, golden_folder):
    golden = parity.Golden("vslaclip", golden_folder("vslaclip"), 0)
    assert max(golden.compare(parity.compute(golden)).values()) < parity.BOUND


@torch.no_grad()
def test_as_built_it_is_clip():
    torch.manual_seed(0)
    model = vslaclip.build(TINY, CLASSES, CAMERAS).eval()
    clips, cameras, _ = batch()
    plain = load_clip("tiny", TINY.pretrained, 128, 64).image
    expected = plain(clips.flatten(0, 1)).final[:, 0].unflatten(0, (4, 2)).mean(1)
    torch.testing.assert_close(model.clip_features(clips, cameras)["image"], expected, atol=1e-5, rtol=1e-5)
    # and stage 1 reads CLIP even when the adapters do something
    changed = filled().eval()
    images = clips[:, 0]
    torch.testing.assert_close(changed.stage1_features(images), plain(images).projected[:, 0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_frame_adapter_equals_a_loop_over_places():
    adapter = vslaclip.FrameAdapter(width=12, inner=8, heads=2)
    torch.nn.init.normal_(adapter.up.weight)
    x = torch.randn(2 * 3, 5, 12)  # two clips of three frames
    result = adapter(x, frames=3)
    for clip in range(2):
        for place in range(5):
            over_time = adapter.down(x[3 * clip : 3 * clip + 3, place])
            expected = adapter.up(adapter.attn(over_time[None])[0])
            torch.testing.assert_close(result[3 * clip : 3 * clip + 3, place], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other():
    model = filled().eval()
    clips, cameras, _ = batch()
    torch.testing.assert_close(
        model.embed(clips, cameras)[2:], model.embed(clips[2:], cameras[2:]), atol=1e-5, rtol=1e-5
    )
    # the frames of a clip do
    mixed = torch.stack([clips[0, 0], clips[1, 1]])[None]
    single = [model.embed(mixed[:, t : t + 1], cameras[:1]) for t in range(2)]
    assert not torch.allclose(model.embed(mixed, cameras[:1]), (single[0] + single[1]) / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [("vslaclip", ()), ("vslaclip", ("frozen=true",)), ("vslaclip/finetune", ()), ("vslaclip/camera-prompt", ())],
)
def test_gradients_reach_what_trains_and_nothing_else(name, overrides):
    recipe = zoo.recipe(name, "tiny", overrides)
    model = filled(recipe).train()
    optimiser = make_optimiser(model, recipe)
    clips, cameras, labels = batch()
    combine(model(clips, cameras, labels), labels, recipe)[0].backward()
    trained = {id(p) for group in optimiser.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        frozen = name.startswith(("text.", "prompts.")) or "norm.bias" in name
        if recipe.adapters and recipe.frozen:
            frozen |= name.startswith("image.") and ".across." not in name and ".adapter." not in name
        assert (id(parameter) in trained) == (not frozen), name
        assert (parameter.grad is None) == frozen, name


def test_the_contrast_goes_both_ways():
    model = filled().eval()
    clips, cameras, labels = batch()
    output = model(clips, cameras, labels)
    videos, texts = output.features["projection"].detach(), model.text_features[labels]

    def one_way(anchors, others):
        total = 0.0
        for i in range(4):
            log = torch.log_softmax(others @ anchors[i], dim=0)
            positives = [float(log[j]) for j in range(4) if labels[j] == labels[i]]
            total -= sum(positives) / len(positives)
        return total / 4

    expected = one_way(videos, texts) + one_way(texts, videos)
    assert float(output.losses["contrast"].detach()) == pytest.approx(expected, rel=1e-4)


def test_the_camera_prompt_matters_only_where_it_is_on():
    clips, cameras, _ = batch()
    for name, differs in (("vslaclip", False), ("vslaclip/camera-prompt", True)):
        model = filled(zoo.recipe(name, "tiny")).eval()
        if model.camera_prompts is not None:
            torch.nn.init.normal_(model.camera_prompts)
        with torch.no_grad():
            same = torch.allclose(model.embed(clips, cameras), model.embed(clips, 1 - cameras))
        assert same != differs


def test_a_name_that_nobody_knows_is_kept():
    converted = vslaclip.convert({"image_encoder.transformer.resblocks.3.dat.up.bias": 1, "center.loss": 2})
    assert converted == {"image.transformer.resblocks.3.adapter.up.bias": 1, "center.loss": 2}


@pytest.mark.slow
def test_a_step_at_full_size():
    recipe = dataclasses.replace(vslaclip.RECIPES["full"], pretrained="")
    model = vslaclip.build(recipe, 6, 2).train()
    optimiser = make_optimiser(model, recipe)
    labels = torch.tensor([0, 0, 1, 1])
    total, _ = combine(model(torch.randn(4, 2, 3, 256, 128), labels, labels), labels, recipe)
    total.backward()
    optimiser.step()
    assert bool(torch.isfinite(total))
