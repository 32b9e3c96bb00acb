"""What else than looks is known, in the linkage."""

import numpy as np
import pytest

from reidkit.toolkit.linking import Calibration, Evidence, LinkSettings, Observations, link
from reidkit.toolkit.linking.pull import MOST, Pull, worth


def some_pull(rng: np.random.Generator, count: int = 8) -> tuple[Pull, np.ndarray]:
    """A pull and the same as a table."""
    first, second = np.triu_indices(count, 1)
    kept = rng.random(len(first)) < 0.5
    first, second, value = first[kept], second[kept], rng.normal(size=int(kept.sum())) * 8
    table = np.zeros((count, count))
    table[first, second] = table[second, first] = value / 4.0
    return Pull.from_log_odds(count, first, second, value, unit_worth=4.0), table


def test_tables_are_those_of_loops() -> None:
    pull, table = some_pull(np.random.default_rng(0))
    label = np.array([0, 1, 1, -1, 2, 0, 2, 2])
    found = pull.table(np.array([1, 3, 7]), label, 3)
    for k, node in enumerate((1, 3, 7)):
        for cluster in range(3):
            total = sum(table[node, other] for other in range(8) if label[other] == cluster)
            assert found[k, cluster] == pytest.approx(np.clip(total, -MOST / 4, MOST / 4))


def test_merged_pulls_add_up() -> None:
    pull, table = some_pull(np.random.default_rng(1))
    label = np.array([0, 1, 1, -1, 2, 0, 2, 2])
    found = pull.merged(label, 3).matrix.toarray()
    for a in range(3):
        for b in range(3):
            total = sum(table[i, j] for i in range(8) for j in range(8) if label[i] == a and label[j] == b)
            assert found[a, b] == pytest.approx(0 if a == b else total)


def test_rows_and_those_touched() -> None:
    pull, table = some_pull(np.random.default_rng(2))
    some = np.array([5, 0, 3])
    np.testing.assert_allclose(pull.rows(some).matrix.toarray(), table[np.ix_(some, some)])
    np.testing.assert_allclose(pull.between(some, some[::-1]), np.clip(table[some, some[::-1]], -2.5, 2.5))
    assert pull.touched(some).tolist() == np.flatnonzero((table[some] != 0).any(0)).tolist()


def test_looks_that_tell_more_leave_less_to_others() -> None:
    clear, dim = (Calibration(0.0, std, 0.8, std, 0.3, 100, 100) for std in (0.1, 0.4))
    assert worth(clear) == pytest.approx(80)
    assert worth(dim) == pytest.approx(5)


def twins(rng: np.random.Generator) -> Observations:
    """Two people who look alike, in two cameras: tracklets 0 and 1 in the first, 2 and 3 in the second."""
    looks = np.array([[1.0, 0.1], [1.0, -0.1], [1.0, 0.0], [1.0, 0.02]])
    looks = np.concatenate([looks, rng.normal(size=(4, 14)) * 0.05], 1)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    none = np.full(4, -1)
    return Observations(looks, np.array([0, 0, 1, 1]), np.zeros(4), np.full(4, 5.0), np.ones(4), none, none)


@pytest.mark.parametrize("right", [(2, 3), (3, 2)])
def test_the_floor_decides_where_looks_cannot(right: tuple[int, int]) -> None:
    seen = twins(np.random.default_rng(0))
    first, second = np.array([0, 0, 1, 1]), np.array([2, 3, 2, 3])
    odds = np.where(second == np.array(right)[first], 8.0, -8.0)
    cluster = link(seen, LinkSettings(people=2), Evidence(first, second, odds)).cluster
    assert cluster[0] == cluster[right[0]]
    assert cluster[1] == cluster[right[1]]
    assert cluster[0] != cluster[1]


def test_evidence_never_breaks_what_holds() -> None:
    seen = twins(np.random.default_rng(1))
    evidence = Evidence(np.array([0]), np.array([1]), np.array([8.0]))  # seen together in one camera
    cluster = link(seen, LinkSettings(), evidence).cluster
    assert cluster[0] != cluster[1] or cluster[0] < 0
