"""Results made up for the tests."""

import numpy as np
import pytest
from made_up import write_own

from reidkit.datasets.own import read_dataset
from reidkit.leaderboard import ranking
from reidkit.leaderboard.results import QueryRow, Result, pair_rows, query_rows


@pytest.fixture
def make_result():
    """`make_result(model="a", mAP=50.0, …)` -> Result."""

    def make(model="resnet50", bench="mars", mAP=50.0, R1=60.0, seed=0, fingerprint="f" * 64, **changes):
        record = {
            "model": model,
            "size": "full",
            "bench": bench,
            "protocol": "mars",
            "protocol_version": 1,
            "sampling": "dense",
            "metric": "cosine",
            "rerank": False,
            "metrics": {"mAP": mAP, "R1": R1, "R5": min(100.0, R1 + 10), "R10": 90.0, "R20": 95.0, "mINP": 20.0},
            "splits": [],
            "queries": 10,
            "skipped": 0,
            "per_query": [],
            "dataset": {"name": bench, "fingerprint": fingerprint, "path": "data"},
            "recipe": {"seed": seed},
            "seed": seed,
            "environment": {},
            "command": "reidkit run",
            "seconds": 1.0,
            "created": "2026-11-23T10:00:00+00:00",
        }
        return Result(**(record | changes))

    return make


@pytest.fixture
def queries():
    """`queries(aps)` -> per_query rows, two queries an identity."""

    def make(aps, ranks=None):
        return [
            QueryRow(f"q{i}", i // 2 + 1, float(ap), 1 if ranks is None else ranks[i], []) for i, ap in enumerate(aps)
        ]

    return make


@pytest.fixture
def dataset(tmp_path):
    """Four test identities by three cameras, in our format."""
    return read_dataset(write_own(tmp_path / "data", "mine", train=2, test=4, cameras=3, frames=3))


@pytest.fixture
def scored(make_result, dataset):
    """`scored("model", seed=0, noise=2.0)` -> a result of made-up features on `dataset`."""

    def make(model="resnet50", seed=0, noise=2.0, **changes):
        rng = np.random.default_rng(seed)
        pids = np.array([t.identity for t in dataset.test])
        features = rng.normal(size=(100, 8))[pids] + noise * rng.normal(size=(len(pids), 8))
        queries = {t.id for t in dataset.query}
        scores = ranking.score(
            features.astype(np.float32),
            pids,
            np.array([t.camera for t in dataset.test]),
            np.array([t.id in queries for t in dataset.test]),
            "video-reid",
        )
        record = {
            "protocol": "video-reid",
            "metrics": scores.metrics,
            "queries": scores.queries,
            "per_query": query_rows(scores, dataset.test),
            "camera_pairs": pair_rows(scores),
            "dataset": {"name": "mine", "fingerprint": dataset.fingerprint, "path": str(dataset.root)},
            "environment": {"hardware": {"cpu": "Abacus 3"}, "software": {"torch": "9.9"}, "commit": "abc123"},
            "command": f"reidkit run {model} --bench mine",
            "recipe": {"lr": 0.125, "seed": seed},
        }
        return make_result(model, bench="mine", seed=seed, **(record | changes))

    return make
