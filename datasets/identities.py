"""`identities.parquet`: how sure a build is of each identity, and what the ground truth says of it.

    table = identity_table(root)                  # columns of `format.IDENTITY_SCHEMA`; None where there is none
    told = outcomes(tracklet_table(root), table)  # "tracklet", "pure", "whole" -> (said, right); {} without truth

Crops are counted as their tracklets': under the person whom most of the tracklet shows. The person of an identity is
the one with most of its crops.
"""

from pathlib import Path

import numpy as np
import polars as pl

from .errors import UsageError
from .format import IDENTITIES, IDENTITY_SCHEMA
from .manifest import FIX
from .schema import read_parquet

ALL = 0.95  # share of the crops that counts as all of them: an identity is pure, or whole


def identity_table(root: Path) -> pl.DataFrame | None:
    """The table of the dataset folder `root`; None where it has none, as one that was built before there was any.

    Raises:
        UsageError: it can't be read, a value contradicts the schema, or an identity stands in it twice.
    """
    path = root / IDENTITIES
    if not path.exists():
        return None
    table = read_parquet(path, IDENTITY_SCHEMA, FIX)
    twice = table.filter(pl.col("identity").is_duplicated())
    if len(twice):
        raise UsageError(f"Identity {twice['identity'][0]} is in '{path}' more than once. {FIX}")
    return table


def outcomes(tracklets: pl.DataFrame, identities: pl.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a build said, and whether it was right, of the events that have ground truth; empty where none has.

    Args:
        tracklets: columns of `format.TRACKLET_SCHEMA`. identities: of `format.IDENTITY_SCHEMA`.

    Returns:
        "tracklet", "pure", "whole" -> ([n] said, 0 to 1; [n] bool, right). A tracklet is right where it shows its
        identity's person, an identity is pure where at least `ALL` of its crops show one person, and whole where it
        holds at least `ALL` of that person's crops in the event, those in junk counted.
    """
    known = tracklets.filter(pl.col("truth").is_not_null().any().over("event"))
    crops = known.filter(pl.col("truth").is_not_null()).group_by("event", "truth").agg(of_person=pl.col("frames").sum())
    people = known.filter(pl.col("kind") == "person")
    if not len(people):
        return {}
    shown = people.group_by("event", "identity", "truth").agg(crops=pl.col("frames").sum())
    size = shown.group_by("event", "identity").agg(of_identity=pl.col("crops").sum())
    most = (
        shown.drop_nulls("truth")
        .sort("crops", "truth", descending=[True, False])
        .unique(["event", "identity"], keep="first", maintain_order=True)
        .join(crops, on=["event", "truth"])
    )
    judged = size.join(most, on=["event", "identity"], how="left").select(
        "event",
        "identity",
        person="truth",
        is_pure=(pl.col("crops") >= ALL * pl.col("of_identity")).fill_null(False),
        is_whole=(pl.col("crops") >= ALL * pl.col("of_person")).fill_null(False),
    )
    each = people.drop_nulls("confidence").join(judged, on=["event", "identity"])
    right = (each["truth"] == each["person"]).fill_null(False)
    told = identities.join(judged, on=["event", "identity"]).sort("event", "identity")
    return {
        "tracklet": (each["confidence"].to_numpy(), right.to_numpy()),
        "pure": (told["pure"].to_numpy(), told["is_pure"].to_numpy()),
        "whole": (told["whole"].to_numpy(), told["is_whole"].to_numpy()),
    }
