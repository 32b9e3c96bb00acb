"""Sides after a review and in folds, and who validates."""

import dataclasses
import json

import polars as pl
import pytest
from decided import decide
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from reidkit.datasets import UsageError
from reidkit.datasets.benches import bench_splits, load_bench
from reidkit.datasets.decisions import Draft, numbered
from reidkit.datasets.own import read_dataset, reviewed_captions, reviewed_identities, reviewed_tables, tracklet_table
from reidkit.datasets.replay import follow, replay
from reidkit.datasets.sides import validation_identities


@pytest.fixture
def root(write_own, tmp_path):
    """Event final (train): 3 is a and b, 8 is c; event heat (test): 5 is d and e, 6 is f and g, h and i nobody."""
    return write_own(tmp_path / "set")


def sides(table):
    return dict(table.select("id", "split").iter_rows())


def test_all_that_reads_a_dataset_sees_the_decisions(root):
    before = read_dataset(root)
    decide(root, Draft("merge", ("d", "f")), Draft("junk", ("c",)), Draft("split", ("a",), frame=2))
    after = read_dataset(root)
    assert {t.id: t.identity for t in after.train} == {"a": 3, "b": 3, "a~2": 11}
    assert after.train_left_out == 1
    assert {t.identity for t in after.gallery if t.kind == "person"} == {5}
    assert [len(t.frames) for t in after.train] == [2, 3, 5]
    assert after.fingerprint != before.fingerprint
    decide(root, *(Draft("undo", decision=number) for number in (1, 2, 3)))
    assert read_dataset(root).fingerprint == before.fingerprint


def test_one_person_in_events_of_both_sides_tests_with_the_whole_event(root):
    decide(root, Draft("merge", ("c", "f")))
    assert set(sides(reviewed_tables(root)[0]).values()) == {"test"}
    assert read_dataset(root).train == ()
    decide(root, Draft("undo", decision=1))
    assert sides(reviewed_tables(root)[0]) == sides(tracklet_table(root))


def test_where_identities_are_divided_the_person_tests(write_own, tmp_path):
    rows = [(name, who, "person", camera, "cup", role) for name, who, camera, role in (
        ("a", 1, "north", "train"), ("b", 1, "east", "train"), ("c", 2, "north", "train"),
        ("d", 3, "north", "query"), ("e", 3, "east", "query"),
    )]  # fmt: skip
    root = write_own(tmp_path / "set", [*rows, ("j", -1, "junk", "east", "cup", "gallery")])
    decide(root, Draft("identity", ("j",), identity=1))  # what was nobody's takes its person's side
    assert sides(reviewed_tables(root)[0])["j"] == "train"
    decide(root, Draft("merge", ("c", "d")))
    after = sides(reviewed_tables(root)[0])
    assert after == {"a": "train", "b": "train", "c": "test", "d": "test", "e": "test", "j": "train"}


IDS = "abcdefghi"
DRAFTS = st.one_of(
    st.builds(
        lambda ids: Draft("merge", tuple(ids)), st.lists(st.sampled_from(IDS), min_size=2, max_size=3, unique=True)
    ),
    st.builds(lambda id_: Draft("split", (id_,)), st.sampled_from(IDS)),
    st.builds(lambda id_: Draft("split", (id_,), frame=3), st.sampled_from(IDS)),
    st.builds(lambda id_: Draft("junk", (id_,)), st.sampled_from(IDS)),
    st.builds(lambda id_, who: Draft("identity", (id_,), identity=who), st.sampled_from(IDS), st.integers(3, 9)),
    st.builds(lambda number: Draft("undo", decision=number), st.integers(1, 3)),
)


@examples(max_examples=150)
@given(st.lists(DRAFTS, max_size=8), st.sampled_from(["event", "identity"]))
def test_no_sequence_of_decisions_puts_anybody_on_both_sides(drafts, by):
    rows = [
        ("a", 3, "final", "train"), ("b", 3, "final", "train"), ("c", 8, "cup", "train"), ("d", 5, "heat", "test"),
        ("e", 5, "heat", "test"), ("f", 6, "heat", "test"), ("g", 6, "heat", "test"), ("h", -1, "final", "train"),
        ("i", 4, "cup", "train"),
    ]  # fmt: skip
    if by == "identity":
        rows = [(id_, who, "cup", "test" if who < 0 else side) for id_, who, _, side in rows]
    table = pl.DataFrame(rows, schema=("id", "identity", "event", "split"), orient="row").with_columns(
        kind=pl.when(pl.col("identity") < 0).then(pl.lit("junk")).otherwise(pl.lit("person")),
        camera=pl.lit("north"), role=pl.lit("gallery"), start=0.0, end=1.0, frames=5, quality=0.5, confidence=0.5,
    )  # fmt: skip
    frames = pl.DataFrame({"tracklet": [i for i in IDS for _ in range(5)], "frame": [*range(5)] * 9, "time": 0.0})
    fitting = []
    for draft in drafts:
        if draft.decision is None or draft.decision <= len(fitting):
            trial = numbered([*fitting, draft], 1)
            if not follow(table, frames, trial)[1]:
                fitting.append(draft)
    after, _ = replay(table, frames, numbered(fitting, 1))
    people = after.filter(kind="person")
    assert people.group_by("identity").agg(pl.col("split").n_unique())["split"].max() in (1, None)
    if by == "event":
        assert after.group_by("event").agg(pl.col("split").n_unique())["split"].max() == 1
    tested = set(table.filter(split="test", kind="person")["id"].to_list())
    assert set(after.filter(pl.col("id").is_in(tested), kind="person")["split"].to_list()) <= {"test"}


