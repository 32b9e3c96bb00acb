"""Dividing into train, query and gallery."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from reidkit.datasets import ReidkitError, UsageError
from reidkit.datasets.manifest import SamePerson
from reidkit.datasets.queries import queries
from reidkit.toolkit.split import SplitSettings, across, assign, kept_parts, leakage, split_notes, together


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
    found = assign(events(*sizes), SplitSettings(test_share=share))
    divided, by = found.table, found.by
    assert by == "event"
    sides = divided.group_by("event").agg(pl.col("split").n_unique())
    assert sides["split"].max() == 1
    people = divided.filter(kind="person")
    found = people.filter(split="train")["identity"].n_unique()
    assert found == train_people or sizes == (10, 1)
    assert 0 < found < sum(sizes)
    assert leakage(divided) == {"identities": [], "sources": []}


def test_roles():
    divided = assign(events(3, 3), SplitSettings()).table
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
    found = assign(events(5), SplitSettings())
    divided, by = found.table, found.by
    assert by == "test"
    assert set(divided["split"]) == {"test"}


def test_one_event_by_identity():
    found = assign(events(10), SplitSettings(by="identity", test_share=0.3))
    divided, by = found.table, found.by
    assert by == "identity"
    assert divided.filter(kind="person", split="train")["identity"].n_unique() == 7
    assert leakage(divided)["identities"] == []
    assert set(divided.filter(kind="junk")["split"]) == {"test"}


def test_seed_decides_which_identities():
    def train(seed):
        divided = assign(events(12), SplitSettings(by="identity", seed=seed)).table
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
    divided = assign(rows, SplitSettings(seed=seed), pairs).table
    sides = dict(divided.group_by("event").agg(pl.col("split").first()).iter_rows())
    assert sides["e0"] == sides["e1"] == sides["e3"] != sides["e2"]
    assert across(divided, pairs) == []


def test_where_all_events_hang_together_they_are_divided_as_ever_and_the_pairs_are_told():
    rows = events(3, 3)
    pairs = [same((1, 4), "e0", "e1"), same((2, 5), "e0", "e1")]
    found = assign(rows, SplitSettings(), pairs)
    divided, by = found.table, found.by
    assert by == "event"
    assert divided.equals(assign(rows, SplitSettings()).table)
    assert across(divided, pairs) == pairs
    test_only = assign(rows, SplitSettings(by="test"), pairs).table
    assert across(test_only, pairs) == []


def test_both_sides_get_their_share_of_each_activity():
    rows = events(2, 2, 4, 4)
    activities = {"e0": "judo", "e1": "judo", "e2": "tango", "e3": "tango"}
    for seed in range(6):
        divided = assign(rows, SplitSettings(seed=seed), activities=activities).table
        sides = dict(divided.group_by("event").agg(pl.col("split").first()).iter_rows())
        assert sides["e0"] != sides["e1"]
        assert sides["e2"] != sides["e3"]


def test_activities_where_identities_are_divided():
    rows = events(6, 2)
    divided = assign(rows, SplitSettings(by="identity"), activities={"e0": "judo", "e1": "tango"}).table
    train = divided.filter(kind="person", split="train").group_by("event").agg(pl.col("identity").n_unique())
    assert dict(train.iter_rows()) == {"e0": 3, "e1": 1}


@pytest.mark.parametrize("by", ["event", "identity"])
def test_everybody_tests_in_one_fold(by):
    divided = assign(events(2, 3, 2, 1, 3, 1), SplitSettings(by=by, folds=3)).table
    people = divided.filter(kind="person").select("identity", "fold").unique()
    assert len(people) == 12
    assert people["fold"].value_counts().sort("fold")["count"].to_list() == [4, 4, 4]
    assert ((divided["fold"] == 0).fill_null(True) == (divided["split"] == "test")).all()
    nobody = divided.filter(kind="junk")["fold"].to_list()
    assert (nobody == [None] * 6) == (by == "identity")  # nobody may be confused with whoever is looked for in any fold


def test_folds_that_can_not_be():
    with pytest.raises(UsageError, match=r"2 events, which can't make 3 folds\. .* use --split identity"):
        assign(events(3, 3), SplitSettings(folds=3))
    with pytest.raises(UsageError, match=r"make 2 groups that share nobody.*Give --folds 2"):
        assign(events(3, 3, 3), SplitSettings(folds=3), [same((1, 4), "e0", "e1")])
    with pytest.raises(UsageError, match=r"There are 3 people, who can't make 4 folds"):
        assign(events(3), SplitSettings(by="identity", folds=4))
    with pytest.raises(UsageError, match="A test set only has no folds"):
        SplitSettings(by="test", folds=2)


def test_an_only_event_that_tested_tests_when_another_comes():
    first = assign(events(3), SplitSettings()).table
    assert set(first["split"]) == {"test"}
    settings = SplitSettings(test_share=0.3)
    both = assign(events(3, 3), settings, kept=kept_parts(first, None, settings)).table
    assert dict(both.group_by("event").agg(pl.col("split").first()).iter_rows()) == {"e0": "test", "e1": "train"}


def test_where_the_footage_that_tested_is_gone_other_footage_tests():
    before = assign(events(3, 3, 3), SplitSettings()).table
    train = before.filter(split="train")
    after = assign(train, SplitSettings(), kept=kept_parts(before, None, SplitSettings())).table
    assert "test" in set(after["split"])


def test_an_addition_that_ties_both_sides_moves_nobody_and_is_told():
    rows = events(3, 3, 3)
    before = assign(events(3, 3), SplitSettings()).table
    sides = dict(before.group_by("event").agg(pl.col("split").first()).iter_rows())
    pairs = [same((1, 7), "e0", "e2"), same((4, 8), "e1", "e2")]
    found = assign(events(3, 3, 3, 3), SplitSettings(), pairs, kept=kept_parts(before, None, SplitSettings()))
    now = dict(found.table.group_by("event").agg(pl.col("split").first()).iter_rows())
    assert sides.items() <= now.items()
    assert now["e2"] == "test"
    note = next(note for note in split_notes(found, pairs) if "one person are in train and test" in note)
    assert "`reidkit split DIR --keep --test EVENT`" in note
    assert set(rows["event"]) < set(now)


EVENT = st.tuples(st.integers(0, 4), st.sampled_from(["judo", "tango"]))


@examples(max_examples=40)
@given(st.lists(EVENT, min_size=1, max_size=8), st.data())
def test_whatever_is_added_nobody_moves_from_test_to_train(sizes, data):
    """Events come one or several at a time, some with people of earlier events."""
    settings = SplitSettings(test_share=data.draw(st.sampled_from([0.2, 0.5, 0.8])), seed=data.draw(st.integers(0, 2)))
    activities = {f"e{i}": activity for i, (_, activity) in enumerate(sizes)}
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sizes)))) | {len(sizes)})
    pairs, before, sides = [], None, {}
    for number in cuts:
        rows = events(*(size for size, _ in sizes[:number]))
        owner = dict(rows.filter(kind="person").select("identity", "event").unique().iter_rows())
        if len(owner) > 1 and data.draw(st.booleans()):
            one, other = data.draw(st.lists(st.sampled_from(sorted(owner)), min_size=2, max_size=2, unique=True))
            if owner[one] != owner[other]:
                pairs.append(same((one, other), owner[one], owner[other]))
        kept = kept_parts(before, None, settings) if before is not None else None
        found = assign(rows, settings, pairs, kept=kept, activities=activities)
        again = assign(rows, settings, pairs, kept=kept_parts(found.table, None, settings), activities=activities)
        assert again.table.equals(found.table)  # the same command once more
        now = dict(found.table.group_by("event").agg(pl.col("split").first()).iter_rows())
        assert sides.items() <= now.items()
        assert leakage(found.table) == {"identities": [], "sources": []}
        groups = together(sorted(now), pairs, rows.filter(kind="person"))
        for one in across(found.table, pairs):  # only where the sides were settled before, or all hangs together
            group = next(group for group in groups if one.events[0] in group)
            assert len(groups) == 1 or len({sides[event] for event in group if event in sides}) == 2
            assert any("one person are in train and test" in note for note in split_notes(found, pairs))
        before, sides = found.table, now


@examples(max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 3))
def test_people_who_are_added_move_nobody(sizes, seed):
    """Division by identity; an identity is known by its number here."""
    settings = SplitSettings(by="identity", test_share=0.4, seed=seed)
    sides, before = {}, None
    for number in range(1, len(sizes) + 1):
        rows = events(*sizes[:number])
        kept = kept_parts(before, None, settings) if before is not None else None
        before = assign(rows, settings, kept=kept).table
        now = dict(before.filter(kind="person").select("identity", "split").iter_rows())
        assert sides.items() <= now.items()
        if len(now) > 1:
            assert abs(list(now.values()).count("test") - 0.4 * len(now)) <= 1 + sum(sizes[:number]) * 0.1
        sides = now


@examples(max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=3, max_size=7), st.integers(0, 3))
def test_folds_keep_their_people_when_events_come(sizes, seed):
    settings = SplitSettings(folds=3, seed=seed)
    before, folds = None, {}
    for number in range(3, len(sizes) + 1):
        kept = kept_parts(before, 3, settings) if before is not None else None
        before = assign(events(*sizes[:number]), settings, kept=kept).table
        now = dict(before.group_by("event").agg(pl.col("fold").first()).iter_rows())
        assert folds.items() <= now.items()
        assert set(now.values()) == {0, 1, 2}
        folds = now
