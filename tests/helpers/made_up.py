"""A made-up dataset of coloured crops: an identity is a shirt and a trouser colour, a camera a brightness."""

import json
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from reidkit.datasets import Frames, ReidDataset, Tracklet
from reidkit.datasets.format import FORMAT_VERSION, FRAME_COLUMNS, TRACKLET_COLUMNS


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


def write_own(root: Path, name: str, **sizes) -> Path:
    """A made-up dataset in our format."""
    dataset = make_dataset(root / f"{name}-images", **sizes)
    folder = root / name
    (folder / "crops").mkdir(parents=True)
    queries = {t.id for t in dataset.query}
    tracklets, frames = [], []
    with tarfile.open(folder / "crops" / "all.tar", "w", format=tarfile.USTAR_FORMAT) as shard:
        for t in (*dataset.train, *dataset.test):
            role = "query" if t.id in queries else "train"
            for index, file in enumerate(t.frames.files):
                start = shard.offset + tarfile.BLOCKSIZE  # behind the header
                shard.add(file, Path(file).name)
                frames.append((t.id, index, index / 10, *[0.0] * 8, "crops/all.tar", start, Path(file).stat().st_size))
            split = "train" if role == "train" else "test"
            row = (
                t.id,
                t.identity,
                "person",
                f"cam{t.camera}",
                "e",
                split,
                role,
                0.0,
                1.0,
                len(t.frames),
                1.0,
                1.0,
                None,
            )
            tracklets.append(row)
    pl.DataFrame(tracklets, schema=TRACKLET_COLUMNS, orient="row").write_parquet(folder / "tracklets.parquet")
    pl.DataFrame(frames, schema=FRAME_COLUMNS, orient="row").write_parquet(folder / "frames.parquet")
    (folder / "dataset.json").write_text(json.dumps({"format": FORMAT_VERSION, "name": name}))
    return folder
