"""Results made up for the tests."""

import pytest

from reidkit.leaderboard.results import QueryRow, Result


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
