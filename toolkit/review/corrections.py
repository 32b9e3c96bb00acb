"""What a corrected file says, as review decisions: its tracks matched to the build's tracklets by box and time.

    found = import_corrections(Path("dancers"), Path("corrected/"), same_ids=True)
    found.decisions, found.moved

A tracklet is who the corrected boxes are that most of its crops lie on (intersection over union of 0.5, one-to-one in
each frame); where that changes for good inside it, it is split there. A tracklet of a camera that the file is of, and
that hardly any corrected box lies on, is junk. Whoever the file doesn't call by an identity's number keeps that of the
identity which most of the crops had; who is left without one gets a new one.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment
from supervision import box_iou_batch

from ...datasets.decisions import Decision, Draft, numbered, open_decisions, read_decisions
from ...datasets.errors import UsageError
from ...datasets.own import frame_table, tracklet_table
from ...datasets.replay import replay
from ...datasets.text import printable
from ..matching import match
from .corrected import Corners, Corrected, Place, Somebody, read_corrected, read_identities

MAJORITY = 0.5  # share of a tracklet's crops that corrected boxes must lie on
SHORTEST = 3  # crops; a change that doesn't last as long is none
SIDES = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Imported:
    """What a corrected file came to.

    Attributes:
        decisions: as written, or as they would be.
        tracklets: how many tracklets the file speaks of.
        moved: identities that trained, and test after it: the file made one person of people on both sides.
    """

    decisions: Sequence[Draft]
    tracklets: int
    moved: list[int]


@dataclass(frozen=True)
class _Piece:
    """A tracklet, or what it will be after a split: its id, crops, present identity (None: nobody's), and who it is."""

    id: str
    crops: int
    present: int | None
    who: Somebody | None


def import_corrections(
    root: Path,
    path: Path,
    *,
    place: Place | None = None,
    same_ids: bool = False,
    dry_run: bool = False,
) -> Imported:
    """Writes into decisions.jsonl of the dataset `root` what the corrected file or folder `path` says.

    Args:
        place: event and camera that the file is of; None: as its name says.
        same_ids: ids of MOTChallenge files are the dataset's identities, as `reidkit export` writes them.
        dry_run: only say what would be decided.

    Raises:
        UsageError: no dataset of ours, a file that can't be read, or tracklets or cameras that aren't there.
    """
    proposed, crops = tracklet_table(root), frame_table(root)
    if dry_run:
        return _decide(proposed, crops, read_decisions(root), path, place, same_ids)
    with open_decisions(root) as log:
        found = _decide(proposed, crops, read_decisions(root), path, place, same_ids)
        written = log.append(*found.decisions, by=f"import {path.name}")
    return Imported(written, found.tracklets, found.moved)


def _decide(
    proposed: pl.DataFrame,
    crops: pl.DataFrame,
    before: tuple[Decision, ...],
    path: Path,
    place: Place | None,
    same_ids: bool,
) -> Imported:
    tracklets, frames = replay(proposed, crops, before)
    if path.suffix.lower() == ".csv":
        pieces = _named_pieces(tracklets, read_identities(path), path)
        drafts, about = [], len(pieces)
    else:
        files = _read(tracklets, frames, path, place, same_ids)
        drafts, pieces = _matched_pieces(tracklets, frames, files)
        about = len(pieces) - len(drafts)
    drafts += _assign(tracklets, pieces)
    after, _ = replay(proposed, crops, (*before, *numbered(drafts, len(before) + 1)))
    trained = tracklets.filter(split="train")["id"].to_list()
    moved = after.filter(pl.col("id").is_in(trained), kind="person", split="test")["identity"]
    return Imported(drafts, about, moved.unique().sort().to_list())


def _read(
    tracklets: pl.DataFrame, frames: pl.DataFrame, path: Path, place: Place | None, same_ids: bool
) -> list[Corrected]:
    wanted: dict[Place, set[int]] = {}
    where = {id_: (event, camera) for id_, event, camera in tracklets.select("id", "event", "camera").iter_rows()}
    for id_, frame in frames.select("tracklet", "frame").iter_rows():
        wanted.setdefault(where[id_], set()).add(frame)
    if place is not None and place not in wanted:
        few = ", ".join(f"{event}--{camera}" for event, camera in sorted(wanted)[:6])
        raise UsageError(printable(f"There is no camera '{place[1]}' of event '{place[0]}' here; there are {few}."))
    return read_corrected(path, wanted, place=place, same_ids=same_ids)


def _named_pieces(tracklets: pl.DataFrame, who: Mapping[str, Somebody | None], path: Path) -> list[_Piece]:
    rows = {row["id"]: row for row in tracklets.iter_rows(named=True)}
    unknown = [id_ for id_ in who if id_ not in rows]
    if unknown:
        raise UsageError(
            f"'{path}' has tracklet '{printable(unknown[0])[:100]}' ({len(unknown)} such), which isn't in the dataset."
        )
    return [_Piece(id_, rows[id_]["frames"], _present(rows[id_]), somebody) for id_, somebody in who.items()]


def _present(row: Mapping) -> int | None:
    return row["identity"] if row["kind"] == "person" else None


def _matched_pieces(
    tracklets: pl.DataFrame, frames: pl.DataFrame, files: Sequence[Corrected]
) -> tuple[list[Draft], list[_Piece]]:
    """The splits at frames that the corrected boxes ask for, and what all tracklets of their cameras are then."""
    by_id = {id_: part.sort("frame") for (id_,), part in frames.group_by("tracklet", maintain_order=True)}
    drafts: list[Draft] = []
    pieces: list[_Piece] = []
    for file in files:
        event, camera = file.place
        rows = tracklets.filter(event=event, camera=camera).to_dicts()
        lies = _who_lies_where(file.boxes, {row["id"]: by_id[row["id"]] for row in rows})
        for row in rows:
            numbers = by_id[row["id"]]["frame"].to_list()
            runs = _runs([lies.get((row["id"], frame)) for frame in numbers])
            for place, _ in reversed(runs[1:]):  # the last cut first: the parts before it keep the name
                drafts.append(Draft("split", (row["id"],), frame=numbers[place]))
            stops = [*(place for place, _ in runs[1:]), len(numbers)]
            for (place, who), stop in zip(runs, stops, strict=True):
                name = f"{row['id']}~{numbers[place]}" if place else row["id"]
                pieces.append(_Piece(name, stop - place, None if place else _present(row), who[0] if who else None))
    return drafts, pieces


# Whom a crop lies on: a corrected box of somebody, or of nobody; None where no corrected box is.
_Found = tuple[Somebody | None] | None


def _who_lies_where(
    boxes: Mapping[int, Sequence[tuple[Somebody | None, Corners]]], crops: Mapping[str, pl.DataFrame]
) -> dict[tuple[str, int], tuple[Somebody | None]]:
    """(tracklet, frame) -> whom the crop lies on."""
    by_frame: dict[int, list[tuple[str, tuple]]] = {}
    for id_, rows in crops.items():
        for frame, *box in rows.select("frame", *SIDES).iter_rows():
            by_frame.setdefault(frame, []).append((id_, tuple(box)))
    found = {}
    for frame, here in by_frame.items():
        there = boxes.get(frame, ())
        if not there:
            continue
        overlap = box_iou_batch(np.array([box for _, box in there]), np.array([box for _, box in here]))
        for i, j in match(overlap.astype(np.float64), np.ones(len(there), bool)):
            found[here[j][0], frame] = (there[i][0],)
    return found


def _runs(found: Sequence[_Found]) -> list[tuple[int, _Found]]:
    """Where each person begins in a tracklet's crops; the first begins at 0. A tracklet on nobody has one run of None.

    >>> anna, berta = (Somebody(name="Anna"),), (Somebody(name="Berta"),)
    >>> [(place, who[0].name) for place, who in _runs([anna, anna, None, anna, berta, anna, berta, berta, berta])]
    [(0, 'Anna'), (6, 'Berta')]
    """
    seen = [(place, who) for place, who in enumerate(found) if who is not None]
    if len(seen) < MAJORITY * len(found):
        return [(0, None)]
    runs = [list(group) for _, group in itertools.groupby(seen, key=lambda one: one[1])]
    lasting = [run for run in runs if len(run) >= SHORTEST]
    if not lasting:
        return [(0, Counter(who for _, who in seen).most_common(1)[0][0])]
    out: list[tuple[int, _Found]] = []
    for run in lasting:
        if not out or out[-1][1] != run[0][1]:
            out.append((run[0][0] if out else 0, run[0][1]))
    return out


def _assign(tracklets: pl.DataFrame, pieces: Sequence[_Piece]) -> list[Draft]:
    """The decisions that give every piece its person."""
    people: dict[Somebody, list[_Piece]] = {}
    for piece in pieces:
        if piece.who is not None:
            people.setdefault(piece.who, []).append(piece)
    targets = _targets(people)
    whole = Counter(tracklets.filter(kind="person")["identity"].to_list())
    drafts: list[Draft] = []
    for who, mine in people.items():
        ids = tuple(piece.id for piece in mine)
        target = targets.get(who)
        if target is None and not who.name:
            drafts.append(Draft("split", ids))
        elif target is None:
            target = targets[who] = max((*whole, *targets.values()), default=0) + 1
            drafts.append(Draft("identity", ids, identity=target, name=who.name))
        else:
            drafts += _moves(mine, target, whole, set(targets.values()))
            if who.name:
                drafts.append(Draft("identity", ids, identity=target, name=who.name))
    nobody = tuple(p.id for p in pieces if p.who is None and (p.present is not None or "~" in p.id))
    return [*drafts, Draft("junk", nobody)] if nobody else drafts


def _moves(mine: Sequence[_Piece], target: int, whole: Mapping[int, int], kept: set[int]) -> list[Draft]:
    """What makes all of a person's pieces the identity `target`: identities that it takes in whole are merged.

    Args:
        whole: identity -> number of its tracklets.
        kept: identities that stay somebody's.
    """
    stay = [piece.id for piece in mine if piece.present == target]
    there = Counter(piece.present for piece in mine if piece.present is not None)
    taken = {i for i, n in there.items() if stay and i > target and n == whole[i] and i not in kept}
    merged = tuple(piece.id for piece in mine if piece.present in taken)
    moved = tuple(p.id for p in mine if p.present != target and p.present not in taken)
    drafts = [Draft("merge", (stay[0], *merged))] if merged else []
    return [*drafts, Draft("identity", moved, identity=target)] if moved else drafts


def _targets(people: Mapping[Somebody, Sequence[_Piece]]) -> dict[Somebody, int]:
    """Who keeps or gets which of the identities: by the file's number, else by the most crops, one-to-one."""
    targets = {who: who.identity for who in people if who.identity is not None}
    others = [who for who in people if who.identity is None]
    free = sorted({p.present for who in others for p in people[who] if p.present is not None} - set(targets.values()))
    crops = np.zeros((len(others), len(free)))
    for i, who in enumerate(others):
        for piece in people[who]:
            if piece.present in free:
                crops[i, free.index(piece.present)] += piece.crops
    for i, j in zip(*linear_sum_assignment(-crops), strict=True):
        if crops[i, j]:
            targets[others[i]] = free[j]
    return targets
