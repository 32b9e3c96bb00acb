"""`reidkit forget DIR IDENTITY…`: people taken out of a dataset, with everything in its folder that shows them.

    plan = look(root, [7])                          # what would go
    done = forget(root, [7], why="withdrew")

Shards are written anew without their crops, tables without their rows, the log of decisions without their tracklets
(`log.py`); captions, attributes, consents, confidences and pairs of "may be the same person" go with them. What a build
keeps for the next one (`.work`: every box and embedding) goes altogether, and so do pictures that reidkit drew. A new
contact sheet is drawn. The folder is locked meanwhile, and all of it changes at once (`swap.py`).
"""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from ...datasets import captions, decisions
from ...datasets.attributes import read_attributes
from ...datasets.errors import UsageError
from ...datasets.files import write_atomic
from ...datasets.format import (
    ASIDE,
    ATTRIBUTES,
    CAPTIONS,
    CROPS,
    DECISIONS,
    FORGETTING,
    FORGOTTEN,
    FRAMES,
    IDENTITIES,
    MANIFEST,
    TRACKLETS,
    origin_of,
)
from ...datasets.identities import identity_table
from ...datasets.locks import exclusive
from ...datasets.manifest import FIX, Manifest, read_manifest
from ...datasets.own import frame_table, tracklet_table
from ...datasets.rights import RIGHTS, Rights, place, read_rights
from ...datasets.schema import read_bytes
from ..crops import write_shard
from ..folder import LEFT, LOCK, MARK, WORK, WRITTEN, is_own, note_own
from ..manifest import counts, write_manifest
from ..sheets import write_sheets
from . import swap
from .log import Less, without_pieces
from .whom import Whom, find

SHEET, FLOOR = "contact-sheet.jpg", "floor.jpg"  # as `build` names them
GENERATED = b'<meta name="generator" content="reidkit">'
_PAIR = re.compile(r"\b(\d+) and (\d+)\b")  # as a build's notes list who may be one person
OURS = {
    *(MANIFEST, TRACKLETS, FRAMES, IDENTITIES, CAPTIONS, DECISIONS, ATTRIBUTES, RIGHTS, FORGOTTEN),
    *(captions.LOCK, decisions.LOCK),
}


@dataclass(frozen=True)
class Forgotten:
    """What went, or what would go.

    Attributes:
        tracklets: those of nobody that lie on the people among them.
        beside: crops of others that show a part of the people, and stay.
        captions: lines that went.
        unknown: files in the folder that nobody looked into, as reidkit didn't write them.
        fingerprint: of the dataset now; "" where nothing was done.
    """

    people: int
    tracklets: int
    of_nobody: int
    crops: int
    beside: int
    captions: int
    unknown: tuple[str, ...]
    fingerprint: str = ""


def look(root: Path, identities: Sequence[int]) -> Forgotten:
    """What `forget` would do; nothing changes.

    Raises:
        UsageError: no dataset of ours, a damaged one, or an identity that isn't there.
    """
    read_manifest(root)
    whom = find(root, identities)
    return _summary(root, whom, _captions_of(root, _origins(tracklet_table(root), whom)), "")


