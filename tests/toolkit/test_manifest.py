"""The dataset's tables and numbers; damage that `check` finds is tried in test_build.py on a whole dataset."""

import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.attributes import read_attributes
from reidkit.datasets.format import TRACKLET_COLUMNS
from reidkit.toolkit.manifest import check, counts, write_attributes


def test_attributes_are_read_back_by_the_captioner(tmp_path):
    write_attributes(tmp_path, {2: {"shoes": "red, new", "height_m": 1.9}, 1: {"hair": 'a "bun"'}})
    assert read_attributes(tmp_path / "attributes.csv") == {
        1: {"hair": 'a "bun"'},
        2: {"shoes": "red, new", "height_m": "1.9"},
    }
    write_attributes(tmp_path, {})  # a later build without truth leaves no stale table
    assert not (tmp_path / "attributes.csv").exists()


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


def test_a_folder_without_its_manifest(tmp_path):
    with pytest.raises(UsageError, match=r"has no dataset\.json"):
        check(tmp_path)
