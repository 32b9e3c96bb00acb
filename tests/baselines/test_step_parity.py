"""One training step beside the authors' figures, and that the script tells where it is another."""

from pathlib import Path

import pytest
import torch
from torch import nn

FOLDER = Path(__file__).resolve().parents[1] / "golden_step"


@pytest.mark.slow  # test_small_steps.py has their small twins
@pytest.mark.parametrize("name", ["clipreid", "tfclip", "vslaclip", "ap3d", "psta", "stmn", "sinet"])
def test_a_step_is_the_authors(step_parity, name):
    compared = step_parity.compare(step_parity.Step(name, FOLDER / name, 0))
    assert compared.faults == []
    assert {
        kind: compared.largest(kind) for kind in step_parity.KINDS if compared.largest(kind)[0] > step_parity.BOUND
    } == {}
    assert all(compared.differences[kind] for kind in step_parity.KINDS)
    assert compared.equal


@pytest.fixture
def compared(step_parity):
    """Nothing compared yet."""
    return step_parity.Compared(step_parity.Step("clipreid", FOLDER / "clipreid", 0))


def test_a_loss_that_differs_or_is_on_one_side_alone(step_parity, compared):
    arrays = compared.step.arrays
    ours = {key.removeprefix("loss/"): torch.tensor(arrays[key]) for key in arrays if key.startswith("loss/")}
    ours["total"] = torch.tensor(arrays["total"])
    step_parity.compare_losses(compared, ours)
    assert compared.equal
    step_parity.compare_losses(compared, ours | {"total": ours["total"] * (1 + 1e-5)})
    assert compared.largest("loss")[1] == "total"
    assert not compared.equal
    step_parity.compare_losses(compared, ours | {"own": torch.tensor(1.0)})
    assert compared.faults == ["the loss own is on one side alone"]


def test_parameters_that_train_on_one_side_alone(step_parity, compared):
    only = nn.Parameter(torch.zeros(2))
    only.grad = torch.ones(2)
    step_parity.compare_parameters(compared, {"only.ours": only}, {"only.ours": torch.zeros(2)})
    assert "only.ours has a gradient in ours alone" in compared.faults
    assert "classifier.weight has a gradient in theirs alone" in compared.faults


def test_another_rate_or_decay_is_a_fault(step_parity, compared):
    weight = nn.Parameter(torch.zeros(2))
    rate, decay = compared.step.meta["groups"]["classifier.weight"]
    name, _ = compared.step.ours("classifier.weight")
    for given, faults in (((rate, decay), 0), ((2 * rate, decay), 1), ((rate, 0.0), 1)):
        compared.faults.clear()
        optimiser = torch.optim.Adam([{"params": [weight], "lr": given[0], "weight_decay": given[1]}])
        step_parity.compare_groups(compared, optimiser, {name: weight})
        assert len(compared.faults) == faults
