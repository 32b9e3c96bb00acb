"""Features by clips, beside a loop over tracklets without batches."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from reidkit.baselines import resnet50
from reidkit.datasets import ReidkitError
from reidkit.datasets.loader import decode_frames
from reidkit.datasets.sampling import (
    block_starts,
    dense_clips,
    first_clip,
    middle_frames,
    ragged_clips,
    spread_clips,
    strided_clips,
)
from reidkit.datasets.transforms import normalise
from reidkit.training.extraction import extract_features, frame_extractor

RECIPE = resnet50.RECIPES["tiny"].changed(backbone_width=8, height=32, width=16, test_frames=2, precision="bf16")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return resnet50.build(RECIPE, num_classes=3, num_cameras=2)


def slow_features(model, tracklets, recipe):
    model.eval()
    rows = []
    for tracklet in tracklets:
        n, T = len(tracklet.frames), recipe.test_frames
        clips = {
            "dense": dense_clips(n, T),
            "wrapped": dense_clips(n, T, wrap=True),
            "short": ragged_clips(n, T),
            "strided": strided_clips(n, T),
            "spread": middle_frames(n, T)[None],
            "interleaved": spread_clips(n, T),
            "blocks": block_starts(n, T),
            "first": first_clip(n, T),
        }
        total = 0
        for clip in clips[recipe.test_sampling if recipe.test_last == "cycled" else recipe.test_last]:
            pixels = normalise(decode_frames(tracklet.frames, clip, recipe.clip.height, recipe.clip.width), recipe.clip)
            cameras = torch.tensor([tracklet.camera])
            with torch.inference_mode():
                feature = model.embed(pixels[None], cameras)
                if recipe.test_flip:
                    feature = (feature + model.embed(pixels[None].flip(-1), cameras)) / 2
            total = total + feature[0] * len(clip)
        rows.append(torch.nn.functional.normalize(total, dim=0).numpy())
    return np.stack(rows)


@pytest.mark.parametrize(
    "sampling", ["dense", "wrapped", "short", "spread", "strided", "interleaved", "blocks", "first"]
)
@pytest.mark.parametrize("flip", [False, True])
def test_equals_the_twin_whatever_the_batch(made_up, model, sampling, flip):
    dataset = made_up()
    last = {"test_last": sampling} if sampling in ("wrapped", "short") else {"test_sampling": sampling}
    recipe = dataclasses.replace(RECIPE, **last, test_flip=flip)
    expected = slow_features(model, dataset.test, recipe)
    model.train()
    for batch, workers in ((1, 0), (3, 2), (100, 0)):
        features = extract_features(model, dataset.test, recipe, batch_clips=batch, workers=workers)
        assert features.dtype == np.float32
        assert features.shape == (len(dataset.test), 256)
        assert np.allclose(features, expected, atol=1e-5)
        assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    assert model.training  # as it was found


def test_a_feature_that_is_not_finite_is_reported(made_up, model):
    dataset = made_up(train=2, test=2)
    nn.init.constant_(model.backbone.conv1.weight, float("nan"))
    with pytest.raises(ReidkitError, match="'p3c0' is not finite"):
        extract_features(model, dataset.test, RECIPE)


def test_no_tracklets(model):
    with pytest.raises(ReidkitError, match="no tracklets"):
        extract_features(model, [], RECIPE)


def test_frame_extractor_gives_every_frame_in_order(made_up):
    dataset = made_up(train=3)
    seen = []

    def function(images, cameras):
        seen.append(len(images))
        assert images.shape[1:] == (3, 32, 16)
        return torch.stack([images.mean((1, 2, 3)), cameras.float()], dim=1)

    found = frame_extractor(RECIPE)(dataset.train, function)
    assert [len(f) for f in found] == [len(t.frames) for t in dataset.train]
    for tracklet, values in zip(dataset.train, found, strict=True):
        pixels = decode_frames(tracklet.frames, range(len(tracklet.frames)), 32, 16)
        assert torch.allclose(values[:, 0], normalise(pixels, RECIPE.clip).mean((1, 2, 3)), atol=1e-5)
        assert (values[:, 1] == tracklet.camera).all()
    assert not found[0].is_inference()  # it may become a buffer that gradients pass
