"""Model name -> model. `cgclip`, `cgclip/no-cmr`, `tfclip`, … on the command line."""

import dataclasses
import importlib
from types import ModuleType

from .datasets import UsageError
from .datasets.errors import choices
from .training.recipe import Recipe, override

MODULES = {
    "cgclip": ".cgclip.model",
    "tfclip": ".baselines.tfclip",
    "clipreid": ".baselines.clipreid",
    "vslaclip": ".baselines.vslaclip",
    "resnet50": ".baselines.resnet50",
}


def module(name: str) -> ModuleType:
    """The file behind a model's name, without its variant.

    Raises:
        UsageError: no such model; the known ones are listed.
    """
    base = name.partition("/")[0]
    if base not in MODULES:
        raise UsageError(choices(base, MODULES, "model") + " `reidkit models` describes them.")
    return importlib.import_module(MODULES[base], package=__package__)


def recipe(name: str, size: str = "full", overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe of `model` or `model/variant` at a size, with `key=value` overrides applied last.

    Raises:
        UsageError: unknown model, size, variant or key.
    """
    source = module(name)
    base, _, variant = name.partition("/")
    if size not in source.RECIPES:
        raise UsageError(choices(size, source.RECIPES, f"size of {base}"))
    chosen = source.RECIPES[size]
    if variant:
        variants = getattr(source, "VARIANTS", {})
        if variant not in variants:
            raise UsageError(choices(variant, variants, f"variant of {base}"))
        chosen = dataclasses.replace(chosen, **variants[variant])
    return override(chosen, overrides)