def forget(root: Path, identities: Sequence[int], why: str = "", *, go_on: bool = True) -> Forgotten | None:
    """Takes these identities out of the dataset `root`; ends first what a kill stopped.

    Args:
        identities: numbers after the review; empty: only end what was stopped.
        why: a sentence for forgotten.jsonl, which should name nobody.
        go_on: take out whoever is left once what was stopped is ended; False: nobody was asked about them yet.

    Returns:
        What went; None where the kill's leftovers were all there was to do.

    Raises:
        UsageError: no dataset of ours, a damaged one, an identity that isn't there, a build, a review or a
            captioner is at work, or somebody is left to be taken out and we don't `go_on`.
    """
    if not root.is_dir():
        raise UsageError(f"There is no folder '{root}'. Give the folder that `reidkit build-dataset` wrote.")
    with _alone(root):
        ended = swap.finish(root) if swap.pending(root) else ()
        left = [identity for identity in dict.fromkeys(identities) if identity not in ended]
        if not left:
            if not ended and not swap.discard(root):
                raise UsageError("Nobody is named: give the numbers of identities, as `reidkit inspect` lists them.")
            return None
        if ended and not go_on:
            them = ", ".join(map(str, left))
            raise UsageError(f"What was stopped is ended. Identities {them} were not taken out: run the command again.")
        manifest = read_manifest(root)
        return _forget(root, manifest, find(root, left), why)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Holds the locks of whatever writes into the folder."""
    busy = f"Something else is at work on '{root}': a build, a review, or a captioner. Wait for it, or end it."
    locks = [root / captions.LOCK, root / decisions.LOCK]
    with ExitStack() as stack:
        for lock in [*locks, *([root / WORK / LOCK] if (root / WORK).is_dir() else [])]:
            stack.enter_context(exclusive(lock, busy))
        yield


def _forget(root: Path, manifest: Manifest, whom: Whom, why: str) -> Forgotten:
    tracklets, frames, log = tracklet_table(root), frame_table(root), decisions.read_decisions(root)
    less = without_pieces(tracklets, frames, log, whom.pieces, whom.identities)
    if not len(less.tracklets):
        raise UsageError(f"Nobody else is in '{root}'. Delete the folder instead.")
    numbers = _numbers(whom, tracklets, less)
    origins = _origins(tracklets, whom)
    with swap.staged(root) as new:
        crops = _write_crops(root, new, less.frames)
        less.tracklets.write_parquet(new / TRACKLETS, compression="zstd")
        crops.write_parquet(new / FRAMES, compression="zstd")
        _write_identities(root, new, less)
        if log:
            write_atomic(new / DECISIONS, b"".join(msgspec.json.encode(d) + b"\n" for d in less.decisions))
        lines = _write_captions(root, new, origins)
        _write_attributes(root, new, numbers)
        keys = [place(event, n) for n in numbers for event in tracklets["event"].unique().to_list()]
        _write_rights(root, new, keys)
        people = {"people_forgotten": len(whom.identities), "crops_forgotten": whom.crops}
        content = _manifest(root, manifest, less, keys, people)
        content["notes"] = [note for note in content["notes"] if not any(id_ in note for id_ in origins)]
        fingerprint = write_manifest(new, content)["fingerprint"]
        if (root / SHEET).exists():
            write_sheets(new, new / SHEET, less.tracklets, crops, identity_table(new), own_folder=True)
        _write_log(root, new, whom, why)
        done = _summary(root, whom, lines, fingerprint)
        replace = _staged_files(root, new)
        plan = swap.Plan(tuple(replace), tuple(_to_remove(root, new, replace)), whom.identities)
        swap.commit(root, plan)
    return done


def _origins(tracklets: pl.DataFrame, whom: Whom) -> set[str]:
    """The proposed tracklets of which something goes."""
    known = set(tracklets["id"].to_list())
    return {origin_of(id_, known) for id_ in whom.pieces}


def _numbers(whom: Whom, tracklets: pl.DataFrame, less: Less) -> set[int]:
    """Numbers that stand for the people: the review's, and proposed ones that nobody has any more."""
    before, after = (set(t.filter(kind="person")["identity"].to_list()) for t in (tracklets, less.tracklets))
    return {*whom.identities} | (before - after)


def _write_crops(root: Path, new: Path, frames: pl.DataFrame) -> pl.DataFrame:
    """Shards that lose a crop are written anew, the others linked; the frames with the crops' new places."""
    (new / CROPS).mkdir()
    parts = []
    for (shard,), rows in frames.with_row_index("row").group_by(["shard"], maintain_order=True):
        wanted = dict.fromkeys(zip(rows["offset"].to_list(), rows["length"].to_list(), strict=True))
        members = _members(root / shard)
        target = new / shard
        target.parent.mkdir(parents=True, exist_ok=True)
        if set(wanted) == {(offset, size) for _, offset, size in members}:
            _link(root / shard, target)
            parts.append(rows)
            continue
        kept = [member for member in members if member[1:] in wanted]
        if len(kept) < len(wanted):
            raise UsageError(f"'{root / shard}' is no tar with the crops that {FRAMES} says. {FIX}")
        with open(root / shard, "rb") as file:
            data = []
            for name, offset, size in kept:
                file.seek(offset)
                data.append((name, file.read(size)))
        at = dict(zip((member[1:] for member in kept), write_shard(target, data), strict=True))
        moved = [at[offset, length][0] for offset, length in rows.select("offset", "length").iter_rows()]
        parts.append(rows.with_columns(pl.Series("offset", moved, pl.Int64)))
    return pl.concat(parts).sort("row").drop("row")


