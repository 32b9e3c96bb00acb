"""`dataset.json`, the manifest of a dataset in our format: its schema and its one reader.

Example:

    manifest = read_manifest("demo/sports")
    manifest.protocol, manifest.split.by
"""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .errors import UsageError
from .files import lies_below
from .format import ASIDE, FORGETTING_PLAN, FORMAT_VERSION, MANIFEST
from .names import check_name
from .rights import Rights
from .schema import decode_json, read_bytes

FIX = "Copy the whole folder again, or build the dataset again."
PROTOCOL = "video-reid"  # where the manifest names no other, such as `single-camera-views`

Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Figure = bool | int | float | str | None


@dataclass(frozen=True)
class Division:
    """How a build divided train and test.

    Attributes:
        by: "event", "identity", or "test" where all of it is the test set.
        test_share: of the identities, 0 to 1.
        folds: number of parts, each of which is the test set of a fold; None: there are no folds.
        validation: share of the training identities that validate (`sides.validation_identities`), 0 to 1.
    """

    by: str = ""
    test_share: float | None = None
    seed: int | None = None
    folds: Annotated[int, Meta(ge=2, le=1000)] | None = None
    validation: Annotated[float, Meta(ge=0, lt=1)] = 0.0


@dataclass(frozen=True)
class SourceFacts:
    """One video or image sequence that the dataset was built from.

    Attributes:
        file: its name, without the folder.
        sha256: of the file, or of a sequence's files; "" where not known.
        seconds: its duration.
        offset: seconds from the event's start to the source's.
        width, height: of its pictures in pixels; 0 where not known.
        fps: frames a second; 0 where not known.
        activity: the event's sport or dance; "" where nobody said.
        scores: of the final identities in it against ground truth; None where there was none.
    """

    event: str = ""
    camera: str = ""
    activity: str = ""
    kind: str = ""
    file: str = ""
    sha256: str = ""
    seconds: float = 0.0
    offset: float = 0.0
    width: Count = 0
    height: Count = 0
    fps: Annotated[float, Meta(ge=0)] = 0.0
    scores: dict[str, Figure] | None = None


@dataclass(frozen=True)
class SamePerson:
    """Two identities of two events that may be one person.

    Attributes:
        identities: their numbers.
        events: of each.
        probability: that they are, 0 to 1.
    """

    identities: tuple[int, int]
    events: tuple[str, str]
    probability: Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True)
class Manifest:
    """What `dataset.json` says. Its further keys, a build's settings among them, are not read back.

    Attributes:
        name: of the dataset; never empty.
        protocol: name of its evaluation protocol, well formed, but not looked up: `leaderboard.protocols` knows them.
        counts: what the tables hold, as `toolkit.manifest.counts` gives it.
        losses: frames, boxes and crops that the build lost or left out.
        scores: of the build against ground truth; None where there was none. `midf1`, `idf1` and `hota` are those of
            the final identities, `raw_idf1` and `raw_hota` those of the tracklets before they were cut and linked.
        same_person: who may stand in two events, likeliest first.
        notes: sentences for whoever uses the dataset.
        rights: consent and licence as the build was told them; `rights.toml` may say more (`rights.read_rights`).
        files: name below the dataset's folder -> sha256.
        build: stands for all that decided the build; "" for a dataset that was not built by reidkit.
    """

    format: int
    name: str = ""
    protocol: str = PROTOCOL
    counts: dict[str, Count] = field(default_factory=dict)
    losses: dict[str, Count] = field(default_factory=dict)
    split: Division | None = None
    scores: dict[str, Figure] | None = None
    sources: tuple[SourceFacts, ...] = ()
    same_person: tuple[SamePerson, ...] = ()
    notes: tuple[str, ...] = ()
    rights: Rights = Rights()
    files: dict[str, Sha256] = field(default_factory=dict)
    fingerprint: str | None = None
    build: str = ""


def read_manifest(root: Path | str) -> Manifest:
    """The manifest of the dataset folder `root`.

    Raises:
        UsageError: no folder, no manifest (its build, or a new division, didn't finish), another format version, a
            value that doesn't fit the schema, or a name that can't be a folder's, the dataset's own or its protocol's.
    """
    root = Path(root)
    if not os.path.isdir(root):  # unlike Path.is_dir, it holds for names that no file system takes
        raise UsageError(f"There is no folder '{root}'. Give the folder that `reidkit build-dataset` wrote.")
    path = root / MANIFEST
    if not path.exists() and (root / FORGETTING_PLAN).exists():
        raise UsageError(
            f"Somebody was being taken out of '{root}', and that was stopped. Run `reidkit forget {root}` to end it."
        )
    refuse_divided_half(root)
    if not path.exists():
        raise UsageError(
            f"'{root}' has no {MANIFEST}, so its build didn't finish (or it is no dataset of ours). Run the same "
            "`reidkit build-dataset` command again; it goes on from where it stopped."
        )
    data = read_bytes(path, FIX)
    version = decode_json(data, _Version, f"'{path}' is no manifest of ours and", FIX).format
    if version != FORMAT_VERSION:
        raise UsageError(
            f"'{root}' has dataset format {version}; this reidkit reads format {FORMAT_VERSION}. "
            "Build it again, or use the reidkit that built it."
        )
    return _named(_with_raw_scores(decode_json(data, Manifest, f"'{path}'", FIX)), root)


def refuse_divided_half(root: Path) -> None:
    """Raises UsageError where a `reidkit split` of the dataset folder `root` was stopped as it wrote."""
    if (root / ASIDE).is_file() and not (root / MANIFEST).exists():
        raise UsageError(
            f"'{root}' has no {MANIFEST}: it was being divided, and that was stopped. Run the same `reidkit split` "
            "again."
        )


def as_manifest(content: dict[str, Any], root: Path) -> Manifest:
    """`content`, about to be written as the manifest of folder `root`, as it will be read.

    Raises:
        UsageError: as `read_manifest`.
    """
    try:
        return _named(msgspec.convert(content, Manifest), root)
    except msgspec.ValidationError as error:
        raise UsageError(f"The manifest of '{root}' can't be written: {error}.") from None


@dataclass(frozen=True)
class _Version:
    format: int


def _with_raw_scores(manifest: Manifest) -> Manifest:
    """The manifest with the tracklets' figures under the names that they have today.

    Builds that knew no mIDF1 called the raw tracklets' figures `idf1` and `hota`.
    """
    scores = manifest.scores
    if not scores or "midf1" in scores:
        return manifest
    return replace(manifest, scores={f"raw_{k}" if k in ("idf1", "hota") else k: v for k, v in scores.items()})


def _named(manifest: Manifest, root: Path) -> Manifest:
    name = check_name(manifest.name or root.resolve().name, "name of a dataset")
    protocol = check_name(manifest.protocol or PROTOCOL, "name of a protocol")
    outside = next((file for file in manifest.files if not lies_below(file)), None)
    if outside is not None:
        raise UsageError(f"'{root / MANIFEST}' lists {ascii(outside)[:100]}, which is no file below that folder. {FIX}")
    return replace(manifest, name=name, protocol=protocol)
