"""`check`, `inspect` and the contact sheet on a damaged dataset: sentences, never another error."""

import json
import os
import shutil

import polars as pl
import pytest

from reidkit.datasets import ReidkitError
from reidkit.datasets.own import frame_table, read_dataset, tracklet_table
from reidkit.toolkit.check import check
from reidkit.toolkit.manifest import summary, write_manifest
from reidkit.toolkit.sheets import write_sheets


@pytest.fixture(scope="module")
def whole(tmp_path_factory, write_own):
    root = write_own(tmp_path_factory.mktemp("whole") / "x", frames=2)
    write_manifest(
        root, {"name": "small", "protocol": "video-reid", "counts": {"tracklets": 9}, "split": {"by": "event"}}
    )
    return root


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "x")


def damage_cell(table, column, value):
    def damage(root):
        path = root / table
        row = pl.int_range(pl.len()) == 1
        pl.read_parquet(path).with_columns(pl.when(row).then(value).otherwise(column).alias(column)).write_parquet(path)

    return damage


def damage_manifest(**values):
    def damage(root):
        path = root / "dataset.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return damage


def replace(name, how):
    def damage(root):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        how(path)

    return damage


DAMAGES = {
    "a null": damage_cell("frames.parquet", "length", pl.lit(None)),
    "a length below 0": damage_cell("frames.parquet", "length", pl.lit(-1)),
    "an offset beyond the shard": damage_cell("frames.parquet", "offset", pl.lit(1 << 40)),
    "an offset beyond the format": damage_cell("frames.parquet", "offset", pl.lit((1 << 62) - 1)),
    "no number": damage_cell("frames.parquet", "y2", pl.lit(float("nan"))),
    "a kind of no kind": damage_cell("tracklets.parquet", "kind", pl.lit("cat")),
    "a camera of null": damage_cell("tracklets.parquet", "camera", pl.lit(None)),
    "texts for identities": damage_cell("tracklets.parquet", "identity", pl.lit("three")),
    "another camera": damage_cell("tracklets.parquet", "camera", pl.lit("\x1b[31mred")),
    "files of no kind": damage_manifest(files=["frames.parquet"]),
    "files elsewhere": damage_manifest(files={"../../etc/passwd": "0" * 64}),
    "a file's name too long": damage_manifest(files={"a" * 300: "0" * 64}),
    "other files": damage_manifest(files={"crops": "0" * 64, "frames.parquet": "0" * 64}),
    "counts of texts": damage_manifest(counts={"tracklets": "nine"}),
    "other counts": damage_manifest(counts={"tracklets": 8, "horses": 3}),
    "another fingerprint": damage_manifest(fingerprint="ab"),
    "a split of no kind": damage_manifest(split="event"),
    "notes of no kind": damage_manifest(notes={"a": 1}),
    "a name that leads elsewhere": damage_manifest(name="../../x"),
    "a pipe for a table": replace("frames.parquet", os.mkfifo),
    "a folder for a table": replace("tracklets.parquet", os.mkdir),
    "a pipe for a manifest": replace("dataset.json", os.mkfifo),
    "a pipe for crops": replace("crops/east.tar", os.mkfifo),
    "other crops": replace("crops/east.tar", lambda path: path.write_bytes(bytes(100_000))),
    "no crops": replace("crops", lambda path: None),
}


def sentences(work, *arguments):
    """What `work` returns, or the sentence of its error."""
    try:
        return work(*arguments)
    except ReidkitError as error:
        return [str(error)]


def test_a_whole_one(root):
    # The fixture has a shard a camera, fewer queries than it could, and two crops a tracklet at the most.
    shards, queries, train, test = check(root)
    assert "2 shards are in train and test" in shards
    assert "There are 2 queries" in queries
    assert "3 of 3 tracklets in train have at most 2 crops" in train
    assert "4 of 4 tracklets in test have at most 2 crops" in test
    assert summary(root)["by_identity"]["3"] == {"east": 1, "north": 1}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_damaged_is_told_in_sentences(root, what):
    before = check(root)
    DAMAGES[what](root)
    after = sentences(check, root)
    assert after
    assert after != before
    for told in (after, sentences(summary, root), sentences(sheet, root)):
        assert all("\n" not in sentence for sentence in told)


def sheet(root):
    return [str(path) for path in write_sheets(root, root / "sheet.jpg", tracklet_table(root), frame_table(root))]


def test_what_need_not_be_known(root):
    path = root / "tracklets.parquet"
    unknown = [pl.lit(None).alias(name) for name in ("quality", "confidence", "start", "end", "truth")]
    pl.read_parquet(path).with_columns(unknown).write_parquet(path)
    assert len(read_dataset(root).train) == 3
    assert sheet(root) == [str(root / "sheet.jpg")]
