"""What a damaged frame ruins, against a plain search, and when it is known."""

import numpy as np
import pytest

from reidkit.toolkit.damage import Damage, Dependence, dependence


def closed(keys: int, length: int) -> tuple[list[int], list[bool], list[bool]]:
    """Groups I P B B P B B: decoding order, key frames, and frames that nothing needs."""
    order, key, alone = [], [], []
    for start in range(0, keys * length, length):
        numbers = [start, *(n for p in range(start + 3, start + length, 3) for n in (p, p - 2, p - 1))]
        order += numbers
        key += [n == start for n in numbers]
        alone += [False] * len(numbers)
    return order, key, alone


def random_groups(rng: np.random.Generator) -> tuple[list[int], list[bool], list[bool]]:
    """Groups of random lengths and orders, some of them open: with frames presented before their key frame."""
    order, key, alone, begin = [], [], [], 0
    for _ in range(int(rng.integers(1, 6))):
        length = int(rng.integers(1, 9))
        numbers = rng.permutation(np.arange(begin, begin + length))
        leading = int(rng.integers(0, 3)) if begin and length > 3 else 0
        at = list(numbers).index(begin + leading)
        numbers[[0, at]] = numbers[[at, 0]]
        order += numbers.tolist()
        key += [True] + [False] * (length - 1)
        alone += (rng.random(length) < 0.3).tolist()
        begin += length
    if rng.random() < 0.3:
        key[0] = False  # the file begins in the middle of a group
    return order, key, alone


def needed(frames: Dependence, number: int) -> set[int]:
    """The frames that `number` may be decoded from."""
    found = set()
    for other in range(len(frames.position)):
        here = frames.group[other] == frames.group[number] and frames.position[other] < frames.position[number]
        before = frames.leading[number] and frames.group[other] == frames.group[number] - 1
        if frames.alone[other] or (frames.leading[other] and not (here and frames.leading[number])):
            continue
        if here or before:
            found.add(other)
    return found


@pytest.mark.parametrize(
    ("damaged", "ruined"),
    [
        (7, {7, 8, 9, 10, 11, 12, 13}),  # a key frame: all to the next
        (0, {0, 1, 2, 3, 4, 5, 6}),
        (3, {1, 2, 3, 4, 5, 6}),  # presented after 1 and 2, decoded before them
        (6, {4, 5, 6}),
        (1, {1, 2, 4, 5, 6}),  # B frames may be needed
        (13, {11, 12, 13}),
    ],
)
def test_what_a_damaged_frame_ruins(damaged, ruined):
    damage = Damage(dependence(*closed(2, 7)))
    damage.mark(damaged)
    assert {n for n in range(14) if damage.ruins(n)} == ruined


def test_an_open_group_needs_the_group_before():
    # In decoding order: I0 P3 B1 B2 | I6 B4 B5 P9 B7 B8
    order, keys = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8], [True, False, False, False, True] + [False] * 5
    frames = dependence(order, keys, [False] * 10)
    assert np.flatnonzero(frames.leading).tolist() == [4, 5]
    before, inside = Damage(frames), Damage(frames)
    before.mark(2)
    assert {n for n in range(10) if before.ruins(n)} == {2, 4, 5}
    inside.mark(4)  # nothing behind the key frame needs it
    assert {n for n in range(10) if inside.ruins(n)} == {4, 5}


def test_a_frame_that_nothing_needs():
    order, keys, alone = closed(1, 7)
    alone[order.index(1)] = True
    damage = Damage(dependence(order, keys, alone))
    damage.mark(1)
    assert {n for n in range(7) if damage.ruins(n)} == {1}


@pytest.mark.parametrize("seed", range(30))
def test_damage_against_a_plain_search(seed):
    rng = np.random.default_rng(seed)
    frames = dependence(*random_groups(rng))
    count = len(frames.position)
    marked = set(rng.choice(count, rng.integers(0, min(4, count) + 1), replace=False).tolist())
    damage = Damage(frames)
    for number in marked:
        damage.mark(number)
    ruined, grown = marked, None
    while ruined != grown:
        grown = ruined
        ruined = ruined | {n for n in range(count) if needed(frames, n) & ruined}
    assert {n for n in range(count) if damage.ruins(n)} == ruined


@pytest.mark.parametrize("seed", range(10))
def test_a_frame_is_settled_when_all_that_it_needs_has_come_out(seed):
    frames = dependence(*random_groups(np.random.default_rng(100 + seed)))
    for number in range(len(frames.position)):
        assert frames.settled[number] >= max({number} | needed(frames, number))
        group = frames.group == frames.group[number]
        assert frames.settled[number] <= np.flatnonzero(group).max()


def test_no_frames():
    assert len(dependence([], [], []).position) == 0
