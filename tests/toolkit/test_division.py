"""Units divided into parts: the best division is found, and what has a part keeps it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidkit.toolkit.division import MOST_TRIED, Unit, divide

SIZES = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("xyz")), min_size=2, max_size=7)


def units(sizes, parts=None):
    return [Unit(f"u{i}", {s: n}, parts[i] if parts else None) for i, (n, s) in enumerate(sizes)]


def cost(sizes, parts, shares):
    """How far all parts are from their shares, of all and of each stratum; in plain loops."""
    off = 0.0
    for stratum in (None, *sorted({s for _, s in sizes})):
        whole = sum(n for n, s in sizes if stratum in (None, s))
        for part, share in enumerate(shares):
            have = sum(n for (n, s), p in zip(sizes, parts, strict=True) if p == part and stratum in (None, s))
            off += abs(have - share * whole)
    return off


@given(SIZES, st.floats(0.1, 0.9), st.integers(0, 3))
def test_no_other_division_into_two_is_better(sizes, share, seed):
    shares = [share, 1 - share]
    found = divide(units(sizes), shares, seed)
    every = (p for p in itertools.product((0, 1), repeat=len(sizes)) if len(set(p)) == 2)
    assert set(found) == {0, 1}
    assert cost(sizes, found, shares) == pytest.approx(min(cost(sizes, p, shares) for p in every))


@given(SIZES, st.integers(2, 4), st.integers(0, 3), st.data())
def test_kept_parts_stay_and_no_part_is_empty_where_it_need_not_be(sizes, count, seed, data):
    parts = [data.draw(st.sampled_from([None, *range(count)])) for _ in sizes]
    found = divide(units(sizes, parts), [1 / count] * count, seed)
    assert all(kept in (None, part) for kept, part in zip(parts, found, strict=True))
    missing = set(range(count)) - set(parts)
    if parts.count(None) >= len(missing):
        assert set(found) == set(range(count))


def test_many_units_come_as_near_as_one_of_them_is_large():
    rng = np.random.default_rng(3)
    sizes = [(int(n), "xy"[int(k)]) for n, k in zip(rng.integers(1, 30, 60), rng.integers(0, 2, 60), strict=True)]
    assert len(sizes) > MOST_TRIED
    for count, tolerated in ((2, 4), (5, 30)):
        shares = [1 / count] * count
        assert cost(sizes, divide(units(sizes), shares, 0), shares) < tolerated


def test_the_seed_decides_and_decides_the_same_for_ever():
    sizes = [(1, "x")] * 6
    shares = [0.5, 0.5]
    assert divide(units(sizes), shares, 0) == [0, 0, 1, 0, 1, 1]  # as written down; another would move people
    assert divide(units([(1, "x")] * 24), shares, 1)[:8] == divide(units([(1, "x")] * 24), shares, 1)[:8]
    assert len({tuple(divide(units(sizes), shares, seed)) for seed in range(6)}) > 1
    named = divide(units(sizes), shares, 0)
    assert divide(units(sizes)[::-1], shares, 0)[::-1] == named  # the order of the units says nothing
