"""What every test may lean on.

A test's figures depend on neither chance, nor the clock, nor the tests before it. And there is a small dataset in our
format: the fixture `write_own` makes the folder that `read_dataset` reads.
"""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import settings
from PIL import Image

from reidkit.datasets.format import FRAME_COLUMNS, TRACKLET_COLUMNS

settings.register_profile("reidkit", deadline=None, derandomize=True)
settings.load_profile("reidkit")

# id, identity, kind, camera, event, role
ROWS = (
    ("a", 3, "person", "north", "final", "train"),
    ("b", 3, "person", "east", "final", "train"),
    ("c", 8, "person", "north", "final", "train"),
    ("d", 5, "person", "west", "heat", "query"),
    ("e", 5, "person", "east", "heat", "gallery"),
    ("f", 6, "person", "east", "heat", "query"),
    ("g", 6, "person", "north", "heat", "gallery"),
    ("h", -1, "junk", "east", "heat", "gallery"),
    ("i", 0, "distractor", "west", "heat", "gallery"),
)


def jpeg(rng: np.random.Generator, height: int = 40, width: int = 20) -> bytes:
    """Smooth random picture, JPEG bytes."""
    small = Image.fromarray(rng.integers(0, 256, (4, 2, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write(root: Path, rows=ROWS, frames: int = 5, manifest: dict | None = None) -> Path:
    """Writes every row's tracklet with `frames` crops into one tar shard a camera."""
    (root / "crops").mkdir(parents=True)
    rng = np.random.default_rng(0)
    tracklet_rows, frame_rows = [], []
    for camera in sorted({row[3] for row in rows}):
        shard = root / "crops" / f"{camera}.tar"
        with tarfile.open(shard, "w") as tar:
            for id_, identity, kind, _, event, role in (row for row in rows if row[3] == camera):
                row = dict.fromkeys(TRACKLET_COLUMNS)
                row |= {"id": id_, "identity": identity, "kind": kind, "camera": camera, "event": event, "role": role}
                row |= {"split": "train" if role == "train" else "test", "start": 1.0, "end": 2.0, "frames": frames}
                tracklet_rows.append(row)
                for index in range(frames):
                    data = jpeg(rng)
                    member = tarfile.TarInfo(f"{id_}/{index:06d}.jpg")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                    offset = tar.offset - -(-len(data) // 512) * 512
                    entry = dict.fromkeys(FRAME_COLUMNS, 0.0)
                    entry |= {"tracklet": id_, "frame": index, "shard": f"crops/{camera}.tar"}
                    entry |= {"offset": offset, "length": len(data)}
                    frame_rows.append(entry)
    order = {row[0]: i for i, row in enumerate(rows)}
    tracklet_rows.sort(key=lambda row: order[row["id"]])
    pl.DataFrame(tracklet_rows, schema=TRACKLET_COLUMNS).write_parquet(root / "tracklets.parquet")
    pl.DataFrame(frame_rows, schema=FRAME_COLUMNS).write_parquet(root / "frames.parquet")
    manifest = {"format": 1, "name": "small", "protocol": "video-reid"} if manifest is None else manifest
    (root / "dataset.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def write_own():
    return write


@pytest.fixture
def own_rows():
    return ROWS


@pytest.fixture
def make_jpeg():
    return jpeg


CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")  # Playwright keeps an event loop running, in which other modules could start none
def browser():
    """A headless Chromium; where there is none, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the dev extra has it)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine; `apt-get install chromium` brings it")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield opened
        opened.close()
