"""A made-up dataset in memory: identities that differ in colour, and say so in their captions."""

from pathlib import Path

import pytest
import torch

from reidkit.cgclip.model import RECIPES, CgclipRecipe
from reidkit.datasets import ReidDataset, Tracklet
from reidkit.datasets.tracklet import Frames

COLOURS = {"red": (2.0, -1.0, -1.0), "green": (-1.0, 2.0, -1.0), "blue": (-1.0, -1.0, 2.0), "grey": (0.0, 0.0, 0.0)}
NAMES = tuple(COLOURS)


@pytest.fixture
def recipe() -> CgclipRecipe:
    """Size tiny on 32x16 pixels: 4x2 patches, 2 frames."""
    return RECIPES["tiny"].changed(height=32, width=16, frames=2, test_frames=2, tokens=3)


@pytest.fixture
def dataset(tmp_path: Path) -> ReidDataset:
    """Four identities, two tracklets of three frames each; the last identity has no caption."""

    def tracklet(identity: int, camera: int) -> Tracklet:
        name = NAMES[identity]
        captions = () if name == "grey" else (f"a person with {name} shoes, camera {camera} of the hall",)
        frames = Frames(tuple(f"{name}-{camera}-{i}.jpg" for i in range(3)))
        return Tracklet(f"{name}-{camera}", identity, camera, frames, captions=captions)

    train = tuple(tracklet(identity, camera) for identity in range(4) for camera in range(2))
    return ReidDataset("made-up", train, (), (), "video-reid", ("a", "b"), root=tmp_path)


def paint(names: list[str], height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Noise with shoes of the colour: float [N, 3, H, W]."""
    images = 0.3 * torch.randn(len(names), 3, height, width, generator=torch.Generator().manual_seed(seed))
    for image, name in zip(images, names, strict=True):
        image[:, -height // 4 :] += torch.tensor(COLOURS[name])[:, None, None]
    return images


@pytest.fixture
def extract(recipe: CgclipRecipe):
    """Stands in for `training.extraction.frame_extractor`."""

    def run(tracklets, function):
        results = []
        for t in tracklets:
            images = paint([t.id.split("-")[0]] * len(t.frames), recipe.clip.height, recipe.clip.width)
            results.append(function(images, torch.full((len(images),), t.camera)).cpu())
        return results

    return run


@pytest.fixture
def batch(recipe: CgclipRecipe):
    """`batch(seed)` -> clips [8, 2, 3, 32, 16], cameras [8], labels [8]: four identities x 2."""

    def make(seed: int = 0):
        labels = torch.arange(4).repeat_interleave(2)
        names = [NAMES[label] for label in labels.tolist() for _ in range(recipe.clip.frames)]
        images = paint(names, recipe.clip.height, recipe.clip.width, seed)
        return images.unflatten(0, (8, recipe.clip.frames)), torch.arange(8) % 2, labels

    return make
