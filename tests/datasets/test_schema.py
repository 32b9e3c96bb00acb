"""What passes the border, and the sentence for what doesn't."""

import os
from dataclasses import dataclass
from typing import Annotated

import polars as pl
import pytest
from msgspec import Meta

from reidkit.datasets import UsageError
from reidkit.datasets.schema import Column, decode_json, read_json, read_parquet, read_toml

FIX = "Make it again."


@dataclass(frozen=True)
class Facts:
    count: Annotated[int, Meta(ge=0, le=100)]
    share: float = 0.5
    names: tuple[str, ...] = ()
    extra: dict[str, object] | None = None


def test_what_fits_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"count": 3, "names": ["x"], "unknown": 1}')
    (tmp_path / "a.toml").write_text('count = 3\nnames = ["x"]\n')
    assert read_json(tmp_path / "a.json", Facts, FIX) == Facts(3, names=("x",))
    assert read_toml(tmp_path / "a.toml", Facts, FIX) == Facts(3, names=("x",))


@pytest.mark.parametrize(
    "text",
    [
        "", "nul", "[]", "{}", '{"count": "3"}', '{"count": -1}', '{"count": 101}', '{"count": true}', '{"count": 1.5}',
        '{"count": 1, "share": NaN}', '{"count": 1, "share": 1e999}', '{"count": 1' + "0" * 400 + "}",
        '{"count": 1, "names": ["\\ud800"]}', '{"count": 1, "extra": ' + '{"a":' * 100_000,
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(text, tmp_path):
    with pytest.raises(UsageError, match=r"can't be used: .*Make it again\.") as refused:
        decode_json(text, Facts, "'facts.json'", FIX)
    assert str(refused.value).isprintable()
    (tmp_path / "a.toml").write_bytes(b"\xff" + text.encode(errors="replace"))
    with pytest.raises(UsageError, match="Make it again"):
        read_toml(tmp_path / "a.toml", Facts, FIX)


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_json(tmp_path / "absent.json", Facts, FIX)
    with pytest.raises(UsageError, match="no plain file"):
        read_json(tmp_path, Facts, FIX)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    with pytest.raises(UsageError, match="no plain file"):
        read_json(tmp_path / "pipe", Facts, FIX)
    with pytest.raises(UsageError, match="can't be read"):
        read_json(tmp_path / ("x" * 300), Facts, FIX)


COLUMNS = {
    "id": Column(pl.String),
    "kind": Column(pl.String, one_of=("person", "junk")),
    "length": Column(pl.Int64, low=0),
    "share": Column(pl.Float32, nullable=True, low=0, high=1),
}
GOOD = {"id": ["a", "b"], "kind": ["person", "junk"], "length": [1, 2], "share": [0.5, None]}


def test_tables_are_cast_to_the_declared_types(tmp_path):
    pl.DataFrame(GOOD, schema_overrides={"length": pl.UInt8}).write_parquet(tmp_path / "t.parquet")
    table = read_parquet(tmp_path / "t.parquet", COLUMNS, FIX)
    assert table.schema["length"] == pl.Int64
    assert table.schema["share"] == pl.Float32
    assert table["length"].to_list() == [1, 2]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": [None, "b"]}, "column id has 1 empty"),
        ({"id": [1, 2]}, "column id holds Int64"),
        ({"kind": ["person", "ghost"]}, "holds 'ghost'; it may hold person, junk"),
        ({"length": [1.0, 2.0]}, "column length holds Float64"),
        ({"length": [1, -2]}, "holds -2; it should hold a number of 0 or more"),
        ({"share": [2.0, 0.0]}, "holds 2.0; it should hold a number from 0 to 1"),
        ({"share": [float("nan"), 0.0]}, "holds nan"),
        ({"share": [float("inf"), 0.0]}, "holds inf"),
        ({"share": ["a", "b"]}, "column share holds String"),
    ],
)
def test_tables_that_contradict_the_schema(change, sentence, tmp_path):
    pl.DataFrame({**GOOD, **change}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=sentence):
        read_parquet(tmp_path / "t.parquet", COLUMNS, FIX)


def test_tables_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="There is no file"):
        read_parquet(tmp_path / "absent.parquet", COLUMNS, FIX)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(UsageError, match="can't be read as Parquet"):
        read_parquet(tmp_path / "t.parquet", COLUMNS, FIX)
    pl.DataFrame({"id": ["a"]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="lacks the column kind, length, share"):
        read_parquet(tmp_path / "t.parquet", COLUMNS, FIX)