def _members(path: Path) -> list[tuple[str, int, int]]:
    """Name, first byte and number of bytes of each file in a tar."""
    try:
        with tarfile.open(path, "r:") as tar:
            return [(member.name, member.offset_data, member.size) for member in tar if member.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise UsageError(f"'{path}' can't be read as a tar ({error}). {FIX}") from None


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # a file system without links
        shutil.copyfile(path, target)


def _write_identities(root: Path, new: Path, less: Less) -> None:
    table = identity_table(root)
    if table is None:
        return
    there = less.tracklets.filter(kind="person")["identity"].unique().to_list()
    known = pl.col("twin").is_in(there)
    table = table.filter(pl.col("identity").is_in(there)).with_columns(
        twin=pl.when(known).then("twin"), same=pl.when(known).then("same")
    )
    table.write_parquet(new / IDENTITIES, compression="zstd")


def _lines(path: Path) -> list[bytes]:
    return [line for line in read_bytes(path, FIX).split(b"\n") if line.strip()] if path.exists() else []


def _captions_of(root: Path, origins: set[str]) -> int:
    return sum(caption.tracklet in origins for caption in captions.read_captions(root))


def _write_captions(root: Path, new: Path, origins: set[str]) -> int:
    """Captions of other tracklets, line by line as they were, without doubts that name one that goes."""
    if not (root / CAPTIONS).exists():
        return 0
    kept, gone = [], 0
    for caption, line in captions.read_lines(root):
        if caption.tracklet in origins:
            gone += 1
            continue
        doubts = [doubt for doubt in caption.doubts if not any(_names(doubt, id_) for id_ in origins)]
        if len(doubts) < len(caption.doubts):
            text = json.dumps(json.loads(line) | {"doubts": doubts}, ensure_ascii=False)
            line = text.encode(errors="backslashreplace")
        kept.append(line)
    write_atomic(new / CAPTIONS, b"".join(line + b"\n" for line in kept))
    return gone


def _names(doubt: str, id_: str) -> bool:
    return f" {id_}:" in doubt or doubt.endswith(f" {id_}")


def _write_attributes(root: Path, new: Path, numbers: set[int]) -> None:
    path = root / ATTRIBUTES
    if not path.exists():
        return
    read_attributes(path)  # what is damaged is refused
    text = path.read_bytes().decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    column = rows[0].index("identity")
    kept = [row for row in rows if not row or row is rows[0] or int(row[column]) not in numbers]
    data = path.read_bytes()
    if len(kept) < len(rows):
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(kept)
        data = out.getvalue().encode()
    write_atomic(new / ATTRIBUTES, data)
    if is_own(root, ATTRIBUTES):
        note_own(new, ATTRIBUTES, hashlib.sha256(data).hexdigest())


def _write_rights(root: Path, new: Path, keys: Sequence[str]) -> None:
    """rights.toml without the people, where it speaks of them: its comments, which might name them, go too."""
    if not (root / RIGHTS).exists():
        return
    rights = read_rights(root, Rights())
    kept = rights.only(set(rights.keys) - set(keys))
    if kept == rights:
        shutil.copyfile(root / RIGHTS, new / RIGHTS)
        return
    tables = [
        f"[{name}]\n" + "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in said.items())
        for name, said in asdict(kept).items()
    ]
    write_atomic(new / RIGHTS, "".join(tables))


def _manifest(root: Path, manifest: Manifest, less: Less, keys: Sequence[str], people: Mapping[str, int]) -> dict:
    """The manifest as it was, but for what speaks of the people."""
    content = json.loads(read_bytes(root / MANIFEST, FIX))
    there = set(less.tracklets.filter(kind="person")["identity"].to_list())
    same = [one for one in manifest.same_person if there.issuperset(one.identities)]
    gone = [one.identities for one in manifest.same_person if not there.issuperset(one.identities)]
    losses = dict(manifest.losses)
    for name, number in people.items():
        losses[name] = losses.get(name, 0) + number
    rights = manifest.rights.only(set(manifest.rights.keys) - set(keys))
    content |= {
        "counts": counts(less.tracklets),
        "losses": losses,
        "same_person": [asdict(one) for one in same],
        "notes": [left for note in manifest.notes if (left := _without_pairs(note, gone))],
        "rights": asdict(rights),
    }
    return {name: value for name, value in content.items() if name not in ("format", "files", "fingerprint")}


def _without_pairs(note: str, gone: Sequence[tuple[int, int]]) -> str:
    """A note that lists pairs of identities without those that go; "" where no pair is left."""
    pairs = [(match, (int(match[1]), int(match[2]))) for match in _PAIR.finditer(note)]
    kept = [match[0] for match, pair in pairs if pair not in gone]
    if len(kept) == len(pairs):
        return note
    return note[: pairs[0][0].start()] + ", ".join(kept) + note[pairs[-1][0].end() :] if kept else ""


def _write_log(root: Path, new: Path, whom: Whom, why: str) -> None:
    line = {"at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "people": len(whom.identities), "crops": whom.crops}
    if why:
        line["why"] = why
    written = json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace")
    write_atomic(new / FORGOTTEN, b"".join(one + b"\n" for one in (*_lines(root / FORGOTTEN), written)))


def _staged_files(root: Path, new: Path) -> list[str]:
    """What was written into `new`; shards that are only linked stay where they are."""
    files = [path for path in sorted(new.rglob("*")) if path.is_file()]
    names = [path.relative_to(new).as_posix() for path in files]
    return [
        name
        for name, path in zip(names, files, strict=True)
        if not ((root / name).exists() and os.path.samefile(root / name, path))
    ]


def _to_remove(root: Path, new: Path, replace: Sequence[str]) -> list[str]:
    """What of the folder goes: shards that nobody is in any more, work of builds, pictures, leftovers of kills."""
    shards = {*root.glob(f"{CROPS}/*.tar"), *(root / name for name in frame_table(root)["shard"].unique().to_list())}
    gone = [path for path in sorted(shards) if not (new / path.relative_to(root)).exists()]
    work = [path for path in sorted((root / WORK).glob("*")) if path.name not in (MARK, WRITTEN, LOCK)]
    sheets = [
        path for path in sorted(root.glob(f"{Path(SHEET).stem}*{Path(SHEET).suffix}")) if path.name not in replace
    ]
    cards = [path for path in sorted(root.glob("*.htm*")) if path.is_file() and GENERATED in path.read_bytes()]
    left = [path for folder in (root, root / CROPS) for path in sorted(folder.glob(".*")) if LEFT.fullmatch(path.name)]
    more = [root / name for name in (FLOOR, ASIDE) if (root / name).exists()]
    return [path.relative_to(root).as_posix() for path in (*gone, *work, *sheets, *cards, *left, *more)]


def _summary(root: Path, whom: Whom, lines: int, fingerprint: str) -> Forgotten:
    own = {path.name for path in root.glob("*.htm*") if path.is_file() and GENERATED in path.read_bytes()}
    own |= {path.name for path in root.glob(f"{Path(SHEET).stem}*{Path(SHEET).suffix}")} | {FLOOR, ASIDE, *OURS}
    unknown = [
        path.relative_to(root).as_posix()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.relative_to(root).parts[0] not in (WORK, FORGETTING)
        and not (path.parent == root and (path.name in own or LEFT.fullmatch(path.name)))
        and not (path.parent == root / CROPS and path.suffix == ".tar")
    ]
    return Forgotten(
        people=len(whom.identities),
        tracklets=len(whom.pieces),
        of_nobody=whom.of_nobody,
        crops=whom.crops,
        beside=whom.beside,
        captions=lines,
        unknown=tuple(unknown),
        fingerprint=fingerprint,
    )
