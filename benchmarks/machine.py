"""The line that a table of timings carries: which machine, which versions."""

import platform
from pathlib import Path

import torch

from reidkit.datasets.cores import usable_cores


def describe(device: str = "cpu") -> str:
    """`4 cores of Intel(R) Xeon(R) …, 2 threads; Python 3.11.9, torch 2.11.0`, with the GPU where one is used."""
    model = "unknown processor"
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    parts = [f"{usable_cores()} cores of {model}, {torch.get_num_threads()} threads"]
    if device.startswith("cuda"):
        parts.append(f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}")
    return "; ".join([*parts, f"Python {platform.python_version()}, torch {torch.__version__}"])
