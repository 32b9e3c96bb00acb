"""In which numbers a model computes: the same in training, in what is prepared for it, and in every test.

    with arithmetic(device):
        with autocast(recipe, device):
            output = model(clips, cameras, labels)
        loss.backward()

Casting to bf16 is for the forward pass alone; the precision of float32 products holds for the backward pass, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .recipe import Recipe


@contextmanager
def arithmetic(device: torch.device) -> Iterator[None]:
    """On a GPU float32 matrix products run as TF32, and cuDNN takes the kernels that it finds fastest.

    These are settings of the process. What held before holds again at the end, so that a test that follows a training
    and one in a process of its own compute alike.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.benchmark = before[1]


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """bf16 on the GPU where the recipe says so; float32 on the CPU, where autocast is slower than none."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16" and device.type == "cuda")


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that tensors took on the GPU since `forget_peak_memory`; None on the CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def forget_peak_memory(device: torch.device) -> None:
    """Lets `peak_memory` begin anew, so that a cell's log tells its own peak and not that of a cell before it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
