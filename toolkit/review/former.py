"""A build that was reviewed, as a later build of the same footage takes it up.

    former = read_former(out)
    former.person("cup--left--00003"), former.together, former.apart

What people decided are facts about the footage, whatever a build proposes: these tracklets show one person, those two,
and nobody is here. Decisions that later ones overruled say nothing, and what the machine made of them was proposed.
"""

import itertools
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from ...datasets.decisions import Decision, in_force, read_decisions
from ...datasets.format import FRAME_SCHEMA, FRAMES, MANIFEST
from ...datasets.manifest import FIX, Manifest, read_manifest
from ...datasets.own import tracklet_table
from ...datasets.replay import Review, tables
from ...datasets.schema import read_parquet

Group = tuple[str, ...]


@dataclass(frozen=True)
class Former:
    """An earlier build with its review.

    Attributes:
        tracklets, frames: with all decisions applied that apply.
        decisions: those of people that count and apply, in order.
        broken: a sentence for each that doesn't apply.
        review: what all decisions came to.
        settled: tracklets that people decided about.
        together: decision -> the tracklets that it says are one person, where they still are.
        apart: decision -> pairs of tracklets that it says are two people, where they still are.
    """

    manifest: Manifest
    tracklets: pl.DataFrame
    frames: pl.DataFrame
    decisions: tuple[Decision, ...]
    broken: tuple[str, ...]
    review: Review
    settled: frozenset[str]
    together: dict[int, list[Group]]
    apart: dict[int, list[tuple[str, str]]]

    def person(self, id_: str) -> int | None:
        """The identity of a tracklet; None of one that is nobody's."""
        piece = self.review.pieces[id_]
        return piece.identity if piece.kind == "person" else None


def read_former(root: Path) -> Former | None:
    """The build in the folder `root`; None where there is none that was finished.

    Raises:
        UsageError: its tables or its log can't be read.
    """
    if not (root / MANIFEST).is_file():
        return None
    manifest, proposed = read_manifest(root), tracklet_table(root)
    frames = read_parquet(root / FRAMES, FRAME_SCHEMA, FIX)  # its crops may be gone by now
    review = Review(proposed, frames)
    crops = dict(proposed.select("id", "frames").iter_rows())
    applied: list[Decision] = []
    broken: list[str] = []
    settled: set[str] = set()
    together: dict[int, list[Group]] = {}
    apart: dict[int, list[tuple[str, str]]] = {}
    for decision in in_force(read_decisions(root)):
        marks, known = (len(review.together), len(review.apart)), set(review.settled)
        host = _host(review, decision, settled, crops)
        fault = review.apply(decision)
        if fault:
            broken.append(f"decision {decision.number} ({decision.do}): {fault}")
        if fault or decision.after is not None:
            review.settled &= known
            continue
        applied.append(decision)
        settled |= review.settled - known | set(decision.tracklets if decision.do != "caption" else ())
        groups = [*review.together[marks[0] :], *([(*decision.tracklets, host)] if host else [])]
        if decision.do == "confirm":
            groups.append(decision.tracklets)
        together[decision.number] = [tuple(group) for group in groups]
        apart[decision.number] = [
            pair
            for groups in review.apart[marks[1] :]
            for one, other in itertools.combinations(groups, 2)
            for pair in itertools.product(one, other)
        ]
    tracklets, frames = tables(proposed, frames, review)
    found = Former(
        manifest, tracklets, frames, tuple(applied), tuple(broken), review, frozenset(settled), together, apart
    )
    return _standing(found)


def _host(review: Review, decision: Decision, settled: set[str], crops: dict[str, int]) -> str | None:
    """Of the identity that tracklets are given to, the tracklet that stands for it: decided about, and long."""
    if decision.do != "identity":
        return None
    others = review.members.get(decision.identity or 0, set()) - set(decision.tracklets)
    return max(others, key=lambda id_: (id_ in settled, crops[review.pieces[id_].origin], id_), default=None)


def _standing(found: Former) -> Former:
    """The same with those facts alone that no later decision overruled."""
    person = found.person
    together, apart = {}, {}
    for number, groups in found.together.items():
        together[number] = []
        for group in groups:
            parts: dict[int, list[str]] = defaultdict(list)
            for id_ in group:
                if (who := person(id_)) is not None:
                    parts[who].append(id_)
            together[number] += [tuple(part) for part in parts.values() if len(part) > 1]
    for number, pairs in found.apart.items():
        people = ((pair, {person(id_) for id_ in pair}) for pair in pairs)
        apart[number] = [pair for pair, who in people if len(who) == 2 and None not in who]
    return replace(found, together=together, apart=apart)


def crops_of(former: Former, place: tuple[str, str]) -> pl.DataFrame:
    """The rows of `frames` that a camera of an event has; views of an only camera are that camera."""
    event, camera = place
    views = pl.col("camera").str.replace(r"@\d+$", "") == camera
    here = former.tracklets.filter((pl.col("event") == event) & ((pl.col("camera") == camera) | views))
    return former.frames.join(here.select("id"), left_on="tracklet", right_on="id", how="semi", maintain_order="left")
