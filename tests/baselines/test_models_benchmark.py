"""`benchmarks/models.py` runs a model through training and test; figures aren't judged, only what they count."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("reidkit_models_benchmark", ROOT / "benchmarks" / "models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_model_makes_a_table(benchmark, tmp_path, monkeypatch, capsys):
    output = tmp_path / "models.md"
    monkeypatch.setattr(sys, "argv", ["models.py", "--quick", "--models", "ap3d", "-o", str(output)])
    benchmark.main()
    lines = output.read_text().splitlines()
    header = next(line for line in lines if line.startswith("| model |"))
    row = lines[lines.index(header) + 2]
    assert row.startswith("| ap3d | 0.84 | 16 x 4 |")
    assert row.count("|") == header.count("|")
    assert f"torch {torch.__version__}" in "\n".join(lines)


def test_training_memory_holds_model_moments_and_gradients(benchmark):
    found = benchmark.training("ap3d", "tiny", "cpu", repeats=1)
    model, recipe = benchmark.make("ap3d", "tiny", "cpu")
    weights = 4 * sum(p.numel() for p in model.parameters()) / 2**20
    clips = 4 * 16 * recipe.clip.frames * 3 * recipe.clip.height * recipe.clip.width / 2**20
    assert found["batch"] == f"{recipe.identities * recipe.tracklets} x {recipe.clip.frames}"
    assert found["train_mib"] > 4 * weights + clips  # Adam has two moments


def test_cgclip_has_captions_to_read(benchmark):
    model, _ = benchmark.make("cgclip", "tiny", "cpu")
    assert bool(model.bank.known.all())
    assert bool(model.bank.mask.any(1).all())
