"""Homographies of feet: exact where feet are, right where most of the matches are wrong."""

import numpy as np
import pytest

from reidkit.toolkit.floor.homography import agreeing, derivative, disagreement, fit, refine, solve, transfer

MATRIX = np.array([[0.9, 0.2, 30.0], [-0.1, 0.7, 80.0], [1e-4, 6e-4, 1.0]])


def grid(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform([50, 200], [1200, 700], (count, 2))


@pytest.mark.parametrize("count", [4, 6, 40])
def test_exact_points_give_the_homography(count: int) -> None:
    one = grid(count, np.random.default_rng(count))
    found = solve(one, transfer(MATRIX, one))
    np.testing.assert_allclose(found / found[2, 2], MATRIX, rtol=1e-5, atol=1e-7)


def test_several_are_solved_at_once() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.uniform(0, 100, (5, 6, 2)), rng.uniform(0, 100, (5, 6, 2))
    together = solve(one, other)
    for k in range(5):
        np.testing.assert_allclose(together[k], solve(one[k], other[k]), rtol=1e-6, atol=1e-9)


def test_the_derivative_is_that_of_small_steps() -> None:
    points = grid(5, np.random.default_rng(1))
    found = derivative(MATRIX, points)
    for axis in range(2):
        step = np.eye(2)[axis] * 1e-3
        slow = (transfer(MATRIX, points + step) - transfer(MATRIX, points - step)) / 2e-3
        np.testing.assert_allclose(found[:, :, axis], slow, rtol=1e-5)


def test_disagreement_is_the_larger_of_both_pictures_and_large_behind_the_camera() -> None:
    one, tall = np.array([[100.0, 300.0]]), np.array([50.0])
    other = transfer(MATRIX, one)
    assert disagreement(MATRIX, one, other, tall, tall)[0] == pytest.approx(0, abs=1e-9)
    moved = disagreement(MATRIX, one, other + np.array([10.0, 0.0]), tall, tall)[0]
    back = np.linalg.norm(transfer(np.linalg.inv(MATRIX), other + np.array([10.0, 0.0])) - one) / 50
    assert moved == pytest.approx(max(0.2, back))
    assert disagreement(-MATRIX, one, other, tall, tall)[0] == 10.0


def test_the_right_homography_among_wrong_matches() -> None:
    rng = np.random.default_rng(2)
    match = np.repeat(np.arange(14), 10)
    one = grid(140, rng)
    other = transfer(MATRIX, one) + rng.normal(size=(140, 2))
    wrong = match >= 6  # eight of fourteen
    other[wrong] = grid(int(wrong.sum()), rng)
    tall = np.full(140, 100.0)
    found = fit(match, one, other, tall, tall, np.random.default_rng(0))
    assert found is not None
    error = disagreement(found, one, transfer(MATRIX, one), tall, tall)
    assert np.median(error) < 0.03
    assert agreeing(match, disagreement(found, one, other, tall, tall))[:6].all()


@pytest.mark.parametrize("matches", [1, 2])
def test_too_few_matches_give_none(matches: int) -> None:
    rng = np.random.default_rng(3)
    match = np.repeat(np.arange(matches), 10)
    one = grid(len(match), rng)
    tall = np.full(len(match), 100.0)
    assert fit(match, one, transfer(MATRIX, one), tall, tall, rng) is None


def test_refinement_lessens_the_error() -> None:
    rng = np.random.default_rng(4)
    one, tall = grid(50, rng), np.full(50, 100.0)
    other = transfer(MATRIX, one) + rng.normal(size=(50, 2))
    start = MATRIX + np.array([[0.01, 0, 3.0], [0, 0.02, -4.0], [0, 1e-5, 0]])
    found = refine(start, one, other, tall, tall)
    before, after = (np.median(disagreement(m, one, transfer(MATRIX, one), tall, tall)) for m in (start, found))
    assert after < before / 3
