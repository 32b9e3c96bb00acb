"""Model name -> model. On the command line: `cgclip`, `cgclip/no-cmr`, `tfclip`, … or `path/to/my_model.py`."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ..datasets import UsageError
from ..datasets.errors import choices
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
    if base.endswith(".py"):
        return _user_module(Path(base))
    if base not in MODULES:
        raise UsageError(
            choices(base, MODULES, "model") + " `reidkit models` describes them; PATH.py runs a model of your own."
        )
    return importlib.import_module(MODULES[base], package=__package__)


def split_variant(name: str) -> tuple[str, str]:
    """ "cgclip/no-cmr" -> ("cgclip", "no-cmr"); "dir/my_model.py/wide" -> ("dir/my_model.py", "wide")."""
    if ".py" in name:
        stem, _, variant = name.rpartition(".py")
        return f"{stem}.py", variant.removeprefix("/")
    base, _, variant = name.partition("/")
    return base, variant


def title(name: str) -> str:
    """The name that results and runs carry: "dir/my_model.py/wide" -> "my_model/wide"."""
    base, variant = split_variant(name)
    stem = Path(base).stem if base.endswith(".py") else base
    return f"{stem}/{variant}" if variant else stem


def _user_module(path: Path) -> ModuleType:
    """The user's file, run as a module. It imports from `reidkit.…`."""
    if not path.is_file():
        raise UsageError(
            f"There is no model file '{path}'. Give the path of a .py file, or a name of `reidkit models`."
        )
    if path.stem in MODULES:
        raise UsageError(f"'{path}' has the name of a model of reidkit; rename the file, or its results would mix.")
    known = f"reidkit_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(known, path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[known] = loaded  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(loaded)
    except Exception as error:
        raise UsageError(f"'{path}' stops with {type(error).__name__}: {error}. Mend it and run again.") from error
    missing = [part for part in ("RECIPES", "build") if not hasattr(loaded, part)]
    if missing:
        raise UsageError(
            f"'{path}' has no {' and no '.join(missing)}; docs/your-model.md shows what a model's file holds."
        )
    return loaded


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
