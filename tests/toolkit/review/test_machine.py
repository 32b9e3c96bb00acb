"""The machine beside the reviewer: how sure it is, what it asks, what it makes of a decision, what it never does."""

import contextlib
import time

import numpy as np
import polars as pl
import pytest
from observed import made_up_event

from reidkit.datasets.decisions import Draft, read_decisions
from reidkit.datasets.replay import follow
from reidkit.toolkit.review import machine
from reidkit.toolkit.review.embeddings import Embeddings
from reidkit.toolkit.review.judgement import Judged, as_built, judge
from reidkit.toolkit.review.machine import Machine
from reidkit.toolkit.review.questions import questions
from reidkit.toolkit.review.relink import consequences
from reidkit.toolkit.review.scene import scene_of
from reidkit.toolkit.review.views import Views

PEOPLE = 6


@pytest.fixture(scope="module")
def event():
    """Who is seen, and by which tracklet: features, camera, start, end; of each person a dozen tracklets or so."""
    return made_up_event(PEOPLE, cameras=3, seed=4, view=0.5)


@pytest.fixture
def root(write_own, tmp_path, event):
    """Identity k + 1 is person k, but for one tracklet each: of person 0 one lies in identity 2, of person 2 one is
    junk, and of person 3 one is an identity of its own, 7."""
    seen, who = event
    rows = []
    for k, person in enumerate(who.tolist()):
        identity, kind = person + 1, "person"
        if k == _last(who, 0):
            identity = 2
        elif k == _last(who, 2):
            identity, kind = -1, "junk"
        elif k == _last(who, 3):
            identity = 7
        rows.append((f"t{k:03}", identity, kind, f"c{seen.camera[k]}", "final", "train"))
    root = write_own(tmp_path / "set", rows=rows, frames=2)
    table = pl.read_parquet(root / "tracklets.parquet")
    times = {"start": seen.start, "end": seen.end}
    table.with_columns(**{name: pl.Series(values) for name, values in times.items()}).write_parquet(
        root / "tracklets.parquet"
    )
    return root


def _last(who, person):
    return int(np.flatnonzero(who == person)[-1])


@pytest.fixture
def odd(event):
    """The ids of the three odd tracklets: in the wrong identity, in none, alone."""
    return [f"t{_last(event[1], person):03}" for person in (0, 2, 3)]


@pytest.fixture
def embeddings(event):
    places = {f"t{k:03}": np.array([0]) for k in range(len(event[1]))}
    rows = {f"t{k:03}": np.array([k]) for k in range(len(event[1]))}
    features = event[0].features.astype(np.float32)
    return Embeddings(places, rows, features, np.ones(len(features), np.float32))


@contextlib.contextmanager
def at_work(session, embeddings, monkeypatch, **more):
    monkeypatch.setattr(machine, "embeddings_of", lambda _: embeddings)
    views = Views(session, as_built(session.material))
    with Machine(session, views, **more):
        wait(views)
        yield views


def wait(views):
    until = time.monotonic() + 30
    while views.thinking:
        assert time.monotonic() < until
        time.sleep(0.005)


def scene(session, embeddings):
    return scene_of("final", session.material, session.review, embeddings)


def members(session, identity):
    return tuple(sorted(session.review.members[identity]))


def test_what_is_wrong_is_doubted(session, embeddings, odd):
    wrong, stray, alone = odd
    judged = judge(scene(session, embeddings))
    assert judged.sure[wrong] < 0.5
    assert np.mean([p > 0.9 for id_, p in judged.sure.items() if id_ != wrong]) > 0.9
    assert judged.strays[stray][0] == 3
    assert judged.strays[stray][1] > 0.9
    assert judged.parts[7][0] == 4
    assert judged.nearest[7][0][0] == 4
    assert judged.whole[7] < 0.5
    assert set(judged.pure) == set(range(1, 8))
    assert all(0 <= p <= 1 for p in (*judged.pure.values(), *judged.whole.values(), *judged.sure.values()))
    assert alone in judged.sure


def test_decisions_are_constraints(session, embeddings, odd):
    """Closed identities, those said to be different, and those who left keep apart, pair by pair."""
    wrong, _, alone = odd
    session.decide(0, "", [Draft("split", (wrong,))])
    session.decide(1, "", [Draft("different", (alone, members(session, 4)[0]))])
    session.decide(2, "", [Draft("confirm", members(session, 5))])
    found = scene(session, embeddings)
    conflicts = {
        (found.ids[a], found.ids[b]) for a, b in zip(found.conflicts.first, found.conflicts.second, strict=True)
    }
    conflicts |= {(b, a) for a, b in conflicts}
    assert all((wrong, id_) in conflicts for id_ in members(session, 2))
    assert all((alone, id_) in conflicts for id_ in members(session, 4))
    everybody = set(found.ids) - set(members(session, 5))
    stand_in = members(session, 5)[0]
    assert all((id_, stand_in) in conflicts for id_ in everybody)
    pieces = session.review.pieces
    for one, other in conflicts:
        assert pieces[one].kind != "person" or pieces[one].identity != pieces[other].identity
    judged = judge(found)
    assert (judged.pure[5], judged.whole[5]) == (1.0, 1.0)
    assert dict(judged.nearest[7]).get(4, 0.0) == 0.0
    assert all(5 not in dict(others) or dict(others)[5] == 0 for others in judged.nearest.values())
    assert not any(identity == 5 for identity, _ in judged.strays.values())


