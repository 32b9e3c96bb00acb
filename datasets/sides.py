"""On which side of the division a tracklet is: in a fold, and after a review; and who of the training set validates.

    table = in_fold(tracklets, 2)           # the third of the folds is the test set
    table = one_side(table, nobody)         # whom a review joined is on one side
    who = validation_identities(dataset.train, share=0.1, seed=0)

Who divides, and how, is the builder's business.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import TypeVar

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .format import FOLD
from .queries import queries
from .tracklet import Tracklet

Name = TypeVar("Name", bound=Hashable)


def with_roles(table: pl.DataFrame) -> pl.DataFrame:
    """The table with the column `role` (train, query, gallery) that goes with its column `split`."""
    test = pl.col("split") == "test"
    chosen = queries(table.filter(test & (pl.col("kind") == "person")))
    role = pl.when(~test).then(pl.lit("train")).when(pl.col("id").is_in(chosen)).then(pl.lit("query"))
    return table.with_columns(role=role.otherwise(pl.lit("gallery")))


def in_fold(tracklets: pl.DataFrame, fold: int) -> pl.DataFrame:
    """The tracklets with the sides and roles of fold `fold`, whose people test; the table's own are those of fold 0."""
    if fold == 0 or FOLD not in tracklets.columns:
        return tracklets
    test = pl.col(FOLD).is_null() | (pl.col(FOLD) == fold)
    return with_roles(tracklets.with_columns(split=pl.when(test).then(pl.lit("test")).otherwise(pl.lit("train"))))


def one_side(table: pl.DataFrame, nobody: Iterable[str] = ()) -> pl.DataFrame:
    """The table with everybody on one side: where a review made one person of people on both, they test.

    Nobody who tests is ever trained on by that. Where events are divided, the whole event goes with its person, as no
    footage may be on both sides; where identities are divided, the identity.

    Args:
        table: columns id, identity, kind, event, split.
        nobody: ids of the tracklets that were no person's when the sides were chosen, so that their side says nothing.
    """
    people = table.filter(kind="person")
    mixed = table.group_by("event").agg(pl.col("split").n_unique())["split"].max() or 0
    if mixed != 2:
        events = sorted(table["event"].unique().to_list())
        joined = components(events, people.select("identity", "event").unique().iter_rows())
        test = set(table.filter(split="test")["event"].to_list())
        moved = [event for group in joined if test & set(group) for event in group]
        is_test = pl.col("event").is_in(moved)
    else:
        firm = people.filter(~pl.col("id").is_in(list(nobody)))
        sides = dict(firm.group_by("identity").agg((pl.col("split") == "test").any()).iter_rows())
        of_person = pl.col("identity").replace_strict(sides, default=None, return_dtype=pl.Boolean)
        is_test = pl.when(kind="person").then(of_person).fill_null(pl.col("split") == "test")
    return table.with_columns(split=pl.when(is_test).then(pl.lit("test")).otherwise(pl.lit("train")))


def settled(table: pl.DataFrame) -> pl.DataFrame:
    """The table as it is where nobody is on both sides; else as `one_side` makes it, with its roles.

    A division that was made after a review may part what the review had parted, and its undo joins.
    """
    sided = one_side(table)
    return table if sided["split"].equals(table["split"]) else with_roles(sided)


def components(names: Iterable[Name], standing: Iterable[tuple[Hashable, Name]]) -> list[list[Name]]:
    """The names in groups that hang together over those who stand in several of them, in order of their first name.

    Args:
        standing: who, and the name of where.

    >>> components(["a", "b", "c"], [(1, "a"), (1, "c"), (2, "b")])
    [['a', 'c'], ['b']]
    """
    names = list(names)
    place = {name: k for k, name in enumerate(names)}
    first: dict[Hashable, int] = {}
    pairs = np.array([[first.setdefault(who, place[name]), place[name]] for who, name in standing], np.int64)
    pairs = pairs.reshape(-1, 2)
    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names)))
    count, group = connected_components(edges, directed=False) if names else (0, [])
    found: list[list[Name]] = [[] for _ in range(count)]
    for name, number in zip(names, group, strict=True):
        found[number].append(name)
    return found


def validation_identities(train: Iterable[Tracklet], share: float, seed: int) -> frozenset[int]:
    """The training identities that validate: `share` of those that two cameras saw, and `share` of the others.

    They are the first in an order by the sha256 of the seed and the identity's first tracklet, so that footage that is
    added changes little of it. A share above 0 gives at least one where anybody was seen by two cameras, and never all.

    Args:
        train: the training tracklets.
        share: 0 to 1.
    """
    cameras: dict[int, set[int]] = defaultdict(set)
    first: dict[int, str] = {}
    for tracklet in train:
        cameras[tracklet.identity].add(tracklet.camera)
        first[tracklet.identity] = min(first.get(tracklet.identity, tracklet.id), tracklet.id)
    order = sorted(first, key=lambda one: hashlib.sha256(f"{seed}\n{first[one]}".encode()).digest())
    matched = [one for one in order if len(cameras[one]) > 1]
    count = min(max(round(share * len(matched)), share > 0), max(len(matched) - 1, 0))
    alone = [one for one in order if len(cameras[one]) == 1]
    return frozenset(matched[:count] + alone[: int(share * len(alone))])
