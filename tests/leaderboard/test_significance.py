"""Intervals and paired tests against plain loops, and on cases whose answer is known."""

import dataclasses

import numpy as np
import pytest

from reidkit.datasets import UsageError
from reidkit.leaderboard.results import QueryRow, save_result
from reidkit.leaderboard.significance import compare_results, find_results, interval, paired_test, resampled_means


def test_resampling_takes_whole_identities():
    """The spread of cluster means against a loop that draws identities one by one."""
    rng = np.random.default_rng(0)
    values, identities = rng.normal(size=60), np.repeat(np.arange(12), 5)
    means = resampled_means(values[None], identities, 4000, 1)[:, 0]
    slow = []
    for _ in range(4000):
        drawn = rng.integers(0, 12, 12)
        slow.append(np.mean(np.concatenate([values[identities == i] for i in drawn])))
    assert means.std() == pytest.approx(np.std(slow), rel=0.1)
    assert means.mean() == pytest.approx(values.mean(), abs=0.02)


def test_queries_of_one_person_are_not_independent():
    copies = [QueryRow(f"{i}-{k}", i, 10.0 * i, 1, []) for i in range(10) for k in range(20)]
    single = [row for row in copies if row.query.endswith("-0")]
    apart = [dataclasses.replace(row, identity=n) for n, row in enumerate(copies)]
    wide, narrow = interval([copies], "mAP"), interval([apart], "mAP")
    assert wide == pytest.approx(interval([single], "mAP"))  # twenty copies of a query tell no more than one
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        people = rng.normal(50, 10, 40)
        rows = [QueryRow(f"{i}{k}", i, p, 1, []) for i, p in enumerate(people) for k in range(3)]
        low, high = interval([rows], "mAP", resamples=500)
        covered += low <= 50 <= high
    assert 86 <= covered <= 100


def test_no_interval_of_one_person_or_no_query(queries):
    assert interval([[]], "mAP") is None
    assert interval([queries([10, 20])], "mAP") is None


def test_a_model_is_not_better_than_itself(queries):
    rows = queries(np.linspace(0, 100, 40))
    test = paired_test([rows], [rows], "mAP")
    assert (test.difference, test.p, test.significant) == (0, 1, False)


def test_a_small_steady_gain_is_seen_where_intervals_overlap(queries):
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 98, 200)
    a, b = queries(base + 1 + rng.normal(0, 0.5, 200)), queries(base)
    assert interval([a], "mAP")[0] < interval([b], "mAP")[1]
    test = paired_test([a], [b], "mAP")
    assert test.significant
    assert test.low > 0
    mirrored = paired_test([b], [a], "mAP")
    assert mirrored.difference == pytest.approx(-test.difference)


def test_noise_is_rarely_called_significant(queries):
    rng = np.random.default_rng(1)
    called = 0
    for seed in range(60):
        base = rng.uniform(0, 100, 80)
        a, b = queries(base + rng.normal(0, 5, 80)), queries(base + rng.normal(0, 5, 80))
        called += paired_test([a], [b], "mAP", resamples=400, seed=seed).significant
    assert called <= 9


def test_results_are_compared_in_map_and_rank_one(make_result, queries):
    a = make_result("a", per_query=queries([90.0] * 20, [1] * 20))
    b = make_result("b", per_query=queries([80.0] * 20, [1, 2] * 10))
    made = compare_results([a], [b])
    assert [(d.metric, d.difference) for d in made.differences] == [("mAP", 10), ("R1", 50)]
    assert (made.queries, made.identities) == (20, 10)
    assert "significant" in made.text()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"protocol": "mars-matlab"}, "protocol"),
        ({"sampling": "spread"}, "sampling"),
        ({"fingerprint": "0" * 64}, "fingerprint"),
        ({"per_query": []}, "per-query"),
    ],
)
def test_unlike_results_are_refused(make_result, queries, changes, word):
    rows = queries([1.0, 2, 3, 4])
    with pytest.raises(UsageError, match=word):
        compare_results([make_result("a", per_query=rows)], [make_result("b", **({"per_query": rows} | changes))])


def test_other_queries_are_refused(queries):
    with pytest.raises(UsageError, match="other queries"):
        paired_test([queries([1.0] * 6)], [queries([1.0] * 4)], "mAP")


def test_a_result_is_found_by_model_or_file(tmp_path, make_result):
    old, new = make_result(seed=1), make_result(seed=1, created="2026-11-24T00:00:00+00:00")
    path = save_result(tmp_path, old)
    assert find_results("resnet50", "mars", [old, new], tmp_path) == [new]
    assert find_results(str(path), None, [], tmp_path) == [old]
    for name, bench, word in (("x", "mars", "model"), ("resnet50", "marz", "bench"), ("resnet50", None, "--bench")):
        with pytest.raises(UsageError, match=word):
            find_results(name, bench, [old], tmp_path)
    with pytest.raises(UsageError, match="reidkit run"):
        find_results("resnet50", "mars", [], tmp_path)


def test_a_models_seeds_are_found_together_but_not_its_other_recipes(tmp_path, make_result):
    other = make_result(seed=0, recipe={"seed": 0, "lr": 1.0})
    seeds = [make_result(seed=seed) for seed in (2, 0, 1)]
    assert find_results("resnet50", "mars", [other, *seeds], tmp_path) == [seeds[1], seeds[2], seeds[0]]


def test_runs_are_resampled_beside_identities():
    """The spread over identities and runs against a loop that draws both one by one."""
    rng = np.random.default_rng(5)
    identities = np.repeat(np.arange(10), 3)
    values = 50 + rng.normal(0, 5, 30) + np.array([[-6.0], [0.0], [6.0]])
    runs = [
        [QueryRow(str(q), int(i), v, 1, []) for q, (i, v) in enumerate(zip(identities, row, strict=True))]
        for row in values
    ]
    slow = []
    for _ in range(4000):
        people, drawn = rng.integers(0, 10, 10), rng.integers(0, 3, 3)
        slow.append(np.mean([np.concatenate([values[r][identities == i] for i in people]) for r in drawn]))
    low, high = interval(runs, "mAP")
    assert (low, high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.6)
    alone = interval(runs[1:2], "mAP")
    assert high - low > 1.3 * (alone[1] - alone[0])


def test_a_gain_smaller_than_what_seeds_differ_by_is_not_significant(queries):
    base = np.random.default_rng(6).uniform(20, 80, 200)
    a = [queries(base + shift) for shift in (-4, 1, 6)]
    b = [queries(base + shift) for shift in (-3, 0, 3)]
    test = paired_test(a, b, "mAP")
    assert test.difference == pytest.approx(1)
    assert not test.significant
    assert paired_test(a[1:2], b[1:2], "mAP").significant  # which one seed would have called so


def test_comparing_says_how_many_runs_took_part(make_result, queries):
    a = [make_result("a", seed=seed, per_query=queries([90.0 + seed] * 20)) for seed in range(3)]
    b = [make_result("b", per_query=queries([80.0] * 20))]
    made = compare_results(a, b)
    assert made.differences[0].difference == pytest.approx(11)
    assert "3 and 1 runs" in made.text()
    with pytest.raises(UsageError, match="fingerprint"):
        compare_results([a[0], make_result("a", fingerprint="0" * 64, per_query=queries([1.0] * 20))], b)
