"""Stage 9: which tracklets train, which are queries, which make up the gallery.

    divided = assign(tracklets, SplitSettings(), same)     # its table has the columns split, role and, of folds, fold

Whole events go to one side, so that no person and no source video is on both; so do events that may share a person, as
long as that leaves both sides an event. One event alone can't be divided without one of the two: it becomes a test set,
unless the identities are to be divided and the videos shared (`by="identity"`), which the manifest then says. Both
sides get their share of each activity (a sport, a dance) as far as whole events allow (`division`). Queries follow the
MARS rule: one a (test identity, camera) that has a match in another camera.

What an earlier division said stays (`Kept`), so that footage that is added moves nobody from test to train. A hash of
an event's name alone could not do that: one event alone tests, so that every event would have to test for ever; and of
few events it would meet no share.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import polars as pl
from msgspec import Meta

from ..datasets import ReidkitError, UsageError
from ..datasets.fields import check_fields
from ..datasets.format import FOLD
from ..datasets.manifest import SamePerson
from ..datasets.sides import components, with_roles
from .division import Unit, divide

By = Literal["auto", "event", "identity", "test"]
TEST = 0  # the part that tests; of folds, the first


@dataclass(frozen=True)
class SplitSettings:
    """What decides the division.

    Attributes:
        by: "event" and "identity" as above; "test" makes no training set; "auto" is "event" for two events or more,
            else "test".
        test_share: share of the identities that test, above 0 and up to 1.
        folds: so many parts, each of which is the test set of a fold, whatever `test_share` says. None: one division.
        validation: share of the training identities that validate, 0 to below 1 (`datasets.sides`).
        seed: chooses among equally good divisions, and the identities that are divided or validate.
        same_person: how likely two identities of two events must be one person to be told in the manifest and kept on
            one side, 0 to 1.
    """

    by: By = "auto"
    test_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    folds: Annotated[int, Meta(ge=2, le=1000)] | None = None
    validation: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    seed: Annotated[int, Meta(ge=0)] = 0
    same_person: Annotated[float, Meta(ge=0, le=1)] = 0.7

    def __post_init__(self) -> None:
        check_fields(self, "split setting")
        if self.folds is not None and self.by == "test":
            raise UsageError("A test set only has no folds. Leave --folds out, or divide by event or identity.")

    def decided(self, events: Collection[str]) -> Literal["event", "identity", "test"]:
        """What a dataset of these events is divided by, which is known before any work.

        Raises:
            UsageError: too few events for a division by event, or for the folds.

        >>> SplitSettings().decided(["heat", "final"]), SplitSettings().decided(["final"])
        ('event', 'test')
        """
        if self.by in ("auto", "event") and self.folds is not None and len(events) < self.folds:
            found = "is 1 event" if len(events) == 1 else f"are {len(events)} events"
            raise UsageError(
                f"There {found}, which can't make {self.folds} folds. Give fewer --folds, or use "
                "--split identity (train and test then share source videos)."
            )
        if self.by == "auto":
            return "event" if len(events) > 1 and (self.test_share < 1 or self.folds) else "test"
        if self.by == "event" and len(events) < 2:
            raise UsageError(
                f"There is one event only ('{next(iter(events), '')}'), which can't be divided by event. "
                "Use --split identity (train and test then share source videos) or --split test."
            )
        return self.by

    @property
    def shares(self) -> list[float]:
        """Of the people, what each part shall have; the first tests."""
        return [1 / self.folds] * self.folds if self.folds else [self.test_share, 1 - self.test_share]


@dataclass(frozen=True)
class Kept:
    """The parts that an earlier division gave: 0 tests, 1 trains; or the numbers of folds.

    Attributes:
        events: event -> part.
        people: identity -> part, where identities are divided.
    """

    events: Mapping[str, int] = field(default_factory=dict)
    people: Mapping[int, int] = field(default_factory=dict)


def kept_parts(before: pl.DataFrame, folds: int | None, settings: SplitSettings, *, train: bool = True) -> Kept:
    """What of an earlier division stays under these settings: all of it, or whom alone it tests where folds change.

    Args:
        before: its tracklets; columns identity, kind, event, split, and fold where it had folds.
        folds: how many those were.
        train: whoever trains goes on training; else they are free. Of folds nobody trains in all.
    """
    if folds and folds == settings.folds:
        part = pl.col(FOLD)
    elif folds or settings.folds or not train:
        part = pl.when(split="test").then(pl.lit(TEST))
    else:
        part = (pl.col("split") == "train").cast(pl.Int64)
    table = before.with_columns(part=part).drop_nulls("part")
    by_event = table.group_by("event").agg(pl.col("part").min())
    by_person = table.filter(kind="person").group_by("identity").agg(pl.col("part").min())
    return Kept(dict(by_event.iter_rows()), dict(by_person.iter_rows()))


@dataclass(frozen=True)
class Divided:
    """A division.

    Attributes:
        table: with the columns `split` (train, test), `role` (train, query, gallery) and, of folds, `fold`.
        by: "event", "identity" or "test".
    """

    table: pl.DataFrame
    by: Literal["event", "identity", "test"]


def assign(
    tracklets: pl.DataFrame,
    settings: SplitSettings,
    same: Sequence[SamePerson] = (),
    *,
    kept: Kept | None = None,
    activities: Mapping[str, str] | None = None,
) -> Divided:
    """Divides the tracklets; the rows stay in their order.

    Args:
        tracklets: columns id, identity, kind, camera, event, source, frames, quality.
        same: who may stand in two events.
        kept: an earlier division, which stays.
        activities: event -> its sport or dance, of each of which both sides get their share.

    Raises:
        UsageError: too few events, groups of events, or people.
        ReidkitError: an identity or a source video would be on both sides.
    """
    events = sorted(tracklets["event"].unique().to_list())
    kept, activities = kept or Kept(), activities or {}
    by = settings.decided(events)
    people = tracklets.filter(kind="person")
    if by == "test":
        part = pl.lit(TEST)
    elif by == "event":
        part = _replaced("event", _parts_of_events(events, people, settings, same, kept, activities), TEST)
    else:
        parts = _parts_of_people(people, settings, same, kept, activities)
        part = pl.when(kind="person").then(_replaced("identity", parts, None))  # nobody tests in every fold
    table = tracklets.with_columns(part.cast(pl.Int64).alias(FOLD))
    test = (pl.col(FOLD) == TEST).fill_null(True)
    table = table.with_columns(split=pl.when(test).then(pl.lit("test")).otherwise(pl.lit("train")))
    leaks = leakage(table)
    if leaks["identities"] or (leaks["sources"] and by != "identity"):
        what = "identity" if leaks["identities"] else "source video"
        raise ReidkitError(
            f"The {what} '{(leaks['identities'] or leaks['sources'])[0]}' is in train and test. "
            "Name the events that belong together in reidkit.toml, divide by identity, or make a test set only."
        )
    table = with_roles(table)
    return Divided(table if settings.folds and by != "test" else table.drop(FOLD), by)


def _replaced(column: str, values: Mapping, default: int | None) -> pl.Expr:
    return pl.col(column).replace_strict(dict(values), default=default, return_dtype=pl.Int64)


def _parts_of_events(
    events: Sequence[str],
    people: pl.DataFrame,
    settings: SplitSettings,
    same: Sequence[SamePerson],
    kept: Kept,
    activities: Mapping[str, str],
) -> dict[str, int]:
    """Event -> its part."""
    count = dict(people.group_by("event").agg(pl.col("identity").n_unique()).iter_rows())
    groups = together(events, same, people)
    if len(groups) < (settings.folds or 2) <= len(events):
        # They hang together too much; people in both parts are the lesser evil, and `across` tells who they are.
        if settings.folds and len(groups) > 1:
            raise UsageError(
                f"The events make {len(groups)} groups that share nobody, which can't make {settings.folds} folds. "
                f"Give --folds {len(groups)}, or use --split identity."
            )
        groups = [[event] for event in events]
    units, of_unit = [], []
    for group in groups:
        before = {event: kept.events[event] for event in group if event in kept.events}
        if len(set(before.values())) < 2:
            bundles = [(group, next(iter(before.values()), None))]
        else:  # an addition ties both sides together: nobody moves, and what is new stands with the test set
            fresh = [event for event in group if event not in before]
            bundles = [([event], before[event]) for event in sorted(before)] + ([(fresh, TEST)] if fresh else [])
        for bundle, part in bundles:
            sizes: dict[str, int] = defaultdict(int)
            for event in bundle:
                sizes[activities.get(event, "")] += count.get(event, 0)
            units.append(Unit(min(bundle), sizes, _part(part, settings)))
            of_unit.append(bundle)
    parts = divide(_testable(units), settings.shares, settings.seed)
    return {event: part for bundle, part in zip(of_unit, parts, strict=True) for event in bundle}


def _parts_of_people(
    people: pl.DataFrame,
    settings: SplitSettings,
    same: Sequence[SamePerson],
    kept: Kept,
    activities: Mapping[str, str],
) -> dict[int, int]:
    """Identity -> its part. Those that two cameras saw are divided apart from those that one saw.

    Raises:
        UsageError: fewer people than folds.
    """
    facts = people.group_by("identity").agg(
        pl.col("camera").n_unique(), pl.col("event").min(), pl.col("id").min().alias("first")
    )
    rows = {row["identity"]: row for row in facts.sort("identity").iter_rows(named=True)}
    pairs = ((number, one) for number, pair in enumerate(same) for one in pair.identities if one in rows)
    groups = components(rows, [*((f"alone {i}", i) for i in rows), *pairs])
    if settings.folds and len(groups) < settings.folds:
        raise UsageError(f"There are {len(groups)} people, who can't make {settings.folds} folds. Give fewer --folds.")
    units = []
    for group in groups:
        before = [kept.people[one] for one in group if one in kept.people]
        strata = Counter(f"{activities.get(rows[one]['event'], '')}\n{rows[one]['camera'] > 1}" for one in group)
        units.append(Unit(min(rows[one]["first"] for one in group), strata, _part(min(before, default=None), settings)))
    parts = divide(_testable(units), settings.shares, settings.seed)
    return {one: part for group, part in zip(groups, parts, strict=True) for one in group}


def _testable(units: Sequence[Unit]) -> Sequence[Unit]:
    """The units, all free where they would all train, as when the footage that tested was taken away."""
    some = any(unit.part in (None, TEST) for unit in units)
    return units if some else [replace(unit, part=None) for unit in units]


def _part(kept: int | None, settings: SplitSettings) -> int | None:
    """A part of the earlier division as one of this: a fold that is no more leaves its people free to train."""
    return None if kept is None or kept >= len(settings.shares) else kept


def together(events: Sequence[str], same: Sequence[SamePerson], people: pl.DataFrame) -> list[list[str]]:
    """The events in groups that share a person, or may, directly or over others.

    Args:
        people: columns identity and event; a review makes one identity of two events' people.

    >>> people = pl.DataFrame({"identity": [1, 2, 9, 2], "event": ["a", "b", "c", "d"]})
    >>> together(["a", "b", "c", "d"], [SamePerson((1, 9), ("a", "c"), 0.9)], people)
    [['a', 'c'], ['b', 'd']]
    """
    known = set(events)
    pairs = ((f"pair {number}", event) for number, one in enumerate(same) for event in one.events if event in known)
    return components(events, [*pairs, *people.select("identity", "event").unique().iter_rows()])


def across(tracklets: pl.DataFrame, same: Sequence[SamePerson]) -> list[SamePerson]:
    """Those of `same` whose identities are on both sides of the division, or in two folds."""
    column = FOLD if FOLD in tracklets.columns else "split"
    side = dict(tracklets.filter(kind="person").select("identity", column).iter_rows())
    return [one for one in same if len({side[i] for i in one.identities if i in side}) > 1]


def leakage(table: pl.DataFrame) -> dict[str, list]:
    """The identities (of persons) and the sources that are both in train and in test.

    >>> table = pl.DataFrame({"kind": "person", "identity": [1, 1], "split": ["train", "test"], "source": ["a", "b"]})
    >>> leakage(table)
    {'identities': [1], 'sources': []}
    """
    found = {}
    people = table.filter(kind="person")
    for name, part, columns in (("identities", people, ["identity"]), ("sources", table, ["source"])):
        both = part.group_by(columns).agg(pl.col("split").n_unique()).filter(pl.col("split") > 1).sort(columns)
        found[name] = both[columns[0]].to_list()
    return found


def division_facts(divided: Divided, settings: SplitSettings) -> dict:
    """What the manifest says of a division (`datasets.manifest.Division`)."""
    folds = settings.folds if FOLD in divided.table.columns else None
    return {
        "by": divided.by,
        "test_share": settings.test_share if folds is None else round(1 / folds, 4),
        "folds": folds,
        "validation": settings.validation,
        "seed": settings.seed,
    }


def split_notes(divided: Divided, same: Sequence[SamePerson]) -> list[str]:
    """Sentences for the manifest on what a division leaves to be desired, each with what to do."""
    table, by = divided.table, divided.by
    notes = []
    if by == "test":
        notes.append(
            "Test set only: one event can't be divided without sharing its videos. "
            "Add another event, or divide the identities with --split identity."
        )
    elif not len(table.filter(split="train")):
        notes.append(
            "Test set only: all events stood there in an earlier division, or may share a person with one that does. "
            "`reidkit split` divides anew."
        )
    if by == "identity":
        notes.append("Train and test share source videos: identities were divided, not events.")
    both = across(table, same)
    if both:
        pairs = ", ".join(f"{a} and {b}" for a, b in (one.identities for one in both))
        notes.append(
            f"Identities that may be one person are in train and test: {pairs}. Let the training event test, too "
            "(`reidkit split DIR --keep --test EVENT`), divide by other events, or make a test set only with "
            "--split test."
        )
    if not len(table.filter(role="query")):
        notes.append("No queries: no test identity was seen by two cameras.")
    return notes
