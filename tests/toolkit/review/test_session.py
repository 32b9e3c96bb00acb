"""A review at work: durable before it counts, nobody overwritten, undone without limit, always what a replay gives."""

import random
import threading

import pytest
from decided import decide

from reidkit.datasets import UsageError
from reidkit.datasets.decisions import Draft, read_decisions
from reidkit.datasets.own import reviewed_tables
from reidkit.datasets.replay import follow
from reidkit.toolkit.review.judgement import as_built
from reidkit.toolkit.review.session import Refused, open_session
from reidkit.toolkit.review.views import Views

MERGE = Draft("merge", ("d", "g"))


def identities(session):
    return {id_: piece.identity for id_, piece in session.review.pieces.items()}


def state(session):
    """Everything that decisions decide."""
    review = session.review
    sets = [(identity, sorted(ids)) for identity, ids in sorted(review.members.items())]
    return review.pieces, sets, review.names, review.confirmed, review.together, review.apart, review.texts


def test_a_decision_is_on_disk_when_it_returns(session, root):
    assert session.decide(0, "anna", [Draft("junk", ("c",))]).identities == (8,)
    assert [(d.do, d.by) for d in read_decisions(root)] == [("junk", "anna")]
    assert session.revision == 1


def test_nothing_counts_that_cannot_be_written(session, root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = state(session)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Exception, match="No space left"):
        session.decide(0, "anna", [Draft("junk", ("c",))])
    assert state(session) == before
    assert read_decisions(root) == ()
    monkeypatch.undo()
    session.decide(0, "anna", [Draft("junk", ("c",))])
    assert len(read_decisions(root)) == 1


def test_one_review_at_a_time(session, root):
    with pytest.raises(UsageError, match="Somebody else is reviewing"), open_session(root):
        pass


def test_two_tracklets_of_one_moment_and_camera_are_never_one_person(session):
    with pytest.raises(Refused, match="'e' and 'f' are seen at the same time in camera east of heat") as refused:
        session.decide(0, "", [Draft("merge", ("d", "f"))])
    assert refused.value.conflict == ("e", "f")
    with pytest.raises(Refused, match="so they can't be one person"):
        session.decide(0, "", [Draft("identity", ("h",), identity=5)])
    assert session.revision == 0
    session.decide(0, "", [Draft("junk", ("f",)), Draft("merge", ("d", "g"))])  # f is out of the way


def test_a_batch_is_taken_as_a_whole_or_not(session):
    with pytest.raises(UsageError, match="there is no tracklet 'z'"):
        session.decide(0, "", [Draft("junk", ("a",)), Draft("junk", ("z",))])
    assert session.revision == 0
    assert identities(session)["a"] == 3


@pytest.mark.parametrize(
    ("first", "second", "stale"),
    [
        (Draft("junk", ("e",)), Draft("junk", ("c",)), False),
        (Draft("junk", ("e",)), Draft("junk", ("d",)), True),  # of the same identity
        (Draft("junk", ("e",)), Draft("identity", ("c",), identity=5), True),  # into it
        (Draft("different", ("e", "g")), Draft("split", ("e",)), True),
        (Draft("confirm", ("d", "e")), Draft("junk", ("d",)), True),
        (Draft("caption", ("d",), text="red"), Draft("caption", ("d",), text="blue"), True),
        (Draft("junk", ("d",)), Draft("caption", ("e",), text="blue"), False),  # e is what it was
        (Draft("identity", ("d", "e"), identity=5, name="Anna"), Draft("junk", ("e",)), True),
    ],
)
def test_two_windows_cannot_overwrite_each_other(session, first, second, stale):
    session.decide(0, "anna", [first])
    if stale:
        with pytest.raises(Refused, match="Somebody changed") as refused:
            session.decide(0, "berta", [second])
        assert refused.value.stale
    else:
        session.decide(0, "berta", [second])
    session.decide(session.revision, "berta", [second])


def test_an_undo_of_somebody_else_is_noticed(session):
    session.decide(0, "anna", [Draft("junk", ("e",))])
    session.undo("berta")
    with pytest.raises(Refused, match="Somebody changed"):
        session.decide(1, "anna", [Draft("junk", ("d",))])


def test_revisions_that_are_not_there(session):
    with pytest.raises(UsageError, match="There is no revision 4"):
        session.decide(4, "", [MERGE])
    with pytest.raises(UsageError, match="undone by `undo`"):
        session.decide(0, "", [Draft("undo", decision=1)])


def test_undo_takes_what_the_machine_made_of_it(session):
    session.decide(0, "anna", [Draft("junk", ("f",))])
    assert session.append_consequences(1, [MERGE], str)
    assert identities(session)["g"] == 5
    assert [(d.by, d.after) for d in session.decisions] == [("anna", None), ("machine", 1)]
    assert session.undo("anna").identities == (5, 6)
    assert identities(session) == {"a": 3, "b": 3, "c": 8, "d": 5, "e": 5, "f": 6, "g": 6, "h": -1, "i": 0}
    session.redo("anna")
    assert identities(session)["g"] == 5


