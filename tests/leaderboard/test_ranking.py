"""The fast kernel against the slow twin: random, tied, degenerate and adversarial."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_ranking import agree, slow_scores

from reidkit.datasets import UsageError
from reidkit.leaderboard import compiled, counting, ranking
from reidkit.leaderboard.distances import GivenDistances
from reidkit.leaderboard.inputs import kinds_of, people
from reidkit.leaderboard.protocols import PROTOCOLS, protocol
from reidkit.leaderboard.ranking import score, score_distances

MARS = Path(__file__).resolve().parents[2] / ".." / "shared" / "protocols" / "mars"


@st.composite
def cases(draw):
    """Labels with junk, told distractors or none, and distances from few values (many ties) or many."""
    rows = draw(st.integers(2, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    pids = rng.integers(-1, draw(st.integers(1, 6)) + 1, rows)
    cams = rng.integers(0, draw(st.integers(1, 3)) + 1, rows)
    is_query = (rng.random(rows) < draw(st.sampled_from([0.1, 0.5, 1.0]))) & (pids >= 0)
    values = draw(st.sampled_from([1, 2, 5, 10_000]))
    kinds = None
    if draw(st.booleans()):
        kinds = np.where(pids < 0, "junk", rng.choice(["person", "person", "distractor"], rows))
    outfits = rng.integers(-1, 2, rows)
    return pids, cams, outfits, is_query, kinds, rng.integers(0, values, (rows, rows)).astype(np.float32) / values


@settings(max_examples=200)
@given(cases(), st.sampled_from(sorted(PROTOCOLS)), st.sampled_from([1, 16, 10**6]))
def test_given_distances_agree_with_the_slow_twin(case, name, sort_from):
    pids, cams, outfits, is_query, kinds, matrix = case
    rule = protocol(name)
    if kinds is None:
        kinds = kinds_of(pids, rule)
        assert ("distractor" in kinds) == (name.startswith("mars") and 0 in pids)
    distractors = set(np.flatnonzero(kinds == "distractor").tolist())
    query_rows = np.flatnonzero(is_query)
    gallery_rows = np.flatnonzero((pids >= 0) & (rule.queries_in_gallery | ~is_query))
    distances = matrix[np.ix_(query_rows, gallery_rows)]
    trapezoid = rule.average_precision == "trapezoid"
    rules = trapezoid, distractors, rule.clothes, outfits
    found, _ = slow_scores(distances.tolist(), pids, cams, query_rows, gallery_rows, *rules)
    source, who = GivenDistances(distances), people(pids, kinds)
    before = counting.SORT_FROM
    counting.SORT_FROM = sort_from  # both ways of counting are tried on every case
    try:
        if not found:
            with pytest.raises(UsageError, match="No query has a true match"):
                score_distances(source, who, cams, query_rows, gallery_rows, rule, outfits=outfits)
            return
        scores = score_distances(source, who, cams, query_rows, gallery_rows, rule, outfits=outfits)
    finally:
        counting.SORT_FROM = before
    agree(scores, distances, pids, cams, query_rows, gallery_rows, *rules)


@pytest.mark.parametrize("values", [1, 3, 1000, 10**9])  # all equal, heavy ties, some ties, none
@pytest.mark.parametrize("sort_from", [1, 10**6])
def test_matches_in_many_blocks(monkeypatch, values, sort_from):
    monkeypatch.setattr(counting, "SORT_FROM", sort_from)
    rng = np.random.default_rng(values)
    pids, cams = rng.integers(0, 25, 700), rng.integers(0, 4, 700)
    query_rows, gallery_rows = np.arange(60), np.arange(700)
    matrix = rng.integers(0, values, (60, 700)).astype(np.float32)
    for blocks in ({"block_columns": 64, "block_queries": 7}, {"block_columns": 301}, {}):
        scores = score_distances(
            GivenDistances(matrix), pids, cams, query_rows, gallery_rows, protocol("mars"), camera_pairs=False, **blocks
        )
        agree(scores, matrix, pids, cams, query_rows, gallery_rows)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_agree_with_the_slow_twin(metric, dtype):
    rng = np.random.default_rng(1)
    pids, cams = rng.integers(-1, 12, 120), rng.integers(0, 3, 120)
    features = (rng.normal(size=(120, 9)) * 3).astype(dtype)
    is_query = (rng.random(120) < 0.4) & (pids >= 0)
    x = features.astype(np.float64)
    if metric == "cosine":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    query_rows, gallery_rows = np.flatnonzero(is_query), np.flatnonzero(pids >= 0)
    matrix = ((x[query_rows, None] - x[None, gallery_rows]) ** 2).sum(-1)
    scores = score(features, pids, cams, is_query, "mars", metric)
    agree(scores, matrix, pids, cams, query_rows, gallery_rows, distractors=set(np.flatnonzero(pids == 0).tolist()))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_scores_do_not_depend_on_the_block_size(metric, monkeypatch):
    rng = np.random.default_rng(2)
    features = rng.normal(size=(1, 33)) + 1e-4 * rng.normal(size=(500, 33))  # all but equal: the last digits decide
    features[250:] = features[:250]  # and every one twice
    pids, cams = rng.integers(1, 40, 500), rng.integers(0, 4, 500)
    is_query = rng.random(500) < 0.3
    features = features.astype(np.float32)
    whole = score(features, pids, cams, is_query, "mars", metric)
    for queries, columns in ((1, 64), (3, 131), (50, 192)):
        part = score(features, pids, cams, is_query, "mars", metric, block_queries=queries, block_columns=columns)
        assert part == whole
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert score(features, pids, cams, is_query, "mars", metric) == whole


def test_identical_tracklets_stay_in_gallery_order():
    features = np.ones((8, 5), np.float32) * np.array([0.1, 0.2, 0.3, 0.7, 1.1], np.float32)
    pids, cams = np.array([1, 2, 2, 1, 2, 1, 2, 2]), np.array([0, 1, 1, 1, 1, 1, 1, 1])
    is_query = np.arange(8) == 0
    scores = score(features, pids, cams, is_query, "mars")
    assert scores.per_query[0].top == (1, 2, 3, 4, 5, 6, 7)
    assert scores.per_query[0].rank == 3
    assert scores.mAP == pytest.approx(100 * (1 / 3 + 2 / 5) / 2)


@pytest.mark.parametrize("lay", [np.asfortranarray, lambda m: m[:, ::-1], lambda m: np.repeat(m, 2, axis=0)[::2]])
def test_a_matrix_may_lie_in_memory_in_any_way(lay):
    rng = np.random.default_rng(6)
    pids, cams = rng.integers(0, 15, 300), rng.integers(0, 3, 300)
    matrix = lay(rng.integers(0, 50, (40, 300)).astype(np.float32))
    for blocks in ({}, {"block_columns": 128, "block_queries": 9}):
        source, rows = GivenDistances(matrix), np.arange(300)
        scores = score_distances(source, pids, cams, rows[:40], rows, protocol("mars"), camera_pairs=False, **blocks)
        agree(scores, matrix, pids, cams, rows[:40], rows)


def test_a_machine_without_a_place_to_cache_compiles_all_the_same(monkeypatch):
    """An installation that cannot be written, under a user whose home cannot be written either."""
    from numba.core import caching

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    doubled = compiled.compiled(lambda x: 2 * x)
    assert doubled(3) == 6
    assert not doubled.stats.cache_path


def test_protocols_of_same_and_of_changed_clothes():
    """A person's four tracklets: the query, one in its outfit, one in another, one in an outfit that isn't known."""
    features = np.array([[1, 0], [0.9, 0.1], [0.5, 0.5], [0.8, 0.2], [0.7, 0.3], [0, 1]], np.float32)
    pids, cams = np.array([1, 1, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 1, 0])
    outfits = np.array(["red", "red", "blue", "", "red", "red"])
    is_query = np.array([True, False, False, False, False, False])
    arguments = features, pids, cams, is_query
    assert score(*arguments, "ccvid").mAP == pytest.approx(100 * (1 + 1 + 3 / 4) / 3)
    same = score(*arguments, "ccvid-same-clothes", outfits=outfits)
    assert (same.mAP, same.per_query[0].top) == (100, (1, 4, 5))  # the other two of the person are out
    changed = score(*arguments, "video-reid-clothes-changing", outfits=outfits)
    assert (changed.mAP, changed.per_query[0].top) == (50, (4, 2, 5))
    assert {pair.mAP for pair in changed.camera_pairs} == {50}
    for unknown in (None, np.full(6, "")):
        with pytest.raises(UsageError, match="compares what people wear, and no outfit is known"):
            score(*arguments, "mevid-same-clothes", outfits=unknown)
    with pytest.raises(UsageError, match="camid, and another outfit"):
        score(*arguments, "mevid-clothes-changing", outfits=np.full(6, "red"))
    with pytest.raises(UsageError, match="outfits is of type int64; it must hold texts"):
        score(*arguments, "mevid", outfits=np.arange(6))


def test_camera_pairs_rank_one_camera_alone():
    rng = np.random.default_rng(5)
    pids, cams = rng.integers(1, 10, 150), rng.integers(0, 3, 150)
    is_query = rng.random(150) < 0.4
    matrix = rng.random((150, 150)).astype(np.float32)
    queries = np.flatnonzero(is_query)
    scores = score_distances(GivenDistances(matrix[queries]), pids, cams, queries, np.arange(150), protocol("mars"))
    assert len(scores.camera_pairs) == 6
    for pair in scores.camera_pairs:
        mine = queries[cams[queries] == pair.query_camera]
        entries = np.flatnonzero(cams == pair.gallery_camera)
        found, _ = slow_scores(matrix[np.ix_(mine, entries)].tolist(), pids, cams, mine, entries)
        assert pair.queries == len(found)
        assert pair.mAP == pytest.approx(100 * np.mean([f[1] for f in found]))
        firsts = [f[2][0] == 1 for f in found]
        assert pytest.approx(100 * np.mean(firsts)) == pair.R1


def test_one_query_and_one_entry():
    scores = score(np.eye(2, dtype=np.float32), [1, 1], [0, 1], [True, False], "ls-vid")
    assert (scores.mAP, scores.cmc[1], scores.mINP, scores.queries, scores.skipped) == (100, 100, 100, 1, 0)


def test_an_outlier_does_not_blur_the_small_rows():
    features = np.array([[1e9, 0], [1.0, 0.0], [1.001, 0.0], [1.002, 0.0]], np.float32)
    scores = score(features, [9, 1, 2, 1], [0, 0, 1, 1], [False, True, False, False], "mars", "euclidean")
    assert scores.per_query[0].top == (2, 3, 0)


def mars_like(pids, cams):
    """The seeded features whose figures are known, see the protocols' description."""
    rng = np.random.RandomState(0)
    centres, shift = rng.randn(2000, 64), 0.6 * rng.randn(7, 64)
    rows = [
        (centres[p] if p > 0 else rng.randn(64)) + shift[c] + 1.1 * rng.randn(64)
        for p, c in zip(pids, cams, strict=True)
    ]
    rows = np.stack(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "figures", "counted"),
    [
        ("mars", (33.7737, 50.3030, 72.1212, 79.1919, 84.7475), (1980, 0)),
        ("mars-matlab", (31.8662, 50.3030, 72.1212, 79.1919, 84.7475), (1980, 0)),
        ("mars-torchreid", (34.7093, 48.4783, 70.1087, 77.0109, 82.4457), (1840, 140)),
    ],
)
def test_figures_on_the_real_mars_tables(name, figures, counted):
    if not MARS.is_dir():
        pytest.skip("the official MARS tables are not beside the checkout")
    from scipy.io import loadmat

    table = loadmat(MARS / "tracks_test_info.mat")["track_test_info"].astype(int)
    is_query = np.zeros(len(table), bool)
    is_query[loadmat(MARS / "query_IDX.mat")["query_IDX"][0].astype(int) - 1] = True
    pids, cams = table[:, 2], table[:, 3]
    scores = score(mars_like(pids, cams), pids, cams, is_query, name, camera_pairs=False)
    assert tuple(round(v, 4) for v in [scores.mAP, *scores.cmc.values()]) == figures
    assert (scores.queries, scores.skipped) == counted


