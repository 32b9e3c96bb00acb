"""Dividing into train, query and gallery."""

import polars as pl
import pytest

from reidkit.datasets import ReidkitError, UsageError
from reidkit.datasets.manifest import SamePerson
from reidkit.datasets.queries import queries
from reidkit.toolkit.split import SplitSettings, across, assign, leakage


def table(rows):
    """Rows (event, camera, identity, frames, quality)."""
    return pl.DataFrame(
        [
            {
                "id": f"t{i:03d}",
                "event": event,
                "camera": camera,
                "source": f"{event}/{camera}",
                "identity": identity,
                "kind": "person" if identity > 0 else "junk",
                "frames": frames,
                "quality": quality,
            }
            for i, (event, camera, identity, frames, quality) in enumerate(rows)
        ]
    )


def events(*sizes):
    """One event a size, as many people, two cameras, each person in both; and one junk tracklet an event."""
    rows, identity = [], 0
    for number, size in enumerate(sizes):
        rows.append((f"e{number}", "a", -1, 3, 0.2))
        for _ in range(size):
            identity += 1
            rows += [(f"e{number}", camera, identity, 10, 0.8) for camera in "ab"]
    return table(rows)


@pytest.mark.parametrize(
    ("sizes", "share", "train_people"),
    [
        ((4, 4), 0.5, 4),
        ((2, 3, 5), 0.5, 5),  # 5 against 2 + 3
        ((10, 1), 0.5, 1),  # as near as whole events allow (1 or 10 of 11: equally far; both are fine)
        ((3, 3, 3, 3), 0.25, 9),
        (tuple([1] * 20), 0.5, 10),  # more events than every division is tried for
    ],
)
def test_events_go_whole_to_one_side(sizes, share, train_people):
    divided, by = assign(events(*sizes), SplitSettings(test_share=share))
    assert by == "event"
    sides = divided.group_by("event").agg(pl.col("split").n_unique())
    assert sides["split"].max() == 1
    people = divided.filter(kind="person")
    found = people.filter(split="train")["identity"].n_unique()
    assert found == train_people or sizes == (10, 1)
    assert 0 < found < sum(sizes)
    assert leakage(divided) == {"identities": [], "sources": []}


def test_roles():
    divided, _ = assign(events(3, 3), SplitSettings())
    assert set(divided.filter(split="train")["role"]) == {"train"}
    test = divided.filter(split="test")
    assert set(test.filter(kind="person")["role"]) == {"query"}
    assert set(test.filter(kind="junk")["role"]) == {"gallery"}
    assert divided["id"].to_list() == events(3, 3)["id"].to_list()  # order kept


def test_mars_rule_for_queries():
    rows = [
        ("e", "a", 1, 10, 0.5),
        ("e", "a", 1, 10, 0.9),  # the better of two in one camera asks
        ("e", "b", 1, 10, 0.5),
        ("e", "a", 2, 10, 0.9),  # seen by one camera only: no match, no query
        ("e", "a", 2, 10, 0.9),
    ]
    assert queries(table(rows)) == ["t001", "t002"]


def test_one_event_is_a_test_set():
    divided, by = assign(events(5), SplitSettings())
    assert by == "test"
    assert set(divided["split"]) == {"test"}


def test_one_event_by_identity():
    divided, by = assign(events(10), SplitSettings(by="identity", test_share=0.3))
    assert by == "identity"
    assert divided.filter(kind="person", split="train")["identity"].n_unique() == 7
    assert leakage(divided)["identities"] == []
    assert set(divided.filter(kind="junk")["split"]) == {"test"}


def test_seed_decides_which_identities():
    def train(seed):
        divided, _ = assign(events(12), SplitSettings(by="identity", seed=seed))
        return divided.filter(split="train")["id"].to_list()

    assert train(1) == train(1)
    assert len({tuple(train(seed)) for seed in range(4)}) > 1


def test_one_event_by_event_is_refused():
    with pytest.raises(UsageError, match=r"one event only \('e0'\).*--split identity"):
        assign(events(5), SplitSettings(by="event"))


@pytest.mark.parametrize(
    ("by", "share", "names", "decided"),
    [
        ("auto", 0.5, {"a", "b"}, "event"),
        ("auto", 0.5, {"a"}, "test"),
        ("auto", 1.0, {"a", "b"}, "test"),
        ("identity", 0.5, {"a", "b"}, "identity"),
        ("test", 0.5, {"a", "b"}, "test"),
        ("event", 1.0, {"a", "b"}, "event"),
    ],
)
def test_what_divides_is_known_before_any_work(by, share, names, decided):
    assert SplitSettings(by=by, test_share=share).decided(names) == decided


def test_an_identity_on_both_sides_fails_the_build():
    rows = [("e0", "a", 1, 5, 1.0), ("e0", "b", 1, 5, 1.0), ("e1", "a", 1, 5, 1.0), ("e1", "b", 2, 5, 1.0)]
    with pytest.raises(ReidkitError, match="identity '1' is in train and test"):
        assign(table(rows), SplitSettings())


def test_a_source_on_both_sides_fails_the_build():
    rows = table([("e0", "a", 1, 5, 1.0), ("e1", "a", 2, 5, 1.0)]).with_columns(source=pl.lit("one"))
    with pytest.raises(ReidkitError, match="source video 'one'"):
        assign(rows, SplitSettings())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"test_share": 0.0}, "'test_share', which takes a number above 0 and up to 1"),
        ({"test_share": 1.5}, "'1.5' is no value for the split setting 'test_share'"),
        ({"test_share": float("nan")}, "'nan' is no value"),
        ({"seed": -1}, "'-1' is no value for the split setting 'seed'"),
        ({"by": "half"}, "one of auto, event, identity, test"),
    ],
)
def test_settings_out_of_range(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        SplitSettings(**wrong)


def same(identities, *names):
    return SamePerson(identities, names, 0.9)


@pytest.mark.parametrize("seed", range(4))
def test_events_that_may_share_a_person_go_to_one_side(seed):
    rows = events(3, 3, 3, 3)
    pairs = [same((1, 4), "e0", "e1"), same((5, 11), "e1", "e3")]
    divided, _ = assign(rows, SplitSettings(seed=seed), pairs)
    sides = dict(divided.group_by("event").agg(pl.col("split").first()).iter_rows())
    assert sides["e0"] == sides["e1"] == sides["e3"] != sides["e2"]
    assert across(divided, pairs) == []


def test_where_all_events_hang_together_they_are_divided_as_ever_and_the_pairs_are_told():
    rows = events(3, 3)
    pairs = [same((1, 4), "e0", "e1"), same((2, 5), "e0", "e1")]
    divided, by = assign(rows, SplitSettings(), pairs)
    assert by == "event"
    assert divided.equals(assign(rows, SplitSettings())[0])
    assert across(divided, pairs) == pairs
    test_only, _ = assign(rows, SplitSettings(by="test"), pairs)
    assert across(test_only, pairs) == []
