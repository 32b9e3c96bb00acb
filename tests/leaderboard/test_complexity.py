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
    assert made.rows[0].cells[5].value == pytest.approx(24 * 5 / 1e9)  # multiply-adds a frame


def test_fused_attention_counts_as_two_matrix_products():
    """The kernels of `scaled_dot_product_attention` differ by device; none may be left out."""

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Parameter(torch.randn(1, 5, 8))

        def embed(self, clips, cameras):
            keys = clips.flatten(2).unflatten(2, (2, 5, 8))[:, :, 0]  # [B, T, 5, 8]
            queries = self.query.expand(len(clips), -1, -1)  # a view of a parameter, made without gradients
            queries = nn.functional.layer_norm(queries, (8,))[:, None].expand(-1, clips.shape[1], -1, -1)
            return nn.functional.scaled_dot_product_attention(queries, keys, keys).mean((1, 2))

    wanted = 7 * 2 * (2 * 5 * 5 * 8) / 1e9  # 7 frames; scores, then values
    for device in ("meta", "cpu"):
        assert complexity.gigaflops(Attending().to(device), (7, 2, 5, 8), device) == pytest.approx(wanted)


def test_a_fused_lstm_is_counted():
    class Recalling(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(24, 6, batch_first=True)

        def embed(self, clips, cameras):
            return self.lstm(clips.flatten(2))[0][:, -1]

    cost = complexity.measure(Recalling(), (7, 3, 4, 2), repeats=1)
    assert cost.gflops == pytest.approx(7 * 2 * 4 * 6 * (24 + 6) / 1e9)


def test_a_model_that_reads_values_is_counted_on_its_device():
    class Reading(Linear):
        def embed(self, clips, cameras):
            return super().embed(clips, cameras) * (1 if clips.sum().item() == 0 else 0)

    assert complexity.measure(Reading(), (7, 3, 4, 2), repeats=1).gflops == pytest.approx(2 * 7 * 24 * 5 / 1e9)


def test_a_view_of_a_parameter_given_to_a_layer_is_counted():
    class Expanding(Linear):
        def embed(self, clips, cameras):
            return self.layer(self.layer.weight[:1].expand(len(clips), -1))

    model = Expanding()
    assert complexity.gigaflops(model.to("meta"), (1, 3, 4, 2)) == pytest.approx(2 * 24 * 5 / 1e9)
    assert model.layer.weight.requires_grad


def test_memory_doesnt_depend_on_what_was_measured_before():
    class Wide(Linear):
        def embed(self, clips, cameras):
            return super().embed(clips.repeat(1, 1000, 1, 1, 1), cameras)

    small = complexity.measure(Linear(), (7, 3, 4, 2), repeats=1).memory_mib
    large = complexity.measure(Wide(), (7, 3, 4, 2), repeats=1).memory_mib
    again = complexity.measure(Linear(), (7, 3, 4, 2), repeats=1).memory_mib
    assert small == again
    assert large > 7000 * 24 * 4 / 2**20


def test_gradients_are_off():
    seen = []

    class Watching(Linear):
        def embed(self, clips, cameras):
            seen.append(torch.is_grad_enabled())
            return super().embed(clips, cameras)

    complexity.measure(Watching(), (1, 3, 4, 2), repeats=1)
    assert not any(seen)


@pytest.mark.parametrize(
    "change",
    [
        {"gflops": float("nan")},
        {"gflops": -1},
        {"milliseconds": 10**400},
        {"format": 2},
        {"clip": [1]},
        {"clip": [0, 3, 4, 2]},
        {"parameters": "many"},
        {"environment": {"hardware": []}},
        {"model": 7},
    ],
)
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
    assert path.name == "other-a-gpu.json"
    assert len(complexity.table(tmp_path)) == 2
