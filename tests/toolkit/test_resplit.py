"""A finished dataset divided again: the sides are the tables', a kill leaves nothing half done, and a review counts."""

import json
import os

import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.decisions import Draft, open_decisions
from reidkit.datasets.own import read_dataset, reviewed_tables, tracklet_table
from reidkit.toolkit import resplit
from reidkit.toolkit.check import check
from reidkit.toolkit.folder import invalidate, refuse_other
from reidkit.toolkit.resplit import Wish, split_dataset

# Four events of two people each, in two cameras, and somebody who is nobody.
ROWS = [
    (f"{event}-{who}-{camera}", number * 2 + who, "person", camera, event, "train" if number < 2 else "query")
    for number, event in enumerate(("cup", "final", "heat", "test"))
    for who in (1, 2)
    for camera in ("north", "south")
] + [("cup-junk", -1, "junk", "north", "cup", "train")]
SPLIT = {"by": "event", "test_share": 0.5, "seed": 0}


@pytest.fixture
def root(write_own, tmp_path):
    manifest = {
        "format": 1,
        "name": "small",
        "split": SPLIT,
        "settings": {"kept": "as it is"},
        "notes": ["Of a build."],
    }
    root = write_own(tmp_path / "set", ROWS, manifest=manifest)
    path = root / "frames.parquet"  # a shard an event, as builds make them
    frames = pl.read_parquet(path).with_columns(event=pl.col("tracklet").str.split("-").list.first())
    for event, camera in ((e, c) for e in ("cup", "final", "heat", "test") for c in ("north", "south")):
        os.link(root / "crops" / f"{camera}.tar", root / "crops" / f"{event}-{camera}.tar")
    name = "crops/" + pl.col("event") + "-" + pl.col("shard").str.strip_prefix("crops/")
    frames.with_columns(shard=name).drop("event").write_parquet(path)
    return root


def sides(root):
    table = reviewed_tables(root)[0].filter(kind="person")
    return dict(table.group_by("event").agg(pl.col("split").unique().sort().str.join(" ")).sort("event").iter_rows())


def test_it_is_a_whole_dataset_afterwards(root):
    split_dataset(root, Wish(test_share=0.25, seed=1, validation=0.1))
    assert sorted(sides(root).values()) == ["test", "train", "train", "train"]
    manifest = json.loads((root / "dataset.json").read_text())
    assert manifest["split"] == ({"by": "event", "test_share": 0.25, "folds": None, "validation": 0.1, "seed": 1})
    assert manifest["settings"] == {"kept": "as it is"}
    assert manifest["notes"] == ["Of a build."]
    assert manifest["fingerprint"] == read_dataset(root).fingerprint
    assert [problem for problem in check(root) if "same footage" not in problem] == []
    assert not (root / resplit.ASIDE).exists()
    again = (root / "tracklets.parquet").read_bytes(), (root / "dataset.json").read_bytes()
    split_dataset(root, Wish())
    assert ((root / "tracklets.parquet").read_bytes(), (root / "dataset.json").read_bytes()) == again


def test_folds_and_back(root):
    found = split_dataset(root, Wish(folds=4))
    assert found.manifest["split"]["folds"] == 4
    seen = [{t.identity for t in read_dataset(root, fold).test if t.kind == "person"} for fold in range(4)]
    assert sorted(one for fold in seen for one in fold) == list(range(1, 9))
    split_dataset(root, Wish(test_share=0.5))
    assert "fold" not in tracklet_table(root).columns
    assert sorted(sides(root).values()) == ["test", "test", "train", "train"]


def test_who_tests_goes_on_testing_where_that_is_asked_for(root):
    found = split_dataset(root, Wish(test_share=0.75, keep=True))
    assert found.moved == []
    assert sides(root).items() >= {"heat": "test", "test": "test"}.items()
    found = split_dataset(root, Wish(test=("cup",), test_share=0.25))
    assert sides(root) == {"cup": "test", "final": "train", "heat": "train", "test": "train"}
    assert set(found.moved) >= {5, 6, 7, 8}


def test_the_reviewed_people_are_divided_and_an_undo_leaks_nothing(root):
    with open_decisions(root) as log:
        log.append(Draft("merge", ("cup-1-north", "heat-1-north")), Draft("split", ("final-1-north",), frame=2))
    split_dataset(root, Wish())
    assert sides(root)["cup"] == sides(root)["heat"] != sides(root)["final"]
    split_dataset(root, Wish(by="identity"))
    people = reviewed_tables(root)[0].filter(kind="person")
    assert people.group_by("identity").agg(pl.col("split").n_unique())["split"].max() == 1
    assert people.filter(pl.col("id").str.starts_with("final-1-north"))["split"].n_unique() == 1
    with open_decisions(root) as log:
        log.append(Draft("undo", decision=1), Draft("undo", decision=2))
    people = reviewed_tables(root)[0].filter(kind="person")
    assert people.group_by("identity").agg(pl.col("split").n_unique())["split"].max() == 1


@pytest.mark.parametrize("number", range(3))
def test_a_kill_is_mended_by_the_same_command(root, monkeypatch, number):
    """The process ends at the first, second or third step of the writing."""
    whole = json.loads((root / "dataset.json").read_text())
    names = ["sync_folder", "sha256_file", "write_json"]

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resplit, names[number], killed)
        with pytest.raises(KeyboardInterrupt):
            split_dataset(root, Wish(test_share=0.25))
    for refused in (read_dataset, refuse_other):
        with pytest.raises(UsageError, match=r"has no dataset\.json: .* Run the same `reidkit split` again"):
            refused(root)
    with open_decisions(root), pytest.raises(UsageError, match="Somebody else is reviewing"):
        split_dataset(root, Wish(test_share=0.25))
    assert not (root / "dataset.json").exists()  # it is put back by whoever has the lock
    split_dataset(root, Wish(test_share=0.25))
    assert sorted(sides(root).values()) == ["test", "train", "train", "train"]
    assert json.loads((root / "dataset.json").read_text())["settings"] == whole["settings"]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (Wish(test=("cop",)), "Unknown event 'cop'.*Did you mean 'cup'"),
        (Wish(test=("cup",), folds=2), "Events can test where one division goes by event"),
        (Wish(folds=9), "4 events, which can't make 9 folds"),
        (Wish(test_share=2.0), "test_share"),
        (Wish(by="test", folds=2), "A test set only has no folds"),
    ],
)
def test_what_can_not_be(root, wish, sentence):
    before = (root / "tracklets.parquet").read_bytes(), (root / "dataset.json").read_bytes()
    with pytest.raises(UsageError, match=sentence):
        split_dataset(root, wish)
    assert ((root / "tracklets.parquet").read_bytes(), (root / "dataset.json").read_bytes()) == before


def test_a_manifest_left_aside_is_not_taken_for_that_of_a_later_build(root):
    written = json.loads((root / "dataset.json").read_text()) | {"build": "0123456789ab", "fingerprint": "f" * 64}
    (root / "dataset.json").write_text(json.dumps({"files": {}} | written))
    (root / resplit.ASIDE).write_text("{}")  # the kill came when the new manifest was there
    invalidate(root, "another key")  # a build begins, and is killed
    with pytest.raises(UsageError, match="`reidkit build-dataset` command again"):
        split_dataset(root, Wish())


def test_a_folder_that_is_none_is_not_made(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        split_dataset(tmp_path / "absent", Wish())
    assert not (tmp_path / "absent").exists()


def test_a_dataset_under_review_waits(root):
    with open_decisions(root), pytest.raises(UsageError, match="Somebody else is reviewing"):
        split_dataset(root, Wish())
