"""Model name -> model. On the command line: `cgclip`, `cgclip/no-cmr`, `tfclip`, … or `path/to/my_model.py`."""

import importlib
import re
from pathlib import Path
from types import ModuleType

from ..datasets import UsageError
from ..datasets.errors import choices
from ..datasets.names import check_name
from . import user_model
from .recipe import Recipe, override

MODULES = {
    "cgclip": "..cgclip.model",
    "tfclip": "..baselines.tfclip",
    "clipreid": "..baselines.clipreid",
    "vslaclip": "..baselines.vslaclip",
    "ap3d": "..baselines.ap3d",
    "ap3d_nl": "..baselines.ap3d_nl",
    "bicnet": "..baselines.bicnet",
    "psta": "..baselines.psta",
    "stmn": "..baselines.stmn",
    "sinet": "..baselines.sinet",
    "resnet50": "..baselines.resnet50",
}


def module(name: str) -> ModuleType:
    """The file behind a model's name, without its variant: one of ours, or a user's own `my_model.py`.

    Raises:
        UsageError: no such model (the known ones are listed), or a file that is no model.
    """
    base, _ = split_variant(name)
    if is_file(name):
        stem = check_name(Path(base).stem, "name of a model's file")
        if stem in MODULES:
            raise UsageError(f"'{base}' has the name of a model of reidkit; rename the file, or its results would mix.")
        return user_model.load(Path(base))
    if base not in MODULES:
        raise UsageError(
            choices(base, MODULES, "model") + " `reidkit models` describes them; PATH.py runs a model of your own."
        )
    return importlib.import_module(MODULES[base], package=__package__)


def split_variant(name: str) -> tuple[str, str]:
    """A model's name or file, and the variant behind it; "" where there is none.

    >>> split_variant("cgclip/no-cmr"), split_variant("models/my_model.py/wide")
    (('cgclip', 'no-cmr'), ('models/my_model.py', 'wide'))
    """
    if found := re.fullmatch(r"(.+\.py)(?:/(.*))?", name):
        return found[1], found[2] or ""
    base, _, variant = name.partition("/")
    return base, variant


def title(name: str) -> str:
    """The name that results and runs carry.

    >>> title("models/my_model.py/wide")
    'my_model/wide'
    """
    base, variant = split_variant(name)
    stem = Path(base).stem if base.endswith(".py") else base
    return f"{stem}/{variant}" if variant else stem


def base_title(name: str) -> str:
    """The title without the variant.

    >>> base_title("models/my_model.py/wide")
    'my_model'
    """
    return title(name).partition("/")[0]


def is_file(name: str) -> bool:
    """Whether a name is the path of a user's file, with a variant or without.

    >>> is_file("cgclip/no-cmr"), is_file("models/my_model.py/wide")
    (False, True)
    """
    return split_variant(name)[0].endswith(".py")


def recipe(name: str, size: str = "full", overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe of `model` or `model/variant` at a size, with `key=value` overrides applied last.

    Raises:
        UsageError: unknown model, size, variant or key.
    """
    source = module(name)
    base, variant = split_variant(name)
    if size not in source.RECIPES:
        raise UsageError(choices(size, source.RECIPES, f"size of {base}"))
    chosen = source.RECIPES[size]
    if variant:
        variants = getattr(source, "VARIANTS", {})
        if variant not in variants:
            raise UsageError(choices(variant, variants, f"variant of {base}"))
        chosen = chosen.changed(**variants[variant])
    return override(chosen, overrides)
