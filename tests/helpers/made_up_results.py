"""Results made up for the tests, of `leaderboard` and of the commands that show them."""

import json
from dataclasses import asdict

from reidkit.leaderboard.results import QueryRow, Result


def make_result(model="resnet50", bench="mars", mAP=50.0, R1=60.0, seed=0, fingerprint="f" * 64, **changes):
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


def make_rows(aps, ranks=None):
    """Rows of one query each, two queries an identity."""
    return [QueryRow(f"q{i}", i // 2 + 1, float(ap), 1 if ranks is None else ranks[i], []) for i, ap in enumerate(aps)]


def write_result(root, result, name="hostile.json"):
    """Stores a result as a stranger might: under names that `save_result` refuses."""
    folder = root / "some-bench" / "some-model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(asdict(result)))
