"""Pictures for a page: each tracklet a strip of small JPEG crops that plays where the pointer rests.

    library = open_library(result, data=None, near=Path("results"))
    album = Album()
    album.strip(library, tracklet)               # the class of its strip
    album.css                                    # a rule a strip, whatever the number of lists it stands in

A strip is embedded once. When the pictures reach the limit, what comes later is shown by its name.
"""

import base64
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ...datasets import ReidDataset, ReidkitError, Tracklet, UsageError
from ...datasets.benches import BENCHES, VARIANTS
from ...datasets.images import crop
from ...datasets.own import read_dataset
from ...datasets.sampling import middle_frames
from ..gallery import camera_name
from ..results import Result

WIDTH, HEIGHT = 72, 144  # of a crop, in pixels
FRAMES = 6  # of a strip
QUALITY = 72
LIMIT = 6_000_000  # bytes of all strips, as base64


@dataclass(frozen=True)
class Library:
    """The tracklets of a result's dataset; `dataset` None and the `reason` where they are not at hand."""

    name: str
    dataset: ReidDataset | None = None
    reason: str = ""
    by_id: dict[str, Tracklet] = field(default_factory=dict, repr=False)

    def camera(self, index: int) -> str:
        """The camera's name; a number where the dataset gives none."""
        return camera_name(self.dataset, index)


def library_of(dataset: ReidDataset) -> Library:
    """A library of an open dataset."""
    return Library(dataset.name, dataset, by_id={t.id: t for t in (*dataset.train, *dataset.query, *dataset.gallery)})


def open_library(result: Result, data: Path | None = None, near: Path | None = None) -> Library:
    """The dataset that `result` was computed on, looked for where the result says, below `data`, and beside `near`.

    Its fingerprint must be the result's (of a bench of several splits only the names are compared, later).
    """
    name = result.dataset.get("name") or result.bench
    told = Path(result.dataset.get("path") or name)
    tried, reason = [], ""
    for path in (told, *([data / name, data / result.bench, data / told.name] if data else []), *_beside(near, told)):
        if path in tried or not os.path.isdir(path):  # False, too, for what can't be a path
            continue
        tried.append(path)
        try:
            dataset = _read(result.bench, path)
        except ReidkitError as error:
            reason = str(error)
            continue
        if not result.splits and dataset.fingerprint != result.fingerprint:
            reason = f"'{path}' has another fingerprint than the result: it was changed, or built anew."
            continue
        return library_of(dataset)
    return Library(name, reason=reason or f"there is no dataset at '{told}'; --data gives the folder it lies in.")


def _beside(near: Path | None, told: Path) -> list[Path]:
    """A relative path was written by a command that ran elsewhere, maybe above the results."""
    return [] if near is None or told.is_absolute() else [folder / told for folder in near.resolve().parents[:3]]


def _read(bench: str, path: Path) -> ReidDataset:
    if bench in BENCHES:
        return BENCHES[bench](path, 0)
    if bench in VARIANTS:
        return VARIANTS[bench][1](path, 0)
    return read_dataset(path)


@dataclass(frozen=True)
class Shot:
    """A tracklet on the page.

    Attributes:
        verdict: "query", "right", "wrong", or "unknown" where its identity is not known.
        strip: the class of its strip; "" without a picture.
        identity: a person's; None where it is not known, or there is none.
        place: in the list, from 1; 0 outside one.
    """

    id: str
    verdict: str
    strip: str = ""
    identity: int | None = None
    distractor: bool = False
    camera: str = ""
    place: int = 0
    distance: float | None = None

    @property
    def words(self) -> str:
        """What a screen reader says."""
        place = f"rank {self.place}, " if self.place else ""
        who = ", distractor" if self.distractor else "" if self.identity is None else f", identity {self.identity}"
        where = f", {self.camera}" if self.camera else ""
        return f"{place}tracklet {self.id}{who}{where}: {self.verdict}"


class Album:
    """The strips of a page, each made once, up to `limit` bytes.

    Args:
        cover: what is done to each crop (uint8 RGB [H, W, 3]) first, as `datasets.heads.cover_by_proportion`.
    """

    def __init__(self, limit: int = LIMIT, cover: Callable[[np.ndarray], np.ndarray] | None = None):
        self.limit, self.bytes, self.cover = limit, 0, cover
        self.left_out: set[tuple[str, str]] = set()
        self.broken: dict[str, str] = {}
        self._strips: dict[tuple[str, str], tuple[str, str]] = {}

    @property
    def css(self) -> str:
        """A rule a strip. Base64 and our own class names: nothing in it needs escaping."""
        return "\n".join(
            f".{name}{{background-image:url(data:image/jpeg;base64,{data})}}" for name, data in self._strips.values()
        )

    def strip(self, library: Library, tracklet: Tracklet) -> str:
        """The class of the tracklet's strip; "" where there is no room left, or a crop can't be read."""
        key = (library.dataset.fingerprint if library.dataset else library.name, tracklet.id)
        if key in self._strips:
            return self._strips[key][0]
        if key in self.left_out or tracklet.id in self.broken:
            return ""
        try:
            data = base64.b64encode(make_strip(tracklet, self.cover)).decode()
        except UsageError as error:
            self.broken[tracklet.id] = str(error)
            return ""
        if self.bytes + len(data) > self.limit:
            self.left_out.add(key)
            return ""
        self.bytes += len(data)
        self._strips[key] = (f"strip{len(self._strips)}", data)
        return self._strips[key][0]


def make_strip(tracklet: Tracklet, cover: Callable[[np.ndarray], np.ndarray] | None = None) -> bytes:
    """JPEG of `FRAMES` crops side by side, evenly spread over the tracklet.

    Each is stretched to 1:2, as the models see it.

    Raises:
        UsageError: a crop that is absent, cut, or no picture.
    """
    strip = Image.new("RGB", (WIDTH * FRAMES, HEIGHT))
    for column, index in enumerate(np.asarray(middle_frames(len(tracklet.frames), FRAMES)).ravel().tolist()):
        picture = crop(tracklet.frames, index)
        small = Image.fromarray(cover(picture) if cover else picture).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        strip.paste(small, (column * WIDTH, 0))
    out = io.BytesIO()
    strip.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()
