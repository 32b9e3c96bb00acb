"""The division: nobody and no footage on both sides, queries that have a match, cameras and lengths in balance."""

from collections.abc import Iterator

import polars as pl

from ...datasets.queries import queries
from ..split import across
from .material import Material, Problem, named

SHARE = 0.9  # of a side's crops that one of its cameras may have
LONGEST = 0.5  # share of a side's crops that one tracklet may have, where there are `MANY` or more
SHORT, MOST_SHORT = 2, 0.5  # crops; share of a side's tracklets that may have no more
MANY = 10


def sides(material: Material) -> Iterator[Problem]:
    """No identity, event, shard or picture is on both sides."""
    if material.reviewed is None or material.frames is None or material.tracklets is None:
        return
    table, where = material.reviewed, material.tracklets.select("id", "split")
    crops = material.frames.select("tracklet", "shard").join(where, left_on="tracklet", right_on="id", how="left")
    both = {
        "identities": table.filter(kind="person").select(key="identity", side="split", id="id"),
        "events": table.filter(pl.col("event") != "").select(key="event", side="split", id="id"),
        "shards": crops.select(key="shard", side="split", id="tracklet"),
    }
    if material.looks is not None:
        # One picture on both sides: the same footage under two names, copied into another container perhaps.
        alike = crops.with_columns(digest=pl.Series(material.looks.digest)).filter(pl.col("digest") != 0)
        both["crops of the same bytes"] = alike.select(key="digest", side="split", id="tracklet")
    split = material.manifest.split if material.manifest is not None else None
    shared = split is not None and split.by == "identity"
    for name, rows in both.items():
        found = rows.group_by("key").agg(pl.col("side").drop_nulls().n_unique().alias("n"), pl.col("id").unique())
        found = found.filter(pl.col("n") > 1).sort("key")
        if len(found) and not (shared and name in ("events", "shards", "crops of the same bytes")):
            ids = sorted(set(found["id"].explode().to_list()))
            first = ids[0] if name == "crops of the same bytes" else found["key"][0]
            yield Problem(name, f"{len(found)} {name} are in train and test, '{first}' first.", tuple(ids))


def returning(material: Material) -> Iterator[Problem]:
    """Nobody who may stand in two events is on both sides."""
    if material.reviewed is None or material.manifest is None:
        return
    for one in across(material.reviewed, material.manifest.same_person):
        (a, b), (event, other) = one.identities, one.events
        theirs = material.reviewed.filter(pl.col("identity").is_in([a, b]), kind="person")
        yield Problem(
            "same person",
            f"Identities {a} ('{event}') and {b} ('{other}') are one person with a probability of "
            f"{one.probability:.2f}, and are in train and test.",
            tuple(theirs["id"].sort().to_list()),
        )


def matches(material: Material) -> Iterator[Problem]:
    """Every query has a match in another camera; of ours, there is one for each (identity, camera) that has."""
    if material.reviewed is None or material.tracklets is None:
        return
    people = material.reviewed.filter((pl.col("kind") == "person") & (pl.col("split") == "test"))
    seen = people.group_by("identity").agg(pl.col("camera").n_unique().alias("cameras"))
    alone = people.filter(role="query").join(seen, on="identity").filter(pl.col("cameras") < 2)
    if len(alone):
        ids = alone["id"].sort().to_list()
        yield Problem("matches", f"{len(ids)} queries have no match in another camera: {named(ids)}.", tuple(ids))
    if material.manifest is None:
        return
    test = material.tracklets.filter((pl.col("kind") == "person") & (pl.col("split") == "test"))
    have, due = set(test.filter(role="query")["id"].to_list()), queries(test)
    if len(have) != len(due):
        yield Problem(
            "queries",
            f"There are {len(have)} queries; one for each matched (identity, camera) would be {len(due)}.",
            tuple(sorted(have ^ set(due))),
        )


def cameras(material: Material) -> Iterator[Problem]:
    """No camera has nearly all crops of its side."""
    for side, people in _sides_of(material):
        if people["camera"].n_unique() < 2:
            continue
        crops = people.group_by("camera").agg(pl.col("frames").sum(), pl.col("id")).sort("frames", descending=True)
        share = crops["frames"][0] / max(crops["frames"].sum(), 1)
        if share > SHARE:
            yield Problem(
                "camera balance",
                f"Camera '{crops['camera'][0]}' has {share:.0%} of the crops of people in {side}; the other "
                f"{len(crops) - 1} cameras hardly count.",
                tuple(sorted(crops["id"][0].to_list())),
            )


def lengths(material: Material) -> Iterator[Problem]:
    """No side that is mostly scraps, and none that is mostly one tracklet."""
    for side, people in _sides_of(material):
        short = people.filter(pl.col("frames") <= SHORT)["id"].sort().to_list()
        if len(short) > MOST_SHORT * len(people):
            yield Problem(
                "length balance",
                f"{len(short)} of {len(people)} tracklets in {side} have at most {SHORT} crops: {named(short)}.",
                tuple(short),
            )
        longest = people.sort(["frames", "id"], descending=[True, False]).row(0, named=True)
        share = longest["frames"] / people["frames"].sum()
        if len(people) >= MANY and share > LONGEST:
            yield Problem(
                "length balance",
                f"Tracklet '{longest['id']}' alone has {share:.0%} of the crops of people in {side}.",
                (longest["id"],),
            )


def _sides_of(material: Material) -> Iterator[tuple[str, pl.DataFrame]]:
    for side in ("train", "test"):
        if material.reviewed is not None:
            people = material.reviewed.filter((pl.col("kind") == "person") & (pl.col("split") == side))
            if len(people):
                yield side, people
