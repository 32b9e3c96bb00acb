"""A made-up dataset of coloured crops: an identity is a shirt and a trouser colour, a camera a brightness."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidkit.datasets import Frames, ReidDataset, Tracklet


def write_tracklet(folder: Path, identity: int, camera: int, frames: int) -> Frames:
    rng = np.random.default_rng([identity, camera])
    colours = np.random.default_rng(identity).integers(40, 215, (2, 3))
    files = []
    for index in range(frames):
        pixels = np.repeat(np.repeat(colours, [16, 16], axis=0)[:, None], 16, axis=1) + 12 * camera
        pixels = np.clip(pixels + rng.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)
        path = folder / f"{identity:04d}C{camera}F{index:03d}.jpg"
        Image.fromarray(pixels).save(path, quality=95)
        files.append(str(path))
    return Frames(tuple(files))


def make_dataset(folder: Path, train: int = 6, test: int = 4, cameras: int = 2, frames: int = 5) -> ReidDataset:
    """`train` and `test` identities, each once in every camera; captions name the identity."""
    folder.mkdir(parents=True, exist_ok=True)
    tracklets = [
        Tracklet(
            id=f"p{identity}c{camera}",
            identity=identity,
            camera=camera,
            frames=write_tracklet(folder, identity, camera, frames + identity % 2),
            captions=(f"person {identity}",) if identity <= train else (),
        )
        for identity in range(1, train + test + 1)
        for camera in range(cameras)
    ]
    inside = tuple(t for t in tracklets if t.identity <= train)
    outside = tuple(t for t in tracklets if t.identity > train)
    names = tuple(f"cam{c}" for c in range(cameras))
    return ReidDataset(folder.name, inside, outside, outside, "video-reid", names, folder)


@pytest.fixture
def made_up(tmp_path: Path) -> Callable[..., ReidDataset]:
    return lambda name="made-up", **sizes: make_dataset(tmp_path / name, **sizes)
