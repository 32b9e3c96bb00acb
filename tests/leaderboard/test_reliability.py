"""Reliability diagrams: shares by tenths, and where an SVG puts them."""

import numpy as np
import pytest

from reidkit.leaderboard.report.reliability import diagram, reliability


def test_shares_by_tenths():
    said = np.array([0.05, 0.15, 0.18, 0.92, 0.95, 0.99, 1.0])
    right = np.array([False, False, True, True, True, True, False])
    found = reliability("tracklets", said, right)
    assert [(round(m, 3), s, n) for m, s, n in found.points] == [(0.05, 0, 1), (0.165, 0.5, 2), (0.965, 0.75, 4)]
    assert found.surest == (4, 0.75)
    assert found.error == pytest.approx((0.05 + 2 * 0.335 + 4 * 0.215) / 7)


def test_the_tenths_count_all():
    rng = np.random.default_rng(0)
    said = np.concatenate([rng.random(500), np.arange(11) / 10])
    right = rng.random(511) < said
    found = reliability("x", said, right)
    assert sum(n for _, _, n in found.points) == 511
    assert sum(m * n for m, _, n in found.points) == pytest.approx(said.sum())
    assert sum(s * n for _, s, n in found.points) == pytest.approx(right.sum())


def test_nothing_sure():
    assert reliability("x", np.array([0.5]), np.array([True])).surest == (0, None)


def test_what_is_right_as_often_as_said_lies_on_the_diagonal():
    said = np.repeat([0.2, 0.8], 10)
    right = np.concatenate([np.arange(10) < 2, np.arange(10) < 8])
    drawn = diagram([reliability("x", said, right)])
    for x, y, _, _ in drawn.lines[0].dots:
        assert x - drawn.left == pytest.approx(drawn.bottom - y, abs=0.2)
