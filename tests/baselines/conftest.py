"""`benchmarks/parity.py` as a module, and the golden figures."""

import importlib
from pathlib import Path

import pytest
import torch
from made_up import make_dataset

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def parity():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return importlib.import_module("parity")


@pytest.fixture(scope="session")
def fill(parity):
    """The rule that fills both models."""
    return importlib.import_module("golden").fill


@pytest.fixture(scope="session")
def step_parity(parity):
    """The script `benchmarks/step_parity.py`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return importlib.import_module("step_parity")


@pytest.fixture(scope="session")
def golden_folder():
    return lambda model: GOLDEN / model


@pytest.fixture
def train_tiny(tmp_path):
    """`train_tiny(name, *overrides)` trains the tiny recipe on coloured crops: the first and the last epoch's loss."""
    from reidkit.training import loop, zoo
    from reidkit.training.parallel import Parallel

    def train(name, *overrides):
        dataset = make_dataset(tmp_path / "data", train=8)
        recipe = zoo.recipe(name, "tiny", ("identities=4", "tracklets=2", "epochs=12", *overrides))
        torch.manual_seed(0)
        model = zoo.module(name).build(recipe, len(dataset.identities), dataset.num_cameras)
        loop.train(model, dataset, recipe, tmp_path / "run", Parallel(torch.device("cpu")))
        losses = [line["loss"] for line in loop.read_log(tmp_path / "run" / loop.LOG)]
        return losses[0], losses[-1]

    return train
