"""Rates against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from reidkit.training.optimiser import make_optimiser, parameter_factors, rate_factor, set_rate
from reidkit.training.recipe import Recipe


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.frozen = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
        self.body.bias.requires_grad_(False)

    def lr_factor(self, name):
        return {"head": 10.0, "frozen": 0.0}.get(name.partition(".")[0], 1.0)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.1),  # the first step of the warm-up
        (10, 0.55),  # half of it: 2 epochs of 10 steps
        (19, 0.955),
        (20, 1.0),  # the warm-up is over
        (39, 1.0),  # the last step before the milestone after 4 epochs
        (40, 0.1),
        (59, 0.1),
        (60, 0.01),
    ],
)
def test_step_schedule(step, expected):
    recipe = Recipe(epochs=8, milestones=(4, 6), warmup_epochs=2, warmup_factor=0.1)
    assert rate_factor(recipe, step, steps_per_epoch=10) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.5),  # warm-up from a half
        (5, 0.75),
        (10, 1.0),  # the cosine's start
        (20, 0.1 + 0.9 * 0.5),  # its middle: 10 of 20 steps
        (30, 0.1),  # the run's last step ends at min_lr
    ],
)
def test_cosine_schedule(step, expected):
    # 31 steps in one-step epochs, of which 10 are warm-up
    recipe = Recipe(schedule="cosine", epochs=31, warmup_epochs=10, warmup_factor=0.5, lr=1e-3, min_lr=1e-4)
    assert rate_factor(recipe, step, steps_per_epoch=1) == pytest.approx(expected)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (9, 0.1), (10, 0.55), (19, 0.55), (20, 1.0), (40, 0.1)])
def test_a_stair_rises_with_each_epoch(step, expected):
    recipe = Recipe(epochs=8, milestones=(4, 6), warmup="stair", warmup_epochs=2, warmup_factor=0.1)
    assert rate_factor(recipe, step, steps_per_epoch=10) == pytest.approx(expected)


def test_no_warmup_starts_at_the_full_rate():
    assert rate_factor(Recipe(), 0, 10) == 1.0


def test_factors_and_groups():
    model = Small()
    recipe = Recipe(lr=0.1, bias_lr_factor=2.0, weight_decay=0.01)
    assert parameter_factors(model, recipe) == {
        "body.weight": 1.0,
        "body.bias": 0.0,  # the model froze it
        "head.weight": 10.0,
        "head.bias": 20.0,
        "frozen.weight": 0.0,
        "frozen.bias": 0.0,
    }
    optimiser = make_optimiser(model, recipe)
    assert isinstance(optimiser, torch.optim.Adam)
    assert {g["factor"]: len(g["params"]) for g in optimiser.param_groups} == {1.0: 1, 10.0: 1, 20.0: 1}
    assert not model.frozen.weight.requires_grad
    set_rate(optimiser, 0.5, recipe.lr)
    assert sorted(g["lr"] for g in optimiser.param_groups) == pytest.approx([0.05, 0.5, 1.0])


def test_frozen_parameters_stay_and_others_move():
    torch.manual_seed(0)
    model = Small()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimiser = make_optimiser(model, Recipe(optimizer="adamw", lr=0.1))
    assert isinstance(optimiser, torch.optim.AdamW)
    model.frozen(model.head(model.body(torch.ones(3, 2)))).sum().backward()
    optimiser.step()
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"body.weight", "head.weight", "head.bias"}
