"""Distances on the grid against exact rational arithmetic, the bound of a product, and ranks among near-ties."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_ranking import agree

from reidkit.leaderboard import counting
from reidkit.leaderboard.bounds import above, below
from reidkit.leaderboard.distances import FeatureDistances
from reidkit.leaderboard.inputs import kinds_of
from reidkit.leaderboard.protocols import PROTOCOLS, protocol
from reidkit.leaderboard.ranking import score

METRICS = ("cosine", "euclidean")


def length(row):
    """Squares added halves upon halves."""
    squares = [x * x for x in row]
    while len(squares) > 1:
        half = (len(squares) + 1) // 2
        squares = [a + b for a, b in zip(squares[:half], [*squares[half:], 0.0], strict=False)]
    return float(np.sqrt(squares[0]))


def power_above(size):
    """The exponent of the power of two next above."""
    fraction, exponent = np.frexp(size)
    return int(exponent) - int(fraction == 0.5)


def rational(features, metric):
    """Rows as integers, times what makes them vectors again: the definition in `distances`, in Python's numbers."""
    rows = [[float(v) for v in row] for row in features]
    sizes = [length(row) for row in rows]
    if metric == "cosine":
        whole = [[round(x / (s * 2.0**-26)) for x in row] for row, s in zip(rows, sizes, strict=True)]
        return whole, [Fraction(1, 2**26)] * len(rows)
    largest = max((power_above(s) for s in sizes if s), default=0)
    exponents = [max(power_above(s) if s else largest - 60, largest - 60) for s in sizes]
    whole = [
        [round(Fraction(x) * Fraction(2) ** (25 - e)) for x in row] for row, e in zip(rows, exponents, strict=True)
    ]
    return whole, [Fraction(2) ** (e - largest - 25) for e in exponents]


def slow_distances(features, queries, entries, metric):
    """float32 [Q][G], and the same as fractions before anything is rounded."""
    whole, weight = rational(features, metric)

    def product(i, j):
        return sum(a * b for a, b in zip(whole[i], whole[j], strict=True)) * weight[i] * weight[j]

    rounded, true = [], []
    for i in queries:
        if metric == "cosine":
            line = [1 - product(i, j) for j in entries]
            rounded.append([np.float32(float(d)) for d in line])
        else:
            terms = [(product(i, i), product(j, j), 2 * product(i, j)) for j in entries]
            line = [a + b - c for a, b, c in terms]
            rounded.append([np.float32((float(a) + float(b)) - float(c)) for a, b, c in terms])
        true.append(line)
    return np.array(rounded, np.float32), true


