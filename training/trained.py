"""Models that are trained already: from a run's folder, or from a file that somebody else trained.

trained = open_run(resnet50, Path("runs/mars/resnet50/seed0"), "cuda")
model, report = open_foreign(tfclip, recipe, Path("TF-CLIP_MARS.pth"), classes=625, cameras=6)
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from ..datasets import ReidDataset, ReidkitError, UsageError
from ..datasets.errors import choices
from ..datasets.progress import say
from . import checkpoint, zoo
from .recipe import Recipe, from_dict, override

RUN = "run.json"
# sizes that nothing else in a model has
CLASSES_MARK, CAMERAS_MARK = 1009, 1013


@dataclass(frozen=True)
class Trained:
    """A model read from a run's folder, and what it was trained with."""

    model: nn.Module
    recipe: Recipe
    facts: dict


def open_model(
    model: str,
    weights: Path,
    size: str | None,
    overrides: tuple[str, ...],
    dataset: ReidDataset | None,
    device: torch.device | str,
) -> tuple[nn.Module, Recipe, dict]:
    """The model of that name with weights of ours or of anybody, in test mode, its recipe, and what to report.

    Args:
        weights: a run's folder or a file in it; or a .safetensors or .pth file from elsewhere.
        size: of the recipe, for weights from elsewhere; None is "full".
        overrides: `key=value` for the recipe.
        dataset: what will be embedded, where it is one: its numbers of identities and cameras fill shapes that the
            weights leave open.

    Raises:
        UsageError: no such weights, weights of another model, or more cameras than the model was trained for.
    """
    module = zoo.module(model)
    if not weights.exists():
        raise UsageError(f"There are no weights at '{weights}'. Give a run's folder, or a .safetensors or .pth file.")
    if is_run(weights):
        trained = open_run(module, weights, device)
        about = {"weights": str(weights), "trained_on": trained.facts["dataset"]["name"]}
        about |= {"title": trained.facts["model"], "size": trained.facts["size"]}
        if trained.facts["model"].partition("/")[0] != model.partition("/")[0]:
            raise UsageError(
                f"'{weights}' is a run of {trained.facts['model']}. Name that model, or give other weights."
            )
        cameras = dataset.num_cameras if dataset else 0
        if cameras > trained.facts["cameras"] and knows_cameras(module, trained.recipe):
            raise UsageError(
                f"'{weights}' was trained for {trained.facts['cameras']} cameras and '{dataset.name}' has {cameras}. "
                "Give weights trained on as many cameras."
            )
        return trained.model, override(trained.recipe, overrides), about
    if weights.is_dir():
        raise UsageError(
            f"'{weights}' is no folder that `reidkit run` wrote. Give one, or a .safetensors or .pth file."
        )
    recipe = zoo.recipe(model, size or "full", overrides)
    classes, cameras = (len(dataset.identities), dataset.num_cameras) if dataset else (1, 1)
    built, report = open_foreign(module, recipe, weights, classes, cameras, device)
    for title, names in (("the model has and the file lacks", report.missing), ("the model lacks", report.unexpected)):
        if names:
            say(f"{weights.name}: {len(names)} names that {title}: {', '.join(names)}")
    about = {"weights": str(weights), "missing": report.missing, "unexpected": report.unexpected}
    return built, recipe, about | {"title": zoo.title(model), "size": size or "full"}


def open_run(module: ModuleType, path: Path, device: torch.device | str = "cpu") -> Trained:
    """The model of a run's folder (or of its weights file), in test mode.

    Raises:
        UsageError: no run's folder, an unfinished one without a checkpoint, or one of another model.
    """
    folder = path if path.is_dir() else path.parent
    facts, found = read_facts(path), checkpoint.manifest(folder)
    if facts is None or found is None:
        raise UsageError(f"'{folder}' is no run of reidkit with a checkpoint. Give a folder that `reidkit run` wrote.")
    base = module.RECIPES.get(facts["size"])
    if base is None:
        raise UsageError(choices(facts["size"], module.RECIPES, "size of the model"))
    recipe = from_dict(base, facts["recipe"])
    model = module.build(dataclasses.replace(recipe, pretrained=""), facts["classes"], facts["cameras"])
    weights = folder / found["weights"] if path.is_dir() else path
    checkpoint.load_into(model, checkpoint.read_weights(weights), source=str(weights))
    return Trained(model.to(device).eval(), recipe, facts)


def open_foreign(
    module: ModuleType, recipe: Recipe, path: Path, classes: int, cameras: int, device: torch.device | str = "cpu"
) -> tuple[nn.Module, checkpoint.LoadReport]:
    """A model filled from a file that reidkit did not train, its names converted by the model's `convert`.

    The numbers of training identities and cameras are read off the tensors' shapes; `classes` and `cameras` (the
    bench's) hold where no shape tells. Names without a partner are in the report.

    Raises:
        UsageError: unreadable, or of another model; the tensor and both shapes are named.
    """
    weights = getattr(module, "convert", dict)(checkpoint.read_weights(path))
    recipe = dataclasses.replace(recipe, pretrained="")
    found = {CLASSES_MARK: classes, CAMERAS_MARK: cameras}
    shapes = marked_shapes(module, recipe)
    for name, tensor in weights.items():
        if len(shapes.get(name, ())) == tensor.dim():
            found.update({o: t for o, t in zip(shapes.get(name, ()), tensor.shape, strict=True) if o in found})
    model = module.build(recipe, found[CLASSES_MARK], found[CAMERAS_MARK])
    report = checkpoint.load_into(model, weights, source=str(path), strict=False)
    return model.to(device).eval(), report


def outline(module: ModuleType, recipe: Recipe, classes: int, cameras: int) -> nn.Module:
    """The model without pretrained weights, for its names and shapes; without memory where it can be built that way."""
    recipe = dataclasses.replace(recipe, pretrained="")
    try:
        with torch.device("meta"):
            return module.build(recipe, classes, cameras)
    except (RuntimeError, NotImplementedError):  # its construction reads values
        return module.build(recipe, classes, cameras)


def marked_shapes(module: ModuleType, recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of the model, with the two marks where a dimension counts identities or cameras."""
    model = outline(module, recipe, CLASSES_MARK, CAMERAS_MARK)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def knows_cameras(module: ModuleType, recipe: Recipe) -> bool:
    """Whether the model has something of its own for each camera."""
    return any(CAMERAS_MARK in shape for shape in marked_shapes(module, recipe).values())


def is_run(path: Path) -> bool:
    """Whether `path` is a run's folder or a file in one."""
    return ((path if path.is_dir() else path.parent) / RUN).is_file()


def read_facts(path: Path) -> dict | None:
    """What `run.json` in a run's folder (or beside its weights file) says; None where there is none.

    Raises:
        ReidkitError: it is damaged.
    """
    path = (path if path.is_dir() else path.parent) / RUN
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text())
        return {k: facts[k] for k in ("key", "model", "size", "recipe", "classes", "cameras", "dataset")}
    except (ValueError, KeyError, TypeError):
        raise ReidkitError(f"'{path}' is damaged. Delete its folder to train that run again.") from None