def test_confirmed_identities_are_sure_and_changed_ones_unknown(root):
    columns = {"identity": pl.Int64, "event": pl.String, "pure": pl.Float32, "whole": pl.Float32, "twin": pl.Int64}
    rows = [(3, "final", 0.5, 0.6, 8), (8, "final", 0.7, 0.8, 3), (5, "heat", 0.4, 0.4, 6), (6, "heat", 0.9, 0.9, None)]
    table = pl.DataFrame(rows, schema=columns, orient="row").with_columns(same=pl.lit(0.5, pl.Float32))
    table.write_parquet(root / "identities.parquet")
    decide(root, Draft("confirm", ("a", "b")), Draft("split", ("e",)))
    found = reviewed_identities(root).select("identity", "pure", "whole", "twin").rows()
    assert [tuple(round(v, 4) if v is not None else v for v in row) for row in found] == (
        [(3, 1.0, 1.0, None), (6, 0.9, 0.9, None), (8, 0.7, 0.8, 3)]
    )
    sure = dict(reviewed_tables(root)[0].select("id", "confidence").iter_rows())
    assert (sure["a"], sure["b"]) == (1.0, 1.0)


def test_captions_are_those_of_the_review(root):
    (root / "captions.jsonl").write_text('{"tracklet": "a", "text": "red shoes", "doubts": ["too short"]}\n')
    decide(root, Draft("caption", ("a",), text="blue shoes"), Draft("caption", ("c",), text="a hat"))
    assert [(c.tracklet, c.text) for c in reviewed_captions(root)] == [("a", "blue shoes"), ("c", "a hat")]
    assert {t.id: t.captions for t in read_dataset(root).train} == {
        "a": ("blue shoes",), "b": ("blue shoes",), "c": ("a hat",),
    }  # fmt: skip


def test_folds(root):
    path = root / "tracklets.parquet"
    table = pl.read_parquet(path).with_columns(fold=pl.when(event="heat").then(0).otherwise(1))
    table.write_parquet(path)
    manifest = json.loads((root / "dataset.json").read_text()) | {"split": {"by": "event", "folds": 2}}
    (root / "dataset.json").write_text(json.dumps(manifest))
    assert bench_splits(str(root)) == 2
    first, second = read_dataset(root), load_bench(str(root), split=1)
    assert {t.identity for t in first.train} == {3, 8} == {t.identity for t in second.test}
    assert {t.identity for t in second.train} == {5, 6}
    assert {t.id for t in second.query} == {"a", "b"}
    assert first.fingerprint != second.fingerprint
    decide(root, Draft("merge", ("c", "f")))
    assert read_dataset(root, 1).train == read_dataset(root).train == ()
    with pytest.raises(UsageError, match=r"no split 2; its folds are 0 to 1"):
        read_dataset(root, 2)
    table.with_columns(fold=1 - pl.col("fold")).write_parquet(path)
    with pytest.raises(UsageError, match="is in fold 0 and on the other side"):
        read_dataset(root)


def test_validation_is_a_share_of_both_kinds_and_never_all(root):
    (train,) = [t for t in read_dataset(root).train if t.id == "a"]
    people = [
        dataclasses.replace(train, id=f"t{who:03d}-{camera}", identity=who, camera=camera)
        for who in range(40)
        for camera in range(2 if who < 20 else 1)
    ]
    found = validation_identities(people, 0.25, seed=1)
    assert sum(who < 20 for who in found) == 5 == sum(who >= 20 for who in found)
    assert found == validation_identities(people[::-1], 0.25, seed=1)
    assert found != validation_identities(people, 0.25, seed=2)
    assert validation_identities(people, 0.0, seed=1) == frozenset()
    assert len(validation_identities(people[:4], 0.9, seed=1)) == 1
    assert validation_identities(people[:2], 0.5, seed=1) == frozenset()
    more = validation_identities([*people, dataclasses.replace(train, id="new-a", identity=99)], 0.25, seed=1)
    assert len(found & more) >= len(found) - 1
