"""The log of decisions: what is written is read, a kill loses nothing, and the replay gives one result."""

import json
import os

import polars as pl
import pytest
from decided import decide

from reidkit.datasets import UsageError
from reidkit.datasets.captions import Caption
from reidkit.datasets.decisions import Draft, in_force, numbered, open_decisions, read_decisions
from reidkit.datasets.own import frame_table, reviewed_tables, tracklet_table
from reidkit.datasets.replay import broken, follow, replay, replay_captions


@pytest.fixture
def root(write_own, tmp_path):
    """Tracklets a to i of conftest's ROWS: 3 is a and b, 8 is c, 5 is d and e, 6 is f and g, h junk, i a distractor."""
    return write_own(tmp_path / "set")


def who(root):
    """Tracklet -> identity after the review."""
    return dict(reviewed_tables(root)[0].select("id", "identity").iter_rows())


BEFORE = {"a": 3, "b": 3, "c": 8, "d": 5, "e": 5, "f": 6, "g": 6, "h": -1, "i": 0}


def test_lines_are_as_documented(root):
    decide(root, Draft("merge", ("d", "f")), Draft("split", ("a",), frame=2), Draft("undo", decision=1))
    lines = [json.loads(line) for line in (root / "decisions.jsonl").read_text().splitlines()]
    at = {"by": "anna", "at": "2026-11-24T12:00:00Z"}
    assert lines == [
        {"do": "merge", "tracklets": ["d", "f"], "number": 1, **at},
        {"do": "split", "tracklets": ["a"], "frame": 2, "number": 2, **at},
        {"do": "undo", "decision": 1, "number": 3, **at},
    ]
    assert [d.number for d in read_decisions(root)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("draft", "changed"),
    [
        (Draft("merge", ("d", "f")), {"f": 5, "g": 5}),
        (Draft("merge", ("d", "h")), {"h": 5}),
        (Draft("split", ("e",)), {"e": 9}),
        (Draft("split", ("e", "g")), {"e": 9, "g": 9}),
        (Draft("junk", ("d",)), {"d": -1}),
        (Draft("distractor", ("d", "h")), {"d": 0, "h": 0}),
        (Draft("different", ("d", "f", "a")), {}),
        (Draft("confirm", ("d", "e")), {}),
        (Draft("caption", ("d",), text="red shoes"), {}),
        (Draft("identity", ("h", "i"), identity=6), {"h": 6, "i": 6}),
        (Draft("split", ("e",), frame=3), {"e~3": 9}),
        (Draft("split", ("h",), frame=3), {"h~3": -1}),
    ],
)
def test_each_kind(root, draft, changed):
    assert who(root) == BEFORE
    decide(root, draft)
    assert who(root) == BEFORE | changed


def test_a_cut_tracklet_and_its_crops(root):
    decide(root, Draft("split", ("e",), frame=4), Draft("split", ("e",), frame=2), Draft("junk", ("e~4",)))
    tracklets, frames = reviewed_tables(root)
    assert tracklets["id"].to_list() == ["a", "b", "c", "d", "e", "e~2", "e~4", "f", "g", "h", "i"]
    assert {i: frames.filter(tracklet=i)["frame"].to_list() for i in ("e", "e~2", "e~4")} == (
        {"e": [0, 1], "e~2": [2, 3], "e~4": [4]}
    )
    parts = tracklets.filter(pl.col("id").str.starts_with("e"))
    assert parts["frames"].to_list() == [2, 2, 1]
    assert parts["identity"].to_list() == [5, 10, -1]
    assert frames.drop("tracklet").equals(frame_table(root).drop("tracklet"))
    assert tracklets.columns == tracklet_table(root).columns


def test_queries_are_chosen_again(root):
    """d alone in its identity has no match in another camera any more."""
    decide(root, Draft("split", ("e",)))
    roles = dict(reviewed_tables(root)[0].select("id", "role").iter_rows())
    assert (roles["d"], roles["e"]) == ("gallery", "gallery")
    assert {roles["f"], roles["g"]} == {"query"}
    assert roles["a"] == "train"


def test_undo_and_redo_without_limit(root):
    decide(root, Draft("split", ("e",)), Draft("split", ("g",)), Draft("undo", decision=1))
    assert who(root) == BEFORE | {"g": 10}  # the second one's number stays
    decide(root, Draft("undo", decision=3))
    assert who(root) == BEFORE | {"e": 9, "g": 10}
    decide(root, Draft("undo", decision=4), Draft("undo", decision=2))
    assert who(root) == BEFORE
    assert in_force(read_decisions(root)) == []


