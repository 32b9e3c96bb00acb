"""The most that tensors took at once."""

import torch
from torch import nn

from reidkit.leaderboard.tensor_memory import TensorMemory

MIB = 2**20


def vector(mebibytes: int) -> torch.Tensor:
    return torch.ones(mebibytes * MIB // 4)


def test_what_is_freed_makes_room():
    with TensorMemory() as memory:
        for _ in range(3):
            x = vector(2)
            x = x * 2  # both at once
            del x
    assert memory.peak == 4 * MIB
    assert memory.now == 0


def test_views_and_changes_in_place_take_nothing():
    with TensorMemory() as memory:
        x = vector(1)
        x.add_(1)
        x.view(2, -1)[0].mul_(3)
    assert memory.peak == MIB


def test_the_model_counts_and_so_do_its_gradients():
    layer = nn.Linear(512, 1024, bias=False)  # 2 MiB
    x = torch.ones(1, 512)
    with TensorMemory(layer, x) as memory:
        assert memory.now == 2 * MIB + 2048
        layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert 4 * MIB <= memory.now <= 4 * MIB + 20_000


def test_a_tensor_grown_in_place_counts_once():
    with TensorMemory() as memory:
        x = vector(1)
        x.resize_(2 * MIB // 4)
    assert memory.peak == 2 * MIB
