"""What a result says of its machine."""

import dataclasses
import json
import os

from reidkit.leaderboard.environment import environment


def test_environment_is_json_and_has_no_path():
    text = json.dumps(environment(), allow_nan=False)
    assert {"software", "hardware", "commit"} <= set(json.loads(text))
    assert str(dataclasses.__file__) not in text


def test_a_system_without_affinity_counts_its_cores(monkeypatch):
    """macOS and Windows know no `sched_getaffinity`."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert environment()["hardware"]["cores"] == 5