@pytest.mark.parametrize("name", ["mars", "mars-matlab", "mars-torchreid"])
def test_figures_on_a_small_mars(name):
    """The same features on tables like MARS' in small, against the slow twin."""
    rng = np.random.RandomState(7)
    pids, cams = rng.randint(-1, 40, 600), rng.randint(1, 7, 600)
    is_query = np.zeros(600, bool)
    for pid in range(1, 40):
        for cam in range(1, 7):
            is_query[np.flatnonzero((pids == pid) & (cams == cam))[:1]] = True
    features = mars_like(pids, cams)
    rule = protocol(name)
    query_rows = np.flatnonzero(is_query)
    gallery_rows = np.flatnonzero((pids >= 0) & (rule.queries_in_gallery | ~is_query))
    trapezoid = rule.average_precision == "trapezoid"
    matrix = 1 - features[query_rows] @ features[gallery_rows].T
    distractors = set(np.flatnonzero(pids == 0).tolist())
    scores = score(features, pids, cams, is_query, name)
    agree(scores, matrix, pids, cams, query_rows, gallery_rows, trapezoid, distractors)


@pytest.mark.parametrize("name", sorted(name for name, rule in PROTOCOLS.items() if rule.clothes == "any"))
def test_pid_0_is_a_person_but_at_the_border_of_mars(name):
    """pids [0, 0, 1, 1]: under the protocols of MARS a query is skipped, under the others none is."""
    features = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 1]], np.float32)
    pids, cams = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    is_query = np.array([True, False, True, False])
    scores = score(features, pids, cams, is_query, name)
    mars = name.startswith("mars")
    assert (scores.queries, scores.skipped) == ((1, 1) if mars else (2, 0))
    assert PROTOCOLS[name].zero_is_distractor == mars
    told = score(features, pids, cams, is_query, name, kinds=np.array(["person"] * 4))
    assert (told.queries, told.skipped) == (2, 0)  # what is told is not guessed