def test_who_was_split_off_goes_where_he_belongs_and_undo_takes_it_back(session, embeddings, odd, monkeypatch, root):
    before = session.review.pieces
    with at_work(session, embeddings, monkeypatch) as views:
        session.decide(0, "anna", [Draft("split", (odd[0],))])
        wait(views)
        assert session.review.pieces[odd[0]].identity == 1
        assert [(d.do, d.by, d.after) for d in read_decisions(root)] == [
            ("split", "anna", None),
            ("merge", "machine", 1),
        ]
        assert session.changes[-2].text.startswith("1 small identity joined")
        assert session.review.pieces[odd[1]].kind == "junk"  # its identity is as it was: nothing follows for it
        session.undo("anna")
        wait(views)
        assert session.review.pieces == before
        session.redo("anna")
        wait(views)
        assert session.review.pieces[odd[0]].identity == 1
    replayed, faults = follow(session.material.tracklets, session.material.frames, read_decisions(root))
    assert not faults
    assert replayed.pieces == session.review.pieces


def test_a_decision_brings_home_what_was_left_over(session, embeddings, odd, monkeypatch):
    with at_work(session, embeddings, monkeypatch) as views:
        session.decide(0, "anna", [Draft("identity", members(session, 3), identity=3, name="Anna")])
        wait(views)
        assert session.review.pieces[odd[1]].identity == 3


def test_the_machine_never_undoes_what_somebody_decided(session, embeddings, odd, monkeypatch):
    wrong, stray, _ = odd
    with at_work(session, embeddings, monkeypatch) as views:
        session.decide(session.revision, "anna", [Draft("junk", (stray,))])  # nobody, says she
        session.decide(
            session.revision, "anna", [Draft("split", (wrong,)), Draft("different", (wrong, members(session, 1)[0]))]
        )
        wait(views)
        session.decide(session.revision, "anna", [Draft("identity", members(session, 3), identity=3, name="Anna")])
        session.decide(session.revision, "anna", [Draft("confirm", members(session, 4))])
        session.decide(session.revision, "anna", [Draft("identity", members(session, 7), identity=7, name="Berta")])
        wait(views)
        pieces = session.review.pieces
        assert pieces[stray].kind == "junk"
        assert pieces[wrong].identity not in (1, 2)
        assert len(members(session, 7)) == 1
        assert not any(d.by == "machine" for d in session.decisions)
        asked = views.state()["questions"]
        assert not any(set(q["identities"]) >= {4, 7} for q in asked)
        assert not any(q["kind"] == "stray" for q in asked)


def test_without_linking_it_only_judges(session, embeddings, odd, monkeypatch):
    with at_work(session, embeddings, monkeypatch, relink=False) as views:
        doubt = views.state()["progress"]["doubt"]
        session.decide(0, "anna", [Draft("split", (odd[0],))])
        wait(views)
        assert session.revision == 1
        assert views.state()["progress"]["doubt"] != doubt


def test_without_embeddings_the_review_goes_on(session, monkeypatch, capsys):
    """The set says of no embedder, and has no work of a build."""
    views = Views(session, as_built(session.material))
    with Machine(session, views):
        wait(views)
        session.decide(0, "", [Draft("junk", ("t000",))])
        assert not views.thinking
    assert "" in [change.text for change in session.changes]  # an open page learns that nobody thinks any more
    assert "only what you decide counts" in capsys.readouterr().err


def test_the_answer_that_settles_most_is_asked_first(session):
    judged = Judged(
        pure=dict.fromkeys(range(1, 8), 0.9),
        nearest={1: [(2, 0.5), (3, 0.0001)], 7: [(4, 0.5)], 2: [(1, 0.5)]},
        strays={"t000": (1, 0.9)},
    )
    asked = questions(session.review, judged, lambda *_: False)
    assert (asked[0].kind, asked[0].identities) == ("same", (1, 2))  # two large ones before a large and a small one
    assert [q.identities for q in asked if q.kind == "same"] == [(1, 2), (4, 7)]
    assert sorted(q.identities[0] for q in asked if q.kind == "pure") == list(range(1, 8))
    assert not any(q.kind == "stray" for q in asked)  # t000 is somebody's
    none = questions(session.review, judged, lambda *_: True)
    assert {q.kind for q in none} == {"pure"}


def test_two_names_stay_two(session):
    judged = Judged(parts={7: (4, 0.99)})
    for identity, name, count in ((4, "Anna", 1), (7, "Berta", 0)):
        session.decide(
            session.revision, "", [Draft("identity", tuple(members(session, identity)), identity=identity, name=name)]
        )
        assert len(consequences(session.review, judged, {4, 7}, lambda *_: False)) == count
