"""What a review demands of the next linking: groups of its people, and nothing that joins two of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidkit.toolkit.linking import LinkSettings, Observations, link
from reidkit.toolkit.review.constraints import Reviewed, Shown

# a and b are person 1, c is 2, d is 3 and confirmed, j is nobody; u is a person about whom nobody said anything.
PEOPLE = {"a": 1, "b": 1, "c": 2, "d": 3, "j": None, "u": 4}


def reviewed(apart=(("a", "c"),), confirmed=(3,)):
    former = SimpleNamespace(
        settled=frozenset("abcdj"),
        person=PEOPLE.get,
        together={1: [("a", "b")]},
        apart={2: list(apart)},
        review=SimpleNamespace(confirmed=set(confirmed), members={3: {"d"}}),
    )
    return Reviewed(former, {})  # type: ignore[arg-type]


def observations(count, must=None):
    """All look the same, and nobody is seen beside anybody."""
    start = np.arange(count) * 10.0
    none = np.full(count, -1)
    return Observations(np.ones((count, 4)) / 2, np.zeros(count, int), start, start + 5, np.ones(count),
                        none if must is None else np.array(must), none)  # fmt: skip


def test_the_parts_of_a_track_that_shows_two_people_are_two_people():
    shown = [Shown(a=3), Shown(c=2), Shown(), Shown(b=4)]
    seen, dropped = reviewed().constrain(observations(4, [7, 7, 7, -1]), shown, 0.5)
    assert dropped == []
    assert seen.must[0] == seen.must[3] != seen.must[1]
    assert [0, 1] in seen.apart.tolist()


@pytest.mark.parametrize(
    ("shown", "nobody", "owner"),
    [(Shown(j=3, a=2), True, 1), (Shown(j=1, a=2), False, 1), (Shown(u=5, c=1), False, 2), (Shown(u=5), False, None)],
)
def test_whom_a_piece_shows(shown, nobody, owner):
    assert reviewed().is_nobody(shown) == nobody
    assert reviewed().owner(shown) == owner


SHOWN = st.lists(
    st.dictionaries(st.sampled_from("abcdu"), st.integers(1, 9), max_size=3).map(Shown), min_size=2, max_size=9
)


@given(SHOWN, st.data())
def test_linking_follows_whatever_the_pieces_and_the_tracks_are(shown, data):
    must = [data.draw(st.integers(-1, 2)) for _ in shown]
    beside = reviewed()
    seen, _ = beside.constrain(observations(len(shown), must), shown, 0.5)
    cluster = link(seen, LinkSettings()).cluster
    owner = [beside.owner(one) for one in shown]
    for i, who in enumerate(owner):
        if who is not None:
            assert cluster[i] >= 0
        for j, other in enumerate(owner[:i]):
            if who == other == 1 or who == other == 3:
                assert cluster[i] == cluster[j]
            if {who, other} == {1, 2} and "a" in shown[i] + shown[j] and "c" in shown[i] + shown[j]:
                assert cluster[i] != cluster[j] or not beside.pieces_of(shown)["a"]
            if (who == 3) != (other == 3) and None not in (who, other):
                assert cluster[i] != cluster[j] or cluster[i] < 0