def test_the_machine_yields(session):
    assert not session.append_consequences(0, [MERGE], str)  # nobody decided anything
    session.decide(0, "anna", [Draft("junk", ("c",))])
    session.decide(1, "anna", [Draft("junk", ("a",))])
    assert not session.append_consequences(1, [MERGE], str)  # it was thought of before the second decision
    assert not session.append_consequences(2, [Draft("merge", ("d", "f"))], str)  # at one time in one camera
    session.undo("anna")
    assert not session.append_consequences(3, [MERGE], str)  # what was undone can still be done again
    assert session.revision == 3


def test_changes_are_told_and_caught_up_on(session, root):
    heard = []
    session.watchers.append(heard.append)
    session.decide(0, "anna", [Draft("different", ("d", "g"))])
    session.decide(1, "berta", [Draft("junk", ("c",))])
    session.undo("berta")
    assert [change.text for change in heard] == [
        "Identities 5 and 6 are different people.",
        "1 tracklet went to junk.",
        "Undone: 1 tracklet went to junk.",
    ]
    assert session.missed(1) == heard[1:]
    assert session.missed(None) == session.missed(3) == []
    session.changes.clear()  # as after another start
    (everything,) = session.missed(1)
    assert everything.revision == 3
    assert set(everything.identities) == set(session.review.members)


def test_state_is_that_of_a_replay_and_undo_and_redo_know_no_limit(session, root):
    """A random review, in which undo and redo follow a stack of states in plain steps."""
    chance = random.Random(5)
    undone, done = [], [state(session)]
    for _ in range(120):
        step = chance.random()
        before = state(session)
        if step < 0.3 and len(done) > 1:
            session.undo("")
            undone.append(done.pop())
        elif step < 0.5 and undone:
            session.redo("")
            done.append(undone.pop())
        else:
            try:
                session.decide(session.revision, "", [_draft(chance, session.review)])
            except (Refused, UsageError):
                assert state(session) == before
                continue
            undone, done = [], [*done, state(session)]
        assert state(session) == done[-1]
    review, faults = follow(session.material.tracklets, session.material.frames, read_decisions(root))
    assert not faults
    assert review.pieces == session.review.pieces
    assert review.members == session.review.members
    while len(done) > 1:
        session.undo("")
        done.pop()
        assert state(session) == done[-1]
    with pytest.raises(Refused, match="nothing to undo"):
        session.undo("")
    assert reviewed_tables(root)[0].equals(session.material.tracklets)


def _draft(chance, review):
    ids = sorted(review.pieces)
    some = tuple(chance.sample(ids, chance.choice((1, 1, 2, 3))))
    kind = chance.choice(("merge", "split", "cut", "junk", "distractor", "identity", "different", "confirm", "caption"))
    if kind == "cut":
        return Draft("split", some[:1], frame=chance.randrange(1, 5))
    if kind == "identity":
        return Draft("identity", some, identity=chance.randrange(12), name=chance.choice(("", "Anna", "7")))
    if kind == "confirm":
        members = review.members[chance.choice(sorted(review.members))]
        return Draft("confirm", tuple(sorted(members)))
    if kind == "caption":
        return Draft("caption", some[:1], text=chance.choice(("red", "blue")))
    return Draft(kind, some)


def test_a_review_goes_on_where_it_was(root):
    with open_session(root) as session:
        session.decide(0, "", [Draft("split", ("e",), frame=2)])
        session.decide(1, "", [Draft("junk", ("e~2",))])
        session.undo("")
        before = state(session)
    with open_session(root) as session:
        assert state(session) == before
        session.redo("")
        assert identities(session)["e~2"] == -1


def test_many_at_once_lose_nothing(session, root):
    def work(names):
        for name in names:
            session.decide(session.revision, name, [Draft("caption", (name,), text=f"of {name}")])

    threads = [threading.Thread(target=work, args=(names,)) for names in ("abc", "def", "ghi")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(d.by for d in read_decisions(root)) == list("abcdefghi")


@pytest.mark.parametrize(
    ("draft", "said"),
    [
        (Draft("merge", ("c", "d")), "Identities 5 and 8 are one person."),
        (Draft("split", ("d",)), "1 tracklet left identity 5."),
    ],
)
def test_an_undo_says_what_was_decided(session, draft, said):
    session.decide(0, "anna", [draft])
    session.undo("anna")
    session.redo("anna")
    assert [change.text for change in session.changes] == [said, f"Undone: {said}", f"Done again: {said}"]


def test_what_was_forgotten_cannot_be_undone_nor_decided(root):
    decide(root, Draft("junk", ("c",)), Draft("forgotten"))
    with open_session(root) as session:
        assert session.stacks() == (1, 0)
        with pytest.raises(UsageError, match="reidkit forget"):
            session.decide(2, "anna", [Draft("forgotten")])
        session.undo("anna")
        assert session.decisions[-1].decision == 1
        with pytest.raises(Refused, match="nothing to undo"):
            session.undo("anna")


def test_a_person_may_be_called_machine(session):
    session.decide(0, "machine", [Draft("junk", ("c",))])
    progress = Views(session, as_built(session.material)).state()["progress"]
    assert (progress["decisions"], progress["can_undo"]) == (1, True)