def test_distractors_count_against_and_match_nobody():
    """Two distractors that bear a person's pid, one of them in the query's own camera: neither is removed."""
    features = np.array([[1, 0], [1, 0.01], [1, 0.02], [1, 0.03]], np.float32)
    pids, cams = np.array([5, 5, 5, 5]), np.array([0, 0, 1, 1])
    kinds = np.array(["person", "distractor", "distractor", "person"])
    is_query = np.array([True, False, False, False])
    scores = score(features, pids, cams, is_query, "video-reid", kinds=kinds)
    assert scores.per_query[0].top == (1, 2, 3)
    assert scores.per_query[0].rank == 3
    kinds[:] = ["distractor", "person", "person", "person"]
    with pytest.raises(UsageError, match="No query has a true match"):
        score(features, pids, cams, is_query, "video-reid", kinds=kinds)


GOOD = {
    "features": np.eye(4, dtype=np.float32),
    "pids": np.array([1, 1, 2, 2]),
    "camids": np.array([0, 1, 0, 1]),
    "is_query": np.array([True, False, False, False]),
}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"features": np.ones(4, np.float32)}, r"\[N, D\]"),
        ({"features": np.ones((4, 2), int)}, "float"),
        ({"features": np.ones((3, 2), np.float32)}, "one a row"),
        ({"features": np.full((4, 2), np.nan, np.float32)}, "NaN"),
        ({"features": np.diag([1, 1, 0, 1]).astype(np.float32)}, "all zero in row 2"),
        ({"pids": np.ones(4)}, "integers"),
        ({"is_query": np.ones(4, int)}, "bool"),
        ({"is_query": np.zeros(4, bool)}, "no true entry"),
        ({"pids": np.array([-1, 1, 2, 2])}, "junk"),
        ({"pids": np.array([2**63, 1, 2, 2], np.uint64)}, r"2\*\*63"),
        ({"kinds": np.array(["person", "junk"])}, r"kinds has shape \[2\]"),
        ({"kinds": np.zeros(4)}, "kinds is of type float64"),
        ({"kinds": np.array(["person"] * 3 + ["nobody"])}, "Row 3 has a kind that is none of person"),
        ({"kinds": np.array(["person"] * 4), "pids": np.array([1, 1, 2, -2])}, "Row 3 is a person with a pid below 0"),
        ({"kinds": np.array(["junk"] + ["person"] * 3)}, "Row 0 is junk"),
        ({"device": "foo"}, "'foo' is no device"),
        ({"device": "cuda:99"}, "There is no 'cuda:99' here"),
        ({"device": "meta"}, "no device that reidkit runs on"),
        ({"camids": np.zeros(4, int)}, "No query has a true match"),
    ],
)
def test_what_does_not_fit_is_named(changes, word):
    with pytest.raises(UsageError, match=word):
        ranking.score(**(GOOD | changes), protocol="mars")


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    ("dtype", "value"), [(np.float64, 1e300), (np.float64, 1e-300), (np.float64, 1e101), (np.longdouble, "1e4000")]
)
def test_values_of_which_no_distance_can_be_taken_are_refused(metric, dtype, value):
    """Their squares are infinite or nothing, so that all distances would be alike."""
    features = GOOD["features"].astype(dtype)
    features[3] *= dtype(value)
    with pytest.raises(UsageError, match=r"magnitude of .* in row 3"):
        score(**(GOOD | {"features": features}), protocol="mars", metric=metric)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_scale_of_features_changes_no_figure(dtype):
    rng = np.random.default_rng(8)
    features = rng.normal(size=(60, 5)).astype(np.float16).astype(dtype)
    pids, cams, is_query = rng.integers(0, 9, 60), rng.integers(0, 3, 60), rng.random(60) < 0.5
    wanted = {m: score(features, pids, cams, is_query, "video-reid", m) for m in ("cosine", "euclidean")}
    powers = {np.float16: (2.0**-3, 2.0**9), np.float32: (2.0**-80, 2.0**80), np.float64: (2.0**-300, 2.0**300)}[dtype]
    for power in powers:
        for metric, before in wanted.items():
            assert score(features * dtype(power), pids, cams, is_query, "video-reid", metric) == before


def test_one_row_so_long_that_it_hides_the_others_is_refused():
    features = np.concatenate([GOOD["features"], np.eye(4)]).astype(np.float64)
    labels = {k: np.concatenate([GOOD[k], GOOD[k]]) for k in ("pids", "camids", "is_query")}
    features[6] *= 1e13
    with pytest.raises(UsageError, match=r"magnitude of 1e\+13 in row 6"):
        score(features, **labels, protocol="mars", metric="euclidean")
    assert score(features, **labels, protocol="mars").queries == 2


def test_an_unknown_protocol_or_metric_lists_the_known():
    with pytest.raises(UsageError, match="mars-matlab"):
        score(**GOOD, protocol="marz")
    with pytest.raises(UsageError, match="euclidean"):
        score(**GOOD, protocol="mars", metric="l1")
