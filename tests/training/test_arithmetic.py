"""One setting of the arithmetic, in training and in every test."""

from contextlib import contextmanager

import pytest
import torch

from reidkit.baselines import resnet50
from reidkit.training import arithmetic as module
from reidkit.training import cell as cell_module
from reidkit.training import experiment, extraction, loop
from reidkit.training.arithmetic import arithmetic, forget_peak_memory, peak_memory
from reidkit.training.cell import Cell, Places
from reidkit.training.parallel import Parallel

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def settings():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark


def test_what_held_before_holds_again():
    before = settings()
    with arithmetic(GPU):
        assert settings() == ("high", True)
        with arithmetic(GPU):
            assert settings() == ("high", True)
        assert settings() == ("high", True)
    assert settings() == before
    with pytest.raises(KeyError), arithmetic(GPU):
        raise KeyError
    assert settings() == before
    with arithmetic(CPU):
        assert settings() == before


def test_training_preparation_and_tests_compute_under_it(made_up, tmp_path, monkeypatch):
    inside, seen = [], set()

    @contextmanager
    def watched(device):
        inside.append(device)
        yield
        inside.pop()

    class Watched(resnet50.Resnet50):
        def prepare(self, dataset, extract):
            seen.add(("prepare", bool(inside)))
            extract(dataset.train, lambda images, cameras: seen.add(("frames", bool(inside))) or images.mean((2, 3)))

        def forward(self, clips, cameras, labels):
            seen.add(("forward", bool(inside)))
            return super().forward(clips, cameras, labels)

        def embed(self, clips, cameras):
            seen.add(("embed", bool(inside)))
            return super().embed(clips, cameras)

    for user in (experiment, extraction, loop):
        monkeypatch.setattr(user, "arithmetic", watched)
    dataset = made_up()
    monkeypatch.setattr(cell_module, "bench_splits", lambda name, root: 1)
    monkeypatch.setattr(cell_module, "load_bench", lambda name, root, split=0: dataset)
    monkeypatch.setattr(resnet50, "build", lambda recipe, classes, cameras: Watched(recipe, classes))
    recipe = resnet50.RECIPES["tiny"].changed(backbone_width=4, height=32, width=16, identities=3, epochs=1)
    cell = Cell(resnet50, "resnet50", "tiny", recipe, "made-up")
    experiment.run_cell(cell, Places(tmp_path / "results", tmp_path / "runs"), Parallel(CPU))
    assert seen == {(place, True) for place in ("prepare", "frames", "forward", "embed")}


def test_every_cell_measures_its_own_peak(made_up, tmp_path, monkeypatch):
    forgotten = []
    monkeypatch.setattr(module.torch.cuda, "reset_peak_memory_stats", forgotten.append)
    forget_peak_memory(GPU)
    forget_peak_memory(CPU)
    assert forgotten == [GPU]
    assert peak_memory(CPU) is None

    monkeypatch.setattr(experiment, "forget_peak_memory", forgotten.append)
    dataset = made_up()
    recipe = resnet50.RECIPES["tiny"].changed(backbone_width=4, height=32, width=16, identities=3, epochs=1)
    cell = Cell(resnet50, "resnet50", "tiny", recipe, "made-up")
    for name in ("a", "b"):
        experiment.train_cell(cell, dataset, tmp_path / name, Parallel(CPU), again=False, workers=0, title="")
    assert forgotten == [GPU, CPU, CPU]
