"""Which tracklets show a person: those of the identity, and tracklets of nobody that lie on it.

    whom = find(root, [7])
    whom.pieces, whom.crops, whom.beside

Where somebody was between two crops is taken to lie evenly between their boxes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ...datasets.errors import UsageError
from ...datasets.own import reviewed_tables
from ..paths import between
from ..track import BOX

INSIDE = 0.5  # share of the smaller of two boxes that both share, from which one lies on the other
MOST = 0.5  # share of the crops of a tracklet of nobody that must lie on the person
SEEN = 0.1  # share of the person's box that must lie in somebody else's crop for it to show a part of the person


@dataclass(frozen=True)
class Whom:
    """Who is to be forgotten.

    Attributes:
        identities: reviewed numbers.
        pieces: ids of the reviewed tracklets that go.
        of_nobody: how many of them are junk or distractors that lie on the people.
        crops: that go.
        beside: crops of others that show a part of the people, as their boxes say; these stay.
    """

    identities: tuple[int, ...]
    pieces: frozenset[str]
    of_nobody: int
    crops: int
    beside: int


def find(root: Path, identities: Sequence[int]) -> Whom:
    """Who these identities of the reviewed dataset are.

    Raises:
        UsageError: an identity that isn't there.
    """
    tracklets, frames = reviewed_tables(root)
    people = tracklets.filter(kind="person")
    there = set(people["identity"].to_list())
    for identity in identities:
        if identity not in there:
            raise UsageError(
                f"There is no identity {identity} in '{root}'; `reidkit inspect` lists those that are there, after the "
                "review. Who was forgotten before is not remembered by number."
            )
    theirs = set(people.filter(pl.col("identity").is_in(list(identities)))["id"].to_list())
    on_them, beside = _around(tracklets, frames, theirs)
    pieces = frozenset(theirs | on_them)
    counts = dict(tracklets.select("id", "frames").iter_rows())
    others = {row for row in beside if row[0] not in pieces}
    return Whom(tuple(identities), pieces, len(on_them), sum(counts[id_] for id_ in pieces), len(others))


def _around(
    tracklets: pl.DataFrame, frames: pl.DataFrame, theirs: Collection[str]
) -> tuple[set[str], set[tuple[str, int]]]:
    """The tracklets of nobody that lie on `theirs`, and the crops (tracklet, frame) of others that show a part."""
    places = tracklets.select(pl.col("id").alias("tracklet"), "event", "camera", "kind")
    rows = frames.select("tracklet", "frame", "time", *BOX).join(places, on="tracklet").sort("tracklet", "time")
    mine = pl.col("tracklet").is_in(list(theirs))
    lies: dict[str, int] = {}
    beside: set[tuple[str, int]] = set()
    for _, group in rows.group_by("event", "camera"):
        others = group.filter(~mine)
        at, boxes = others["time"].to_numpy(), others.select(BOX).to_numpy()
        names = others.select("tracklet", "frame", "kind").rows()
        for _, path in group.filter(mine).group_by("tracklet"):
            path = path.sort("time")
            box, known = between(path["time"].to_numpy(), path.select(BOX).to_numpy(), at)
            shared, small, own = _shares(boxes, box)
            for row in np.flatnonzero(known & (shared > 0)):
                name, frame, kind = names[row]
                if kind != "person" and shared[row] >= INSIDE * small[row]:
                    lies[name] = lies.get(name, 0) + 1
                if shared[row] >= SEEN * own[row]:
                    beside.add((name, frame))
    counts = dict(tracklets.select("id", "frames").iter_rows())
    return {id_ for id_, number in lies.items() if number >= MOST * counts[id_]}, beside


def _shares(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Square pixels [n] that boxes share pair by pair, those of the smaller, and those of the second."""
    sides = np.clip(np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2]), 0, None)
    areas = [np.maximum((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]), 1e-9) for b in (one, other)]
    return sides[:, 0] * sides[:, 1], np.minimum(*areas), areas[1]
