"""Stage 9: which tracklets train, which are queries, which make up the gallery.

    assigned = assign(tracklets, SplitSettings(), same)     # adds the columns split and role

Whole events go to one side, so that no person and no source video is on both; so do events that may share a person, as
long as that leaves both sides an event. One event alone can't be divided without
one of the two: it becomes a test set, unless the identities are to be divided and the videos shared (`by="identity"`),
which the manifest then says. Queries follow the MARS rule: one a (test identity, camera) that has a match in another
camera.
"""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import polars as pl
from msgspec import Meta
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..datasets import ReidkitError, UsageError
from ..datasets.fields import check_fields
from ..datasets.manifest import SamePerson
from ..datasets.queries import queries

By = Literal["auto", "event", "identity", "test"]
MOST_EVENTS_TRIED = 16  # events, or groups of them; up to here every division is looked at


@dataclass(frozen=True)
class SplitSettings:
    """What decides the division.

    Attributes:
        by: "event" and "identity" as above; "test" makes no training set; "auto" is "event" for two events or more,
            else "test".
        test_share: share of the identities that test, above 0 and up to 1.
        seed: chooses among equally good divisions, and the identities of `by="identity"`.
        same_person: how likely two identities of two events must be one person to be told in the manifest and kept on
            one side, 0 to 1.
    """

    by: By = "auto"
    test_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    seed: Annotated[int, Meta(ge=0)] = 0
    same_person: Annotated[float, Meta(ge=0, le=1)] = 0.7

    def __post_init__(self) -> None:
        check_fields(self, "split setting")

    def decided(self, events: Collection[str]) -> Literal["event", "identity", "test"]:
        """What a dataset of these events is divided by, which is known before any work.

        Raises:
            UsageError: one event only, and division by event is asked for.

        >>> SplitSettings().decided(["heat", "final"]), SplitSettings().decided(["final"])
        ('event', 'test')
        """
        if self.by == "auto":
            return "event" if len(events) > 1 and self.test_share < 1 else "test"
        if self.by == "event" and len(events) < 2:
            raise UsageError(
                f"There is one event only ('{next(iter(events), '')}'), which can't be divided by event. "
                "Use --split identity (train and test then share source videos) or --split test."
            )
        return self.by


def assign(
    tracklets: pl.DataFrame, settings: SplitSettings, same: Sequence[SamePerson] = ()
) -> tuple[pl.DataFrame, str]:
    """Adds `split` (train, test) and `role` (train, query, gallery), and says how it was divided.

    Args:
        tracklets: columns id, identity, kind, camera, event, source, frames, quality.
        same: who may stand in two events.

    Returns:
        The table, rows in the same order, and "event", "identity" or "test".

    Raises:
        UsageError: division by event, and people were found in one event only.
        ReidkitError: an identity or a source video would be on both sides.
    """
    events = sorted(tracklets["event"].unique().to_list())
    by = settings.decided(events)
    people = tracklets.filter(kind="person")
    if by == "event":
        groups = together(events, same)
        # Where all hang together, people in both parts are the lesser evil; `across` tells who they are.
        train = train_events(people, groups if len(groups) > 1 else [[event] for event in events], settings)
        is_train = pl.col("event").is_in(train)
    elif by == "identity":
        is_train = (pl.col("kind") == "person") & pl.col("identity").is_in(train_identities(people, settings))
    else:
        is_train = pl.lit(False)
    table = tracklets.with_columns(split=pl.when(is_train).then(pl.lit("train")).otherwise(pl.lit("test")))
    leaks = leakage(table)
    if leaks["identities"] or (leaks["sources"] and by != "identity"):
        what = "identity" if leaks["identities"] else "source video"
        raise ReidkitError(
            f"The {what} '{(leaks['identities'] or leaks['sources'])[0]}' is in train and test. "
            "Name the events that belong together in reidkit.toml, or use --split test."
        )
    chosen = queries(table.filter((pl.col("split") == "test") & (pl.col("kind") == "person")))
    role = (
        pl.when(pl.col("split") == "train")
        .then(pl.lit("train"))
        .when(pl.col("id").is_in(chosen))
        .then(pl.lit("query"))
        .otherwise(pl.lit("gallery"))
    )
    return table.with_columns(role=role), by


def together(events: Sequence[str], same: Sequence[SamePerson]) -> list[list[str]]:
    """The events in groups that may share a person, directly or over others.

    >>> together(["a", "b", "c"], [SamePerson((1, 9), ("a", "c"), 0.9)])
    [['a', 'c'], ['b']]
    """
    place = {event: k for k, event in enumerate(events)}
    pairs = np.array([[place[event] for event in one.events] for one in same], np.int64).reshape(-1, 2)
    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(events), len(events)))
    count, group = connected_components(edges, directed=False)
    return [[event for event, number in zip(events, group, strict=True) if number == k] for k in range(count)]


def across(tracklets: pl.DataFrame, same: Sequence[SamePerson]) -> list[SamePerson]:
    """Those of `same` whose identities are on both sides of the division."""
    side = dict(tracklets.filter(kind="person").select("identity", "split").iter_rows())
    return [one for one in same if len({side[i] for i in one.identities if i in side}) > 1]


def train_events(people: pl.DataFrame, groups: Sequence[Sequence[str]], settings: SplitSettings) -> list[str]:
    """The events whose identities make up a share nearest to what training shall have; at least one on each side.

    Args:
        groups: two or more; the events of one go to one side.

    >>> people = pl.DataFrame({"event": ["a", "a", "a", "b", "c"], "identity": [1, 2, 3, 4, 5]})
    >>> train_events(people, [["a"], ["b"], ["c"]], SplitSettings(test_share=0.4))
    ['a']
    """
    counts = dict(people.group_by("event").agg(pl.col("identity").n_unique()).iter_rows())
    sizes = [sum(counts.get(event, 0) for event in group) for group in groups]
    order = np.random.default_rng(settings.seed).permutation(len(groups)).tolist()
    wanted = (1 - settings.test_share) * sum(sizes)
    if len(groups) <= MOST_EVENTS_TRIED:
        every = (c for n in range(1, len(groups)) for c in itertools.combinations(order, n))
        chosen = list(min(every, key=lambda c: abs(sum(sizes[i] for i in c) - wanted)))
    else:
        chosen, total = [], 0
        for i in order[:-1]:
            if not chosen or abs(total + sizes[i] - wanted) < abs(total - wanted):
                chosen.append(i)
                total += sizes[i]
    return sorted(event for i in chosen for event in groups[i])


def train_identities(people: pl.DataFrame, settings: SplitSettings) -> list[int]:
    """A seeded choice of identities; those that two cameras saw are divided apart from those that one saw."""
    cameras = people.group_by("identity").agg(pl.col("camera").n_unique()).sort("identity")
    rng = np.random.default_rng(settings.seed)
    chosen = []
    for part in (cameras.filter(pl.col("camera") > 1), cameras.filter(pl.col("camera") == 1)):
        identities = part["identity"].to_numpy()
        count = round((1 - settings.test_share) * len(identities))
        chosen += rng.permutation(identities)[:count].tolist()
    return sorted(chosen)


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
