"""The log without some people replays to what it did, less these."""

import json
import random

import msgspec
import polars as pl
import pytest

from reidkit.datasets.decisions import Draft, numbered
from reidkit.datasets.format import FRAME_COLUMNS, TRACKLET_COLUMNS
from reidkit.datasets.replay import Review, follow, replay
from reidkit.toolkit.forget.log import without_pieces

PEOPLE, EACH, CROPS = 4, 3, 6


def proposals() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tracklets `p<person>t<number>` of PEOPLE identities from 1 in two events, and one that is junk."""
    rows, crops = [], []
    names = [(f"p{p}t{t}", p, "person") for p in range(1, PEOPLE + 1) for t in range(EACH)] + [("x0", -1, "junk")]
    for n, (id_, identity, kind) in enumerate(names):
        row = dict.fromkeys(TRACKLET_COLUMNS) | {"id": id_, "identity": identity, "kind": kind, "frames": CROPS}
        event = "heat" if identity in (3, 4) else "final"
        row |= {"camera": f"cam{n % 3}", "event": event, "start": 0.0, "end": 1.0}
        side = "train" if event == "final" else "test"
        rows.append(row | {"split": side, "role": "train" if side == "train" else "gallery"})
        for frame in range(CROPS):
            crop = dict.fromkeys(FRAME_COLUMNS, 0) | {"tracklet": id_, "frame": frame, "time": frame / 5}
            crops.append(crop | {"shard": "crops/a.tar", "offset": 1000 * n + frame, "length": 1})
    return pl.DataFrame(rows, schema=TRACKLET_COLUMNS), pl.DataFrame(crops, schema=FRAME_COLUMNS)


def decided(*drafts: Draft) -> list:
    return numbered(drafts, 1, by="anna")


def forget(decisions, *identities):
    """What is left, after checking that it replays to the same people."""
    tracklets, frames = proposals()
    table, rows = replay(tracklets, frames, decisions)
    gone = set(table.filter(pl.col("identity").is_in(identities) & (pl.col("kind") == "person"))["id"].to_list())
    less = without_pieces(tracklets, frames, decisions, gone, identities)
    found, found_rows = replay(less.tracklets, less.frames, less.decisions)
    columns = ["id", "identity", "kind", "camera", "event", "split", "frames"]
    left = table.filter(~pl.col("id").is_in(list(gone)))
    assert found.select(columns).sort("id").rows() == left.select(columns).sort("id").rows()
    left_rows = rows.filter(~pl.col("tracklet").is_in(list(gone)))
    assert found_rows.sort("tracklet", "frame").equals(left_rows.sort("tracklet", "frame"))
    assert [d.number for d in less.decisions] == list(range(1, len(less.decisions) + 1))
    whole = {
        id_ for id_ in tracklets["id"].to_list() if not any(id_ == o or o.startswith(f"{id_}~") for o in left["id"])
    }
    text = json.dumps([msgspec.to_builtins(d) for d in less.decisions])
    assert not any(f'"{id_}' in text for id_ in whole)
    assert not whole & set(less.tracklets["id"].to_list())
    return less


def test_without_decisions_only_the_rows_go():
    less = forget([], 2)
    assert less.decisions == ()
    assert set(less.tracklets["identity"].to_list()) == {1, 3, 4, -1}


def test_decisions_about_others_stay_as_they_are():
    decisions = decided(Draft("merge", ("p1t0", "p3t0")), Draft("junk", ("p1t1",)), Draft("undo", decision=2))
    assert list(forget(decisions, 2).decisions) == decisions


def test_a_decision_about_nobody_else_is_a_line_that_names_nobody():
    decisions = decided(
        Draft("identity", ("p2t0", "p2t1"), identity=9, name="Anna"),
        Draft("confirm", ("p2t0", "p2t1")),
        Draft("caption", ("p2t0",), text="Anna's red shoes"),
        Draft("different", ("p2t0", "p1t0")),
        Draft("junk", ("p1t0",)),
    )
    less = forget(decisions, 9)
    assert [d.do for d in less.decisions] == ["forgotten"] * 4 + ["junk"]
    assert "anna" not in str([(d.name, d.text, d.by) for d in less.decisions[:4]]).lower()


def test_a_split_keeps_its_number_when_the_largest_identity_goes():
    decisions = decided(Draft("split", ("p1t0",)), Draft("split", ("p2t0",), frame=3))  # 4 + 1, 4 + 2
    less = forget(decisions, 4)
    assert [d.identity for d in less.decisions] == [5, 6]
    assert less.decisions[1].frame == 3


def test_half_of_a_tracklet_stays_and_becomes_one_of_its_own():
    decisions = decided(Draft("merge", ("p1t0", "p3t0")), Draft("split", ("p1t0",), frame=2), Draft("junk", ("p2t0",)))
    less = forget(decisions, 6)  # the later part
    assert less.tracklets.filter(id="p1t0")["frames"].item() == 2
    assert [d.do for d in less.decisions] == ["merge", "forgotten", "junk"]
    less = forget(decisions, 1)  # the earlier part, and all that was joined with it
    assert less.tracklets.filter(id="p1t0~2")["frames"].item() == CROPS - 2
    assert "p1t0" not in less.tracklets["id"].to_list()
    assert less.decisions[1].frame is None


def test_who_was_joined_by_somebody_who_goes_stays_joined():
    decisions = decided(Draft("merge", ("p1t0", "p3t0")), Draft("split", ("p1t0",)))
    less = forget(decisions, 6)
    assert [d.do for d in less.decisions] == ["merge", "forgotten"]  # p1t1 and p1t2 are still of one person with p3's


def test_a_number_that_came_from_somebody_who_goes_stays():
    decisions = decided(Draft("merge", ("p1t0", "p2t0")), Draft("split", ("p1t0", "p1t1", "p1t2")))
    less = forget(decisions, 6)
    assert set(less.tracklets["identity"].to_list()) == {2, 3, 4, -1}
    assert [d.do for d in less.decisions] == ["identity", "forgotten"]


def random_review(rng: random.Random) -> list:
    """Decisions as a person makes them, wild ones among them, each of which applies; some undone."""
    tracklets, frames = proposals()
    made: list = []
    while len(made) < 12:
        pieces = follow(tracklets, frames, made)[0].pieces
        ids = rng.sample(sorted(pieces), rng.randint(1, 3))
        do = rng.choice(["merge", "split", "cut", "junk", "distractor", "identity", "different", "confirm", "undo"])
        if do == "cut":
            draft = Draft("split", (ids[0],), frame=rng.randint(1, CROPS - 1))
        elif do == "undo":
            draft = Draft("undo", decision=rng.randint(1, len(made))) if made else Draft("junk", ("x0",))
        elif do == "identity":
            draft = Draft("identity", tuple(ids), identity=rng.randint(1, 12), name=rng.choice(["", "Bo"]))
        elif do == "confirm":
            same = [p.id for p in pieces.values() if p.identity == pieces[ids[0]].identity and p.kind == "person"]
            draft = Draft("confirm", tuple(same) or ("x0",))
        else:
            draft = Draft(do, tuple(ids))
        try:
            more = [*made, *numbered([draft], len(made) + 1)]
            replay(tracklets, frames, more)
        except Exception:  # this one doesn't apply: another
            continue
        made = more
    return made


@pytest.mark.parametrize("seed", range(40))
def test_any_review_replays_to_the_same_people(seed):
    rng = random.Random(seed)
    decisions = random_review(rng)
    tracklets, frames = proposals()
    people = sorted(set(replay(tracklets, frames, decisions)[0].filter(kind="person")["identity"].to_list()))
    for identity in people:
        less = forget(decisions, identity)
        assert len(less.decisions) <= len(decisions) + 4
        again = without_pieces(less.tracklets, less.frames, less.decisions, set(), set())
        assert again.decisions == less.decisions
        assert Review(less.tracklets, less.frames)
