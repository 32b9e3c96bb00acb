"""The two things every other package speaks of: a `Tracklet` and a `ReidDataset`.

Example:

    dataset = read_dataset("demo/sports")          # datasets/own.py
    for tracklet in dataset.train:
        jpeg = tracklet.frames.read(0)
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .errors import UsageError

if TYPE_CHECKING:
    from .manifest import Manifest

JUNK = -1  # identity of a junk tracklet, as in MARS' folder `00-1`
DISTRACTOR = 0  # identity of a distractor, as in MARS' folder `0000`; only at the MARS border
Kind = Literal["person", "junk", "distractor"]


@dataclass(frozen=True, slots=True)
class Frames:
    """Where a tracklet's JPEG or PNG images are, in time order.

    Either one file a frame (`files[i]`), or all in one shard (`files[0]`) at `offsets[i]`, `lengths[i]` bytes.
    """

    files: tuple[str, ...]
    offsets: tuple[int, ...] | None = None
    lengths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if (self.offsets is None) != (self.lengths is None):
            raise ValueError("offsets and lengths come together")
        if self.offsets is None or self.lengths is None:
            return
        if len(self.files) != 1 or len(self.offsets) != len(self.lengths):
            raise ValueError("a sharded tracklet has one file, and as many offsets as lengths")

    def __len__(self) -> int:
        return len(self.files if self.offsets is None else self.offsets)

    def place(self, index: int) -> tuple[str, int, int]:
        """(file, first byte, number of bytes) of the image at `index`; -1 bytes: the whole file."""
        if self.offsets is None or self.lengths is None:
            return self.files[index], 0, -1
        return self.files[0], self.offsets[index], self.lengths[index]

    def read(self, index: int) -> bytes:
        """The encoded image at `index`.

        Raises:
            UsageError: the file is absent or shorter than the index says.
        """
        path, offset, length = self.place(index)
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            raise UsageError(
                f"Cannot read frame '{path}': {error.strerror}. Check that the dataset is whole."
            ) from None
        if not data or (length >= 0 and len(data) != length):
            raise UsageError(
                f"'{path}' is shorter than the dataset's index says. The file was cut; fetch or build it again."
            )
        return data


@dataclass(frozen=True, slots=True)
class Tracklet:
    """One person's crops from one camera, in time order.

    Attributes:
        id: unique within the dataset.
        identity: the person; `JUNK` where `kind` is "junk", `DISTRACTOR` where it is "distractor".
        camera: index into `ReidDataset.cameras`.
        event: the match, rehearsal or recording; 0 where a dataset has only one.
        start, end: seconds from the start of the source; 0 where not known.
        captions: texts that describe the identity; empty where there are none.
        outfit: what the person wears, a name among those of its identity; "" where not known.
    """

    id: str
    identity: int
    camera: int
    frames: Frames
    kind: Kind = "person"
    event: int = 0
    start: float = 0.0
    end: float = 0.0
    captions: tuple[str, ...] = ()
    outfit: str = ""


@dataclass(frozen=True)
class ReidDataset:
    """A dataset as training and evaluation see it.

    Attributes:
        train: persons only; `train_left_out` counts the training tracklets that are nobody's.
        query: tracklets that are searched for; persons only.
        gallery: every test tracklet that may be ranked, the queries among them where the files have them there, junk
            and distractors too: which of them count is the protocol's business.
        protocol: name of the evaluation protocol (`leaderboard.protocols`).
        cameras, events: names, by index; empty where the files give none.
        root: the folder it was read from.
        manifest: what the build of a dataset in our format says of itself; None for the public benches.
    """

    name: str
    train: tuple[Tracklet, ...]
    query: tuple[Tracklet, ...]
    gallery: tuple[Tracklet, ...]
    protocol: str
    cameras: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    root: Path = Path()
    manifest: "Manifest | None" = None
    train_left_out: int = 0

    @cached_property
    def identities(self) -> tuple[int, ...]:
        """Training identities, sorted; a classifier's class i is `identities[i]`."""
        return tuple(sorted({t.identity for t in self.train}))

    @cached_property
    def label_of(self) -> Mapping[int, int]:
        """Training identity -> class index."""
        return {identity: label for label, identity in enumerate(self.identities)}

    @cached_property
    def num_cameras(self) -> int:
        """Size of a camera embedding: the number of named cameras, or as many as the indices in use need."""
        used = [t.camera for part in (self.train, self.query, self.gallery) for t in part]
        return max([len(self.cameras), *(c + 1 for c in used)], default=0)

    @cached_property
    def test(self) -> tuple[Tracklet, ...]:
        """Every test tracklet once: the queries, then the gallery without them."""
        ids = {t.id for t in self.query}
        return self.query + tuple(t for t in self.gallery if t.id not in ids)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the index: ids, labels, and where each frame is below `root`.

        Same files, same order, same value.

        Captions are not part of it: they change training, never what a score is computed on.
        """
        digest = hashlib.sha256(f"{self.protocol}\n".encode())
        root = f"{self.root}/"
        for part in (self.train, self.query, self.gallery):
            digest.update(b"--\n")
            for t in part:
                files = [f.removeprefix(root) for f in t.frames.files]
                row = [t.id, t.identity, t.camera, t.kind, t.event, files, t.frames.offsets, t.frames.lengths]
                worn = [t.outfit] if t.outfit else []  # so that datasets without outfits keep their value
                digest.update(json.dumps(row + worn).encode())
        return digest.hexdigest()
