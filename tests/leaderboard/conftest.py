"""Results made up for the tests."""

import made_up_results
import numpy as np
import pytest
from made_up import write_own

from reidkit.datasets.own import read_dataset
from reidkit.leaderboard import ranking
from reidkit.leaderboard.results import pair_rows, query_rows


@pytest.fixture
def make_result():
    """`make_result(model="a", mAP=50.0, …)` -> Result."""
    return made_up_results.make_result


@pytest.fixture
def queries():
    """`queries(aps)` -> per_query rows, two queries an identity."""
    return made_up_results.make_rows


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
