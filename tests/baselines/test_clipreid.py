"""CLIP-ReID: parity with the authors' code, the second stage's losses, and what trains."""

import dataclasses

import pytest
import torch

from reidkit.baselines import clipreid
from reidkit.datasets import Frames, ReidDataset, Tracklet
from reidkit.training import zoo
from reidkit.training.losses import combine
from reidkit.training.optimiser import make_optimiser

TINY = dataclasses.replace(clipreid.RECIPES["tiny"], camera_weight=1.0)
CLASSES, CAMERAS = 4, 2


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 2, 3, 128, 64, generator=generator), torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 3, 3])


def filled(recipe=TINY):
    torch.manual_seed(0)
    model = clipreid.build(recipe, CLASSES, CAMERAS)
    model.text_features.normal_()
    return model


def test_parity_with_the_authors_code(parity, golden_folder):
    golden = parity.Golden("clipreid", golden_folder("clipreid"), 0)
    differences = golden.compare(parity.compute(golden))
    assert None not in differences.values()
    assert max(differences.values()) < parity.BOUND, differences
    assert golden.unexpected == []
    assert golden.missing == ["text_features"]


@torch.no_grad()
def test_features_are_means_over_the_frames():
    model = filled().eval()
    clips, cameras, _ = batch()
    frames = [model.clip_features(clips[:, t : t + 1], cameras) for t in range(2)]
    for name, feature in model.clip_features(clips, cameras).items():
        torch.testing.assert_close(feature, (frames[0][name] + frames[1][name]) / 2, atol=1e-5, rtol=1e-5)


def test_the_texts_classify_the_videos():
    model = filled().eval()
    clips, cameras, labels = batch()
    output = model(clips, cameras, labels)
    expected = 0.0
    for v, label in zip(output.features["projection"], labels, strict=True):
        log = torch.log_softmax(torch.stack([v @ text for text in model.text_features]), dim=0)
        expected -= sum((0.9 * (y == int(label)) + 0.1 / CLASSES) * log[y] for y in range(CLASSES))
    assert float(output.losses["image_to_text"].detach()) == pytest.approx(float(expected.detach()) / 4, rel=1e-4)
    assert list(output.features) == ["penultimate", "image", "projection"]
    assert list(output.logits) == ["image", "projection"]
    assert model.embed(clips, cameras).shape == (4, 192 + 128)


@pytest.mark.parametrize("variant", ["", *clipreid.VARIANTS])
def test_gradients_reach_what_trains_and_nothing_else(variant):
    recipe = zoo.recipe(f"clipreid/{variant}".rstrip("/"), "tiny")
    model = filled(recipe).train()
    optimiser = make_optimiser(model, recipe)
    clips, cameras, labels = batch()
    combine(model(clips, cameras, labels), labels, recipe)[0].backward()
    trained = {id(p) for group in optimiser.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in trained) == (not name.startswith(("text.", "prompts.")) and "norm.bias" not in name)
        assert (parameter.grad is not None) == (id(parameter) in trained), name


def test_prepare_fits_prompts_to_the_tracklets_features():
    model = filled(dataclasses.replace(TINY, prompt_epochs=12, prompt_lr=0.05))
    model.text_features.zero_()
    labels = torch.arange(3 * CLASSES) % CLASSES
    train = tuple(Tracklet(str(i), 7 + int(y), 0, Frames(("a", "b"))) for i, y in enumerate(labels))
    dataset = ReidDataset("made-up", train, (), (), "video-reid")
    centres = 2 * torch.randn(CLASSES, 128)

    def extract(tracklets, function):
        with torch.no_grad():  # the model's own function, for its shape; made-up features, for their meaning
            assert function(torch.randn(2, 3, 128, 64), torch.zeros(2, dtype=torch.long)).shape == (2, 128)
            return [centres[y] + 0.1 * torch.randn(2, 128) for y in labels[: len(tracklets)]]

    model.prepare(dataset, extract)
    assert ((centres @ model.text_features.T).argmax(1) == torch.arange(CLASSES)).all()


def test_text_scores_are_float32_under_autocast():
    model = filled().eval()
    model.text_features.mul_(30)
    clips, cameras, labels = batch()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = model(clips, cameras, labels)
    scores = output.features["projection"].float() @ model.text_features.T
    expected = torch.nn.functional.cross_entropy(scores, labels, label_smoothing=0.1)
    torch.testing.assert_close(output.losses["image_to_text"], expected, atol=1e-4, rtol=1e-5)


def test_a_checkpoint_without_cameras_gives_the_feature_without_them():
    whole, without = filled().eval(), filled(dataclasses.replace(TINY, camera_weight=0.0)).eval()
    report = whole.load_state_dict(without.state_dict(), strict=False)
    assert report.missing_keys == ["cameras"]
    clips, cameras, _ = batch()
    with torch.no_grad():
        torch.testing.assert_close(whole.embed(clips, cameras), without.embed(clips, cameras))


def test_a_name_that_nobody_knows_is_kept():
    converted = clipreid.convert({"classifier_proj.weight": torch.ones(1), "center.loss": torch.ones(1)})
    assert sorted(converted) == ["center.loss", "necks.projection.classifier.weight"]
