"""identities.parquet, and what the truth says of the figures in it."""

import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.format import IDENTITIES, IDENTITY_COLUMNS
from reidkit.datasets.identities import identity_table, outcomes


def table(rows):
    return pl.DataFrame(rows, schema=IDENTITY_COLUMNS, orient="row")


TRACKLETS = pl.DataFrame(
    [
        # event, identity, kind, frames, confidence, truth
        ("a", 1, "person", 60, 0.9, 7),
        ("a", 1, "person", 38, 0.8, 7),
        ("a", 1, "person", 2, 0.4, 8),  # two of a hundred crops: still pure
        ("a", 2, "person", 50, 0.7, 8),
        ("a", 2, "person", 10, 0.3, None),  # shows nobody
        ("a", 3, "person", 10, 0.6, 9),
        ("a", -1, "junk", 1, 0.0, 9),  # one of eleven: not whole
        ("a", 4, "person", 5, 0.5, None),
        ("b", 5, "person", 9, 0.9, None),  # nobody knows who is in this event
    ],
    schema={
        "event": pl.String, "identity": pl.Int64, "kind": pl.String,
        "frames": pl.Int64, "confidence": pl.Float32, "truth": pl.Int64,
    },
    orient="row",
)  # fmt: skip


def test_outcomes_count_crops():
    told = table([(k, "b" if k == 5 else "a", k / 10, k / 20, None, None) for k in range(1, 6)])
    found = outcomes(TRACKLETS, told)
    said, right = found["tracklet"]
    assert sorted(zip(said.astype(float).round(3).tolist(), right.tolist(), strict=True)) == [
        (0.3, False), (0.4, False), (0.5, False), (0.6, True), (0.7, True), (0.8, True), (0.9, True)
    ]  # fmt: skip
    assert found["pure"][0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert found["pure"][1].tolist() == [True, False, True, False]
    # Identity 1 has all of 7; 2 has 50 of 52 crops of 8, 3 ten of eleven of 9, and 4 shows nobody.
    assert found["whole"][1].tolist() == [True, True, False, False]


def test_without_truth_there_are_no_outcomes():
    blind = TRACKLETS.with_columns(truth=pl.lit(None, dtype=pl.Int64))
    assert outcomes(blind, table([(1, "a", 0.5, 0.5, None, None)])) == {}


def test_the_table_is_read_where_it_is_there(tmp_path):
    assert identity_table(tmp_path) is None
    rows = table([(1, "a", 0.5, 0.25, 2, 0.5), (2, "a", 1.0, 0.0, None, None)])
    rows.write_parquet(tmp_path / IDENTITIES)
    assert identity_table(tmp_path).equals(rows)


@pytest.mark.parametrize(
    ("row", "words"),
    [((1, "a", 1.5, 0.5, None, None), "column pure holds 1.5"), ((2, "a", 0.5, 0.5, None, None), "Identity 2 is in")],
)
def test_what_contradicts_itself_is_refused(tmp_path, row, words):
    table([row, (2, "a", 0.5, 0.5, None, None)]).write_parquet(tmp_path / IDENTITIES)
    with pytest.raises(UsageError, match=words):
        identity_table(tmp_path)
