"""What a model costs, measured, stored and shown."""

import json

import pytest
import torch
from torch import nn

from reidkit.leaderboard import complexity


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 4 * 2, 5, bias=False)

    def embed(self, clips, cameras):
        assert cameras.shape == clips.shape[:1]
        return self.layer(clips.flatten(2)).mean(1)


def test_operations_and_parameters_are_counted(tmp_path):
    cost = complexity.measure(Linear(), (7, 3, 4, 2), name="linear", repeats=3)
    assert cost.parameters == 24 * 5
    assert cost.gflops == pytest.approx(2 * 7 * 24 * 5 / 1e9)
    assert cost.milliseconds > 0
    complexity.save(tmp_path, cost)
    assert complexity.load(tmp_path) == ([cost], [])
    made = complexity.table(tmp_path)[0]
    assert made.rows[0].label == "linear 4x2"
    assert made.rows[0].cells[4].text == "7"


def test_gradients_are_off():
    seen = []

    class Watching(Linear):
        def embed(self, clips, cameras):
            seen.append(torch.is_grad_enabled())
            return super().embed(clips, cameras)

    complexity.measure(Watching(), (1, 3, 4, 2), repeats=1)
    assert not any(seen)


@pytest.mark.parametrize("change", [{"gflops": float("nan")}, {"format": 2}, {"clip": [1]}, {"parameters": "many"}])
def test_damaged_figures_are_named(tmp_path, change):
    path = complexity.save(tmp_path, complexity.measure(Linear(), (1, 3, 4, 2), name="linear", repeats=1))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    made = complexity.table(tmp_path)
    assert not made[0].rows
    assert "linear.json" in made[0].problems[0]


def test_two_machines_share_no_column(tmp_path):
    cost = complexity.measure(Linear(), (1, 3, 4, 2), name="linear", repeats=1)
    complexity.save(tmp_path, cost)
    path = complexity.save(tmp_path, cost.__class__(**(cost.__dict__ | {"model": "other", "device": "A GPU"})))
    assert path.name == "other.json"
    assert len(complexity.table(tmp_path)) == 2