def test_the_last_name_counts(root):
    decide(root, *(Draft("identity", ("a",), identity=3, name=name) for name in ("Anna", "Berta")))
    assert follow(tracklet_table(root), frame_table(root), read_decisions(root))[0].names == {3: "Berta"}


def test_replay_gives_the_same_bytes_and_no_steps_in_between(root, tmp_path):
    drafts = (Draft("merge", ("d", "f")), Draft("split", ("c",), frame=2), Draft("junk", ("g",)))
    decide(root, *drafts)
    written = []
    for name in ("one", "two"):
        for table, kind in zip(reviewed_tables(root), ("tracklets", "frames"), strict=True):
            table.write_parquet(tmp_path / f"{name}-{kind}")
        written.append([(tmp_path / f"{name}-{kind}").read_bytes() for kind in ("tracklets", "frames")])
    assert written[0] == written[1]
    whole = replay(tracklet_table(root), frame_table(root), read_decisions(root))
    assert whole[0].equals(reviewed_tables(root)[0])


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_what_a_kill_cut_off_never_was(root, cut):
    decide(root, Draft("split", ("e",)))
    path = root / "decisions.jsonl"
    whole = path.read_bytes()
    decide(root, Draft("junk", ("a",)))
    os.truncate(path, len(whole) + cut)
    assert len(read_decisions(root)) == 1
    assert decide(root, Draft("junk", ("b",)))[0].number == 2
    assert path.read_bytes().startswith(whole)
    assert [d.tracklets for d in read_decisions(root)] == [("e",), ("b",)]


def test_a_first_line_that_was_cut(root):
    (root / "decisions.jsonl").write_bytes(b'{"do":"mer')
    assert read_decisions(root) == ()
    assert decide(root, Draft("junk", ("a",)))[0].number == 1
    assert len(read_decisions(root)) == 1


LINE = '{"number": 1, "do": "junk", "tracklets": ["a"]}'


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ('{"number": 2, "do": "junk", "tracklets": ["a"]}', "it has number 2, and 1 is due"),
        ('{"number": 1, "do": "kiss", "tracklets": ["a"]}', "Invalid enum value 'kiss'"),
        ('{"number": 1, "do": "merge", "tracklets": ["a"]}', "a merge names 2 tracklets or more"),
        ('{"number": 1, "do": "merge", "tracklets": ["a", "a"]}', "each once"),
        ('{"number": 1, "do": "identity", "tracklets": ["a"]}', "needs the number"),
        ('{"number": 1, "do": "junk", "tracklets": ["a"], "frame": 3}', "a frame goes with the split"),
        ('{"number": 1, "do": "junk", "tracklets": ["a"], "x": 3}', "unknown field `x`"),
        ('{"number": 1, "do": "different", "tracklets": ["a"]}', "a different names 2 tracklets or more"),
        ('{"number": 1, "do": "caption", "tracklets": ["a"], "text": " "}', "a text goes with the caption"),
        ('{"number": 1, "do": "junk", "tracklets": ["a"], "text": "x"}', "a text goes with the caption"),
        ('{"number": 1, "do": "junk", "tracklets": ["a"], "after": 1}', "which isn't before it"),
        (f'{LINE}\n{{"number": 2, "do": "undo", "decision": 2}}', "which isn't before it"),
        (f'{LINE}\n{{"number": 2, "do": "undo", "decision": 1, "after": 1}}', "an undo comes after no decision"),
        (f"no line\n{LINE}", "JSON is malformed"),
    ],
)
def test_lines_that_are_no_decision(root, lines, reason):
    (root / "decisions.jsonl").write_text(f"{lines}\n")
    with pytest.raises(UsageError, match=reason) as error:
        read_decisions(root)
    assert str(error.value).isprintable()


def test_drafts_that_do_not_fit(root):
    with open_decisions(root) as log:
        for draft in (Draft("merge", ("a",)), Draft("undo", decision=1), Draft("junk")):
            with pytest.raises(UsageError, match="can't be written"):
                log.append(draft)
    assert not (root / "decisions.jsonl").exists()


def test_two_at_once(root):
    with open_decisions(root), pytest.raises(UsageError, match="Somebody else is reviewing"), open_decisions(root):
        pass


def test_decisions_that_no_longer_apply_are_named(root):
    decide(root, Draft("junk", ("z",)), Draft("split", ("a",), frame=99), Draft("merge", ("a", "b")))
    sentences = broken(tracklet_table(root), frame_table(root), read_decisions(root))
    assert [s.split(" ")[1] for s in sentences] == ["1", "2"]
    assert "there is no tracklet 'z'" in sentences[0]
    assert "no crops on both sides of frame 99" in sentences[1]
    with pytest.raises(UsageError, match="Decision 1"):
        reviewed_tables(root)


