"""`check` on datasets that were damaged in one way after the other: it says what is wrong, and never breaks off."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.format import FRAME_SCHEMA, TRACKLET_SCHEMA
from reidkit.toolkit.check import check


@pytest.fixture
def copy(built, tmp_path):
    """A dataset of its own for a test to damage."""
    out = tmp_path / "set"
    shutil.copytree(built[0], out)
    return out


def test_a_whole_dataset_has_no_problems(copy):
    assert check(copy) == []


def test_a_folder_without_its_manifest(tmp_path):
    with pytest.raises(UsageError, match=r"has no dataset\.json"):
        check(tmp_path)


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda out: (out / "frames.parquet").unlink(), "missing"),
        (lambda out: (out / "tracklets.parquet").write_bytes(b"PAR1"), "other bytes"),
        (lambda out: next((out / "crops").glob("*.tar")).unlink(), "missing"),
        (lambda out: flip(next((out / "crops").glob("*.tar"))), "can't be decoded"),
        (lambda out: recount(out), "The manifest counts"),
        (lambda out: leak(out), "in train and test"),
        (lambda out: return_on_the_other_side(out), r"are one person with a probability of 0.90, and are in train and"),
        (lambda out: repeat_source(out), "'gala/left' and 'match/right' are the same footage"),
        (lambda out: repeat_crop(out), "1 crops of the same bytes are in train and test"),
    ],
    ids=[
        "frames",
        "table",
        "shard",
        "crop",
        "counts",
        "identity on both sides",
        "person on both sides",
        "source twice",
        "crop on both sides",
    ],
)
def test_check_finds_damage(copy, break_it, sentence):
    break_it(copy)
    assert any(sentence in problem for problem in check(copy)), check(copy)


def flip(path):
    data = bytearray(path.read_bytes())
    data[512:520] = b"no image"  # the first JPEG's head
    path.write_bytes(bytes(data))


def recount(out):
    manifest = json.loads((out / "dataset.json").read_text())
    manifest["counts"]["identities"] += 1
    (out / "dataset.json").write_text(json.dumps(manifest))


def leak(out):
    table = pl.read_parquet(out / "tracklets.parquet")
    event = table.filter(split="test", kind="person")["identity"][0]
    table = table.with_columns(
        identity=pl.when((pl.col("split") == "train") & (pl.col("kind") == "person"))
        .then(pl.lit(event))
        .otherwise(pl.col("identity"))
    )
    table.write_parquet(out / "tracklets.parquet")


def return_on_the_other_side(out):
    people = pl.read_parquet(out / "tracklets.parquet").filter(kind="person").unique("split").sort("split")
    manifest = json.loads((out / "dataset.json").read_text())
    same = {"identities": people["identity"].to_list(), "events": people["event"].to_list(), "probability": 0.9}
    (out / "dataset.json").write_text(json.dumps(manifest | {"same_person": [same]}))


def repeat_source(out):
    manifest = json.loads((out / "dataset.json").read_text())
    by_key = {(source["event"], source["camera"]): source for source in manifest["sources"]}
    by_key["match", "right"]["sha256"] = by_key["gala", "left"]["sha256"]
    (out / "dataset.json").write_text(json.dumps(manifest))


def repeat_crop(out):
    """One crop of the training set takes the place of one of the test set, as in a copied video."""
    sides = pl.read_parquet(out / "tracklets.parquet").select(tracklet="id", side="split")
    frames = pl.read_parquet(out / "frames.parquet").join(sides, on="tracklet")
    rows = frames.sort("length").to_dicts()
    there = max((row for row in rows if row["side"] == "test"), key=lambda row: row["length"])
    here = next(row for row in rows if row["side"] == "train" and row["length"] <= there["length"])
    data = (out / here["shard"]).read_bytes()[here["offset"] :][: here["length"]]
    with open(out / there["shard"], "rb+") as file:
        file.seek(there["offset"])
        file.write(data)
    same = (pl.col("shard") == there["shard"]) & (pl.col("offset") == there["offset"])
    frames = frames.drop("side").with_columns(length=pl.when(same).then(here["length"]).otherwise("length"))
    frames.write_parquet(out / "frames.parquet")


def test_every_problem_is_told_not_only_the_first(copy):
    (copy / "tracklets.parquet").write_bytes(b"no table")
    flip(next((copy / "crops").glob("*.tar")))
    problems = check(copy)
    assert any("tracklets.parquet' has other bytes" in problem for problem in problems)
    assert any("can't be read as Parquet" in problem for problem in problems)
    assert any("can't be decoded" in problem for problem in problems)


WRONG = (
    None,
    -1,
    -(2**63),
    2**62,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "../../x",
    "\x1b[31m",
    "\0",
    "x" * 5000,
    [1, 2],
)


@pytest.mark.parametrize("table", ["tracklets.parquet", "frames.parquet"])
def test_wrong_columns_and_cells_are_told(copy, table):
    """Every column is left out, of another type, null, and given values that it must not have."""
    whole = pl.read_parquet(copy / table)
    schema = TRACKLET_SCHEMA if table == "tracklets.parquet" else FRAME_SCHEMA
    for name in schema:
        damaged = [whole.drop(name), whole.with_columns(pl.lit(None).alias(name)), whole.head(0)]
        damaged += [whole.with_columns(pl.lit(value, allow_object=False).alias(name)) for value in WRONG[1:-1]]
        damaged += [whole.with_columns(pl.Series(name, [WRONG[-1]] * len(whole)))]
        for one in damaged:
            one.write_parquet(copy / table)
            problems = check(copy)
            assert problems, name  # its bytes are others, if nothing else
            assert all("\n" not in problem and problem.isprintable() for problem in problems)


def test_wrong_values_in_the_manifest_are_told(copy):
    """Every key of the manifest, also inside its tables, takes values that it must not have."""
    whole = json.loads((copy / "dataset.json").read_text())
    wrong = (None, -1, 1e300, "", "../../x", "\x1b[31m", [], {}, [[1]], {"a": None}, True)
    for value in wrong:
        for place in [[key] for key in whole] + [
            [key, inner] for key in ("files", "split", "counts") for inner in whole[key]
        ]:
            damaged = json.loads(json.dumps(whole))
            inside = damaged
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = value
            (copy / "dataset.json").write_text(json.dumps(damaged))
            try:
                problems = check(copy)
            except UsageError as error:
                problems = [str(error)]
            assert all("\n" not in problem and problem.isprintable() for problem in problems)


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bytes_are_told(copy, seed):
    """Any one byte of any file: something is said, and nothing breaks."""
    rng = np.random.default_rng(seed)
    for path in sorted(path for path in copy.rglob("*") if path.is_file() and ".work" not in path.parts):
        data = path.read_bytes()
        for _ in range(4 if data else 0):  # the log's lock is empty
            at = int(rng.integers(len(data)))
            path.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
            try:
                problems = check(copy)
            except UsageError as error:
                problems = [str(error)]
            listed = path.suffix in (".parquet", ".tar") or path.name == "attributes.csv"
            assert problems or not listed, (path.name, at)
        path.write_bytes(data)
    assert check(copy) == []
