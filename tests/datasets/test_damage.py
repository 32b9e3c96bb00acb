"""Every column of both tables, damaged in every way: one sentence that names file and column, never another error."""

import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.format import FRAME_SCHEMA, TRACKLET_SCHEMA
from reidkit.datasets.own import read_dataset

TABLES = {"tracklets.parquet": TRACKLET_SCHEMA, "frames.parquet": FRAME_SCHEMA}
OTHER_TYPES = {
    "text": pl.lit("some"),
    "floats": pl.lit(1.5),
    "integers": pl.lit(1),
    "lists": pl.lit([1, 2]),
    "booleans": pl.lit(True),
    "bytes": pl.lit(b"\xff"),
    "times": pl.lit(0).cast(pl.Datetime),
    "structures": pl.struct(x=pl.lit(1)),
    "nothing": pl.lit(None),
}


def first(value, name):
    """`value` in the first row, the others as they were."""
    return pl.when(pl.int_range(pl.len()) == 0).then(value).otherwise(name).alias(name)


def damages(name, column):
    """(what, expression for the column) of every damage that the schema has to refuse."""
    own = column.dtype
    alike = {
        "text": own == pl.String,
        "floats": own.is_float(),
        "integers": own.is_integer(),
        "nothing": column.nullable,
    }
    for what, value in OTHER_TYPES.items():
        if not alike.get(what):
            yield what, value.alias(name)
    if not column.nullable:
        yield "a null", first(pl.lit(None), name)
    if own.is_float():
        for value in (float("nan"), float("inf")):
            yield str(value), first(pl.lit(value, own), name)
    for bound, step in ((column.low, -1), (column.high, 1)):
        if bound is not None:
            yield f"{bound + step}", first(pl.lit(bound + step, own), name)
    if own.is_integer():
        yield "beyond int64", pl.lit(1 << 63, pl.UInt64).alias(name)
    if column.one_of:
        yield "another word", first(pl.lit("\x1b[31mred"), name)


CASES = [
    pytest.param(table, name, expression, id=f"{table.partition('.')[0]}-{name}-{what}")
    for table, schema in TABLES.items()
    for name, column in schema.items()
    for what, expression in damages(name, column)
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, write_own):
    return write_own(tmp_path_factory.mktemp("whole") / "x", frames=2)


@pytest.fixture
def tables(whole):
    """The dataset's folder, whose tables are put back afterwards."""
    before = {name: (whole / name).read_bytes() for name in TABLES}
    yield whole
    for name, data in before.items():
        (whole / name).write_bytes(data)


@pytest.mark.parametrize(("table", "name", "expression"), CASES)
def test_a_damaged_column_is_refused_in_words(tables, table, name, expression):
    path = tables / table
    pl.read_parquet(path).with_columns(expression).write_parquet(path)
    with pytest.raises(UsageError) as error:
        read_dataset(tables)
    sentence = str(error.value)
    assert f"{table}', column {name} " in sentence
    assert sentence.isprintable()


@pytest.mark.parametrize(("table", "name"), [(t, name) for t, schema in TABLES.items() for name in schema])
def test_a_missing_column_is_named(tables, table, name):
    path = tables / table
    pl.read_parquet(path).drop(name).write_parquet(path)
    with pytest.raises(UsageError, match=rf"{table}' lacks the column {name}\."):
        read_dataset(tables)


@pytest.mark.parametrize("dtype", [pl.UInt16, pl.Int32, pl.UInt64])
def test_whole_numbers_of_any_width_pass(tables, dtype):
    expected = read_dataset(tables).fingerprint
    path = tables / "frames.parquet"
    pl.read_parquet(path).with_columns(pl.col("offset", "length", "frame").cast(dtype)).write_parquet(path)
    assert read_dataset(tables).fingerprint == expected


def test_what_need_not_be_known_may_be_null(tables):
    path = tables / "tracklets.parquet"
    unknown = [name for name, column in TRACKLET_SCHEMA.items() if column.nullable]
    pl.read_parquet(path).with_columns(pl.lit(None).alias(name) for name in unknown).write_parquet(path)
    assert read_dataset(tables).train[0].start == 0


@pytest.mark.parametrize(
    "shard", ["/etc/passwd", "../x.tar", "crops/../../x.tar", "C:/x.tar", "..\\x.tar", "a" * 300, "\0", ""]
)
def test_a_shard_that_is_no_file_below_the_folder(tables, shard):
    path = tables / "frames.parquet"
    pl.read_parquet(path).with_columns(shard=pl.lit(shard)).write_parquet(path)
    with pytest.raises(UsageError, match="outside the dataset's folder") as error:
        read_dataset(tables)
    assert str(error.value).isprintable()