def near_ties(rng, rows, width, kind):
    """Features [rows, width] whose distances differ by little or nothing, whatever a float32 product makes of them."""
    base = rng.normal(size=width)
    if kind == "permuted":  # of one row: a query with equal components is exactly as near to all
        features = np.stack([rng.permutation(base) for _ in range(rows)])
        features[:: max(2, rows // 4)] = 1
    elif kind == "steps":  # components apart by a few steps of the grid
        features = base + np.linalg.norm(base) * 2.0**-26 * rng.integers(-2, 3, (rows, width))
    elif kind == "doubles":  # the same rows again, some of them twice or a half as long
        features = rng.normal(size=(4, width))[rng.integers(0, 4, rows)] * 2.0 ** rng.integers(-1, 2, (rows, 1))
    elif kind == "cancel":  # huge terms that cancel in the products
        features = rng.normal(size=(rows, width)) * 1e-4
        features[:, : width // 2] += 1
        features[:, width // 2 : width // 2 * 2] += rng.choice([-1, 1], (rows, 1))
    elif kind == "far and near":
        features = rng.normal(size=(rows, width)) * 10.0 ** rng.integers(-11, 1, (rows, 1))
    elif kind == "tiny":  # denormals in float32
        features = rng.integers(-9, 10, (rows, width)) * 1e-44
        features[:, 0] = 2e-44
    else:
        features = rng.normal(size=(rows, width)) * 1e30
    return features.astype(np.float32 if rng.random() < 0.7 else np.float64)


PLAIN = sorted(name for name, rule in PROTOCOLS.items() if rule.clothes == "any")  # clothes change no distance
KINDS = ("permuted", "steps", "doubles", "cancel", "far and near", "tiny", "huge")


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, width = draw(st.integers(3, 24)), draw(st.integers(1, 40))
    features = near_ties(rng, rows, width, draw(st.sampled_from(KINDS)))
    metric = draw(st.sampled_from(METRICS))
    if metric == "euclidean" and draw(st.booleans()):
        features[rng.random(rows) < 0.2] = 0
    pids, cams = rng.integers(-1, draw(st.integers(1, 5)) + 1, rows), rng.integers(0, 3, rows)
    is_query = (rng.random(rows) < 0.5) & (pids >= 0)
    return features, pids, cams, is_query, metric


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(PLAIN), st.sampled_from([1, 10**6]), st.sampled_from(["cpu", "cpu:0"]))
def test_ranks_among_near_ties_are_those_of_exact_arithmetic(case, name, sort_from, device):
    """`cpu:0` is a torch device like any other, and takes the way of a GPU."""
    features, pids, cams, is_query, metric = case
    rule = protocol(name)
    queries, entries = np.flatnonzero(is_query), np.flatnonzero((pids >= 0) & (rule.queries_in_gallery | ~is_query))
    distractors = set(np.flatnonzero(kinds_of(pids, rule) == "distractor").tolist())
    matched = [
        any(pids[i] == pids[j] and cams[i] != cams[j] for j in entries) and i not in distractors for i in queries
    ]
    if not any(matched):
        return
    distances, _ = slow_distances(features, queries, entries, metric)
    before = counting.SORT_FROM
    counting.SORT_FROM = sort_from
    try:
        for blocks in ({}, {"block_queries": 3, "block_columns": 5}):
            scores = score(features, pids, cams, is_query, name, metric, device=device, **blocks)
            agree(scores, distances, pids, cams, queries, entries, rule.average_precision == "trapezoid", distractors)
    finally:
        counting.SORT_FROM = before


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_pairs_and_blocks_are_the_exact_distances(metric, kind):
    rng = np.random.default_rng(1)
    features = near_ties(rng, 20, 31, kind)
    slow, _ = slow_distances(features, range(8), range(20), metric)
    source = FeatureDistances(features, np.arange(8), np.arange(20), metric)
    i, j = np.divmod(np.arange(160), 20)
    assert (source.pairs(i, j) == slow.ravel()).all()
    assert (source.block(0, 8, 0, 20) == slow).all()
    assert (source.block(2, 5, 3, 7) == slow[2:5, 3:7]).all()


def any_order(rng, x, y):
    """x.y in float32, its terms added in an order drawn at random."""
    terms = list(x * y)
    while len(terms) > 1:
        at = rng.integers(0, len(terms) - 1)
        terms[at : at + 2] = [terms[at] + terms[at + 1]]
    return terms[0]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_product_in_any_order_keeps_the_bound(metric, kind):
    """And the bound tells which distances are less or greater than a limit, for certain, in exact arithmetic."""
    rng = np.random.default_rng(2)
    features = near_ties(rng, 12, 60, kind)
    source = FeatureDistances(features, np.arange(6), np.arange(12), metric)
    x, y = source.queries(0, 6), source.entries(np.arange(12))
    slow, true = slow_distances(features, range(6), range(12), metric)
    tile = source.tile(x, y)
    decided = 0
    for i in range(6):
        for j in range(12):
            shifted = true[i][j] - Fraction(float(x.offset[i]))
            slack = x.size[i] * y.size[j] + y.extra[j]
            for product in (tile[i, j], *(any_order(rng, x.values[i], y.values[j]) for _ in range(3))):
                key = product + np.float32(y.offset[j])
                assert key.dtype == slack.dtype == np.float32
                assert Fraction(float(key - slack)) <= shifted <= Fraction(float(key + slack))
                for limit in slow[i]:
                    sure = np.float32(below(float(limit), x.offset[i]))
                    maybe = np.float32(above(float(limit), x.offset[i]))
                    assert not key + slack < sure or slow[i, j] < limit
                    assert not key - slack > maybe or slow[i, j] > limit
                    decided += key + slack < sure or key - slack > maybe
    assert decided > {"steps": -1, "permuted": 0, "doubles": 0, "cancel": 0}.get(kind, 3000)


def test_the_exact_distances_are_needed():
    """Rows that a float32 product alone ranks wrongly: without the second look this test's figures would differ."""
    rng = np.random.default_rng(3)
    features = near_ties(rng, 200, 64, "permuted").astype(np.float32)
    pids, cams = rng.integers(0, 20, 200), rng.integers(0, 3, 200)
    is_query = (features == 1).all(axis=1)
    queries = np.flatnonzero(is_query)
    source = FeatureDistances(features, queries, np.arange(200))
    exact = source.block(0, len(queries), 0, 200)
    tile = source.tile(source.queries(0, len(queries)), source.entries(np.arange(200)))
    others = np.flatnonzero(~is_query)
    assert len(np.unique(exact[:, others])) < len(np.unique(tile[:, others]))
    scores = score(features, pids, cams, is_query, "video-reid")
    agree(scores, exact, pids, cams, queries, np.arange(200))


def test_a_mapped_file_gives_the_same_bits(tmp_path):
    features = np.random.default_rng(4).normal(size=(50, 7)).astype(np.float16)
    np.save(tmp_path / "f.npy", features)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    rows = np.arange(50)
    for metric in METRICS:
        whole = FeatureDistances(features, rows, rows, metric).block(0, 50, 0, 50)
        assert (FeatureDistances(mapped, rows, rows, metric).block(0, 50, 0, 50) == whole).all()


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_many_queries_and_columns_come_in_parts(monkeypatch, device):
    rng = np.random.default_rng(5)
    features = rng.normal(size=(1, 20)) + 1e-4 * rng.normal(size=(300, 20))
    pids, cams, is_query = rng.integers(0, 20, 300), rng.integers(0, 5, 300), rng.random(300) < 0.5
    whole = score(features, pids, cams, is_query, "mars")
    monkeypatch.setattr(counting, "QUERIES_AT_ONCE", 40)
    monkeypatch.setattr(counting, "BLOCK_COLUMNS", 17)
    monkeypatch.setattr(counting, "STRIP", 9)
    assert score(features, pids, cams, is_query, "mars", device=device, block_columns=64) == whole
