"""The dataset's numbers; what a whole build writes is looked at in test_build.py."""

import polars as pl

from reidkit.datasets.format import TRACKLET_COLUMNS
from reidkit.toolkit.manifest import counts


def test_counts_by_hand():
    rows = [
        ("a", 1, "person", "left", "train", "train", 5),
        ("b", 1, "person", "right", "train", "train", 4),
        ("c", 2, "person", "left", "test", "query", 3),
        ("d", 2, "person", "right", "test", "gallery", 2),
        ("e", -1, "junk", "left", "test", "gallery", 1),
    ]
    names = ("id", "identity", "kind", "camera", "split", "role", "frames")
    table = pl.DataFrame([dict(zip(names, row, strict=True)) for row in rows], schema=TRACKLET_COLUMNS)
    assert counts(table.with_columns(event=pl.lit("e"))) == {
        "tracklets": 5,
        "identities": 2,
        "cameras": 2,
        "events": 1,
        "crops": 15,
        "junk": 1,
        "train_identities": 1,
        "test_identities": 1,
        "train_tracklets": 2,
        "query": 1,
        "gallery": 2,
    }