def test_what_the_machine_made_of_a_decision_counts_as_long_as_that_does(root):
    with open_decisions(root) as log:
        log.append(Draft("split", ("e",)))
        log.append(Draft("merge", ("e", "f")), Draft("junk", ("d",)), by="machine", after=1)
        with pytest.raises(UsageError, match="no decision 4 before number 4"):
            log.append(Draft("junk", ("a",)), by="machine", after=4)
    assert who(root) == BEFORE | {"e": 6, "d": -1}
    decide(root, Draft("undo", decision=1))
    assert who(root) == BEFORE
    decide(root, Draft("undo", decision=4))
    assert who(root) == BEFORE | {"e": 6, "d": -1}
    decide(root, Draft("undo", decision=2))  # one of the consequences alone
    assert who(root) == BEFORE | {"e": 9, "d": -1}


def test_a_confirmation_lasts_until_somebody_leaves_or_joins(root):
    tables = tracklet_table(root), frame_table(root)

    def confirmed(*drafts):
        review, faults = follow(*tables, numbered(drafts, 1))
        return faults or review.confirmed

    sure = Draft("confirm", ("d", "e"))
    assert confirmed(sure) == {5}
    assert confirmed(
        sure, Draft("junk", ("f",)), Draft("merge", ("d", "e")), Draft("identity", ("d",), identity=5)
    ) == {5}
    for later in (
        Draft("junk", ("d",)),
        Draft("merge", ("d", "f")),
        Draft("split", ("e",)),
        Draft("split", ("e",), frame=2),
        Draft("identity", ("h",), identity=5),
    ):
        assert confirmed(sure, later) == set()
    assert "not all of one identity" in confirmed(Draft("confirm", ("d",)))[0]
    assert "not all of one identity" in confirmed(Draft("confirm", ("d", "e", "f")))[0]


def test_what_decisions_say_of_who_can_be_one_person(root):
    drafts = (Draft("merge", ("a", "c")), Draft("split", ("b", "c")), Draft("different", ("a", "b")))
    review, faults = follow(tracklet_table(root), frame_table(root), numbered(drafts, 1))
    assert not faults
    assert review.together == [("a", "c"), ("b", "c")]
    assert review.apart == [(("b", "c"), ("a",)), (("a",), ("b",))]
    for wrong, reason in ((("a", "d", "e"), "of one identity"), (("a", "h"), "'h' is no person's")):
        assert reason in broken(tracklet_table(root), frame_table(root), numbered([Draft("different", wrong)], 1))[0]


def test_captions_are_replaced_or_their_doubts_accepted():
    captions = [Caption("a", "a hat", "local", doubts=("repetition",)), Caption("a", "no hat"), Caption("b", "gloves")]
    texts = [("a", "a bag"), ("c", "a coat"), ("a", "a hat")]
    log = numbered((Draft("caption", (id_,), text=text) for id_, text in texts), 1)
    assert replay_captions(captions, log[:2]) == [
        Caption("b", "gloves"),
        Caption("a", "a bag", "review"),
        Caption("c", "a coat", "review"),
    ]
    assert replay_captions(captions, log) == [
        Caption("a", "a hat", "local"),
        *captions[1:],
        Caption("c", "a coat", "review"),
    ]
    assert replay_captions(captions, []) == captions


def test_many_parts_of_one_tracklet(write_own, tmp_path):
    root = write_own(tmp_path / "long", frames=60)
    decide(root, Draft("split", ("e",), frame=30), *(Draft("split", ("e",), frame=n) for n in range(29, 0, -1)))
    decide(root, *(Draft("split", ("e~30",), frame=n) for n in range(59, 30, -1)))
    tracklets, crops = reviewed_tables(root)
    parts = crops.filter(pl.col("tracklet").str.starts_with("e"))
    names = ["e", *(f"e~{n}" for n in range(1, 31)), *(f"e~30~{n}" for n in range(31, 60))]
    assert parts["tracklet"].to_list() == names
    assert tracklets.filter(pl.col("id").str.starts_with("e"))["id"].to_list() == names
    assert set(tracklets.filter(pl.col("id").str.starts_with("e"))["frames"]) == {1}


@pytest.mark.parametrize("name", ["a" * 201, "\x1b" * 100, "a\nb"])
def test_the_log_can_be_read_whoever_decided(root, name):
    with open_decisions(root) as log:
        (made,) = log.append(Draft("junk", ("c",)), by=name)
    assert read_decisions(root) == (made,)
    assert made.by.isprintable()
    assert made.by[:1] == name[:1].replace("\x1b", "\\")
