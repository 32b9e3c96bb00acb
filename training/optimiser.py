"""Adam or AdamW with a rate per parameter, and the schedule as a plain function of the step.

    optimiser = make_optimiser(model, recipe)
    for step in range(total):
        set_rate(optimiser, rate_factor(recipe, step, steps_per_epoch), recipe.lr)

Nothing is kept between steps, so a run that goes on needs the number of its step alone.
"""

import math
from collections import defaultdict

import torch
from torch import nn

from ..datasets import UsageError
from .recipe import Recipe


def parameter_factors(model: nn.Module, recipe: Recipe) -> dict[str, float]:
    """Parameter name -> what multiplies `recipe.lr`: the model's `lr_factor`, times `bias_lr_factor` for a bias.

    Parameters the model froze itself (`requires_grad` False) have 0.
    """
    return {
        name: _own_factor(model, name) * (recipe.bias_lr_factor if is_bias(name) else 1.0)
        if parameter.requires_grad
        else 0.0
        for name, parameter in model.named_parameters()
    }


def is_bias(name: str) -> bool:
    """Whether the parameter of that name is a bias: `…bias`, also `…in_proj_bias`."""
    return name.rpartition(".")[2].endswith("bias")


def _own_factor(model: nn.Module, name: str) -> float:
    own = getattr(model, "lr_factor", None)
    factor = 1.0 if own is None else own(name)
    if not isinstance(factor, int | float) or not 0 <= factor < math.inf:
        raise UsageError(
            f"lr_factor('{name}') of {type(model).__name__} gave {factor!r}; it gives a number from 0, which freezes."
        )
    return float(factor)


def make_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """One group a factor and weight decay. A factor of 0 freezes: the parameter gets no gradient and is in no group.

    Raises:
        UsageError: the model's `lr_factor` gives no factor, or every parameter is frozen.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    factors = parameter_factors(model, recipe)
    for name, parameter in model.named_parameters():
        if factors[name] == 0:
            parameter.requires_grad_(False)
        else:
            own = recipe.bias_weight_decay if is_bias(name) else None
            groups[factors[name], recipe.weight_decay if own is None else own].append(parameter)
    if not groups:
        raise UsageError(f"Every parameter of {type(model).__name__} is frozen, so there is nothing to train.")
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(
        [
            {"params": groups[factor, decay], "lr": recipe.lr * factor, "factor": factor, "weight_decay": decay}
            for factor, decay in sorted(groups)
        ],
        lr=recipe.lr,
    )


def rate_factor(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """What multiplies every group's rate at `step` (from 0).

    Warm-up rises from `warmup_factor` at step 0 to 1 after `warmup_epochs`, with each step or, as a `stair`, with each
    epoch. `step`: x `gamma` after as many epochs as each milestone says. `cosine`: from 1 at the end of the warm-up to
    `min_lr` / `lr` at the last step.

    >>> recipe = Recipe(schedule="step", milestones=(2, 3), gamma=0.5)
    >>> [rate_factor(recipe, step, steps_per_epoch=2) for step in (0, 4, 6)]
    [1.0, 0.5, 0.25]
    """
    warm = recipe.warmup_epochs * steps_per_epoch
    risen = step - step % steps_per_epoch if recipe.warmup == "stair" else step
    rise = recipe.warmup_factor + (1 - recipe.warmup_factor) * risen / warm if step < warm else 1.0
    if recipe.schedule == "step":
        return rise * recipe.gamma ** sum(step >= milestone * steps_per_epoch for milestone in recipe.milestones)
    if step < warm:
        return rise
    last = recipe.epochs * steps_per_epoch - 1
    done = min((step - warm) / max(last - warm, 1), 1.0)
    floor = recipe.min_lr / recipe.lr
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2


def set_rate(optimiser: torch.optim.Optimizer, factor: float, lr: float) -> None:
    """Gives each group `lr` times its own factor times `factor`."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["factor"] * factor
