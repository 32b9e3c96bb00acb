"""Models that are trained already: from a run's folder, or from a file that somebody else trained.

    trained = open_run(Path("runs/mars/resnet50/seed0"), "cuda")
    opened = open_model("tfclip", Path("TF-CLIP_MARS.pth"), None, (), dataset, "cuda")

A run of a user's own model is opened by executing the file that it was trained with, and no other.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from ..datasets import ReidDataset, UsageError
from ..datasets.errors import choices
from ..datasets.files import sha256_file
from ..datasets.progress import say
from . import checkpoint, zoo
from .model import build
from .recipe import Recipe, from_dict, override
from .run_folder import RunFacts, folder_of, manifest, read_facts
from .user_model import source_of, user_faults

# sizes that nothing else in a model has
CLASSES_MARK, CAMERAS_MARK = 1009, 1013


@dataclass(frozen=True)
class Trained:
    """A model read from a run's folder, in test mode, what it was trained with, and the file of its weights."""

    model: nn.Module
    recipe: Recipe
    facts: RunFacts
    module: ModuleType
    weights: Path


@dataclass(frozen=True)
class Opened:
    """A model in test mode, and where its weights are from.

    Attributes:
        module: the model's file.
        title, size: as results carry them.
        weights: the run's folder or the file.
        trained_on: name of the dataset of a run of ours; "" for weights from elsewhere.
        missing, unexpected: names that the model has and the file lacks, and the other way round.
    """

    model: nn.Module
    recipe: Recipe
    module: ModuleType
    title: str
    size: str
    weights: Path
    trained_on: str = ""
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


@user_faults()
def open_model(
    model: str,
    weights: Path,
    size: str | None,
    overrides: tuple[str, ...],
    dataset: ReidDataset | None,
    device: torch.device | str,
) -> Opened:
    """The model of that name with weights of ours or of anybody, in test mode.

    Args:
        model: with its variant; a user's model by its file, or as its runs are titled, which know their file.
        weights: a run's folder or a file in it; or a .safetensors or .pth file from elsewhere.
        size: of the recipe, for weights from elsewhere; None is "full".
        overrides: `key=value` for the recipe.
        dataset: what will be embedded, where it is one: its numbers of identities and cameras fill shapes that the
            weights leave open.

    Raises:
        UsageError: no such weights, weights of another model, or more cameras than the model was trained for.
    """
    if not weights.exists():
        raise UsageError(f"There are no weights at '{weights}'. Give a run's folder, or a .safetensors or .pth file.")
    if facts := read_facts(weights):
        if zoo.base_title(model) != zoo.base_title(facts.model):
            raise UsageError(f"'{weights}' is a run of {facts.model}. Name that model, or give other weights.")
        titled = facts.file and not zoo.is_file(model)
        trained = open_run(weights, device, None if titled else zoo.module(model))
        if dataset and dataset.num_cameras > facts.cameras and knows_cameras(trained.module, trained.recipe):
            raise UsageError(
                f"'{weights}' was trained for {facts.cameras} cameras and '{dataset.name}' has {dataset.num_cameras}. "
                "Give weights trained on as many cameras."
            )
        recipe = override(trained.recipe, overrides)
        return Opened(trained.model, recipe, trained.module, facts.model, facts.size, weights, facts.dataset.name)
    module = zoo.module(model)
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
    unmatched = report.missing, report.unexpected
    return Opened(built, recipe, module, zoo.title(model), size or "full", weights, "", *unmatched)


@user_faults()
def open_run(path: Path, device: torch.device | str = "cpu", module: ModuleType | None = None) -> Trained:
    """The model of a run's folder (or of its weights file), in test mode.

    Args:
        module: the model's file; None: the one that the run names.

    Raises:
        UsageError: no run's folder, an unfinished one without a checkpoint, or one of another model.
    """
    folder = folder_of(path)
    facts, found = read_facts(path), manifest(folder)
    if facts is None or found is None:
        raise UsageError(f"'{folder}' is no run of reidkit with a checkpoint. Give a folder that `reidkit run` wrote.")
    if module is None:
        module = module_of_run(facts, folder)
    elif facts.source and source_of(module).mark != facts.source:
        say(f"The code of {facts.model} is not what '{folder}' was trained with; its figures may differ.")
    base = module.RECIPES.get(facts.size)
    if base is None:
        raise UsageError(choices(facts.size, module.RECIPES, "size of the model"))
    recipe = from_dict(base, facts.recipe)
    file = folder / found.weights if path.is_dir() else path
    weights = checkpoint.read_weights(file)
    # on shapes alone first: a run.json that names a million identities ends here, not in a computer without memory
    checkpoint.match(outline(module, recipe, facts.classes, facts.cameras), weights, source=str(file))
    model = build(module, dataclasses.replace(recipe, pretrained=""), facts.classes, facts.cameras)
    checkpoint.load_into(model, weights, source=str(file))
    return Trained(model.to(device).eval(), recipe, facts, module, file)


def module_of_run(facts: RunFacts, folder: Path) -> ModuleType:
    """The file of a run's model. A user's file is executed only if it is the one that the run was trained with.

    Raises:
        UsageError: the user's file is not there any more, or is another.
    """
    if not facts.file:
        if zoo.base_title(facts.model) not in zoo.MODULES:
            raise UsageError(
                f"'{folder}' is a run of '{facts.model}', a model file that it doesn't name, so it can't be opened by "
                "its folder alone. Train it again, or use a command that is given the file."
            )
        return zoo.module(facts.model)
    file = Path(facts.file)
    if not file.is_absolute() or file.suffix != ".py" or file.is_relative_to(folder.resolve()):
        raise UsageError(f"'{folder}' names '{file}' as its model's file, which `reidkit run` never writes there.")
    if not file.is_file():
        raise UsageError(f"'{folder}' is a run of '{file}', which is not there any more. Put it back, or train again.")
    if not facts.source.startswith(f"sha256:{sha256_file(file)}"):
        raise UsageError(f"'{file}' was edited since '{folder}' was trained with it. Train it again, or put it back.")
    module = zoo.module(facts.file)
    if source_of(module).mark != facts.source:
        raise UsageError(
            f"What '{file}' imports was edited since '{folder}' was trained with it. Train it again, or put it back."
        )
    return module


@user_faults()
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
    if not isinstance(weights, dict) or not all(isinstance(t, torch.Tensor) for t in weights.values()):
        raise UsageError(f"convert of '{module.__file__}' gave no dict of names with tensors.")
    recipe = dataclasses.replace(recipe, pretrained="")
    found = {CLASSES_MARK: classes, CAMERAS_MARK: cameras}
    shapes = marked_shapes(module, recipe)
    for name, tensor in weights.items():
        if len(shapes.get(name, ())) == tensor.dim():
            found.update({o: t for o, t in zip(shapes.get(name, ()), tensor.shape, strict=True) if o in found})
    model = build(module, recipe, found[CLASSES_MARK], found[CAMERAS_MARK])
    report = checkpoint.load_into(model, weights, source=str(path), strict=False)
    return model.to(device).eval(), report


def outline(module: ModuleType, recipe: Recipe, classes: int, cameras: int) -> nn.Module:
    """The model without pretrained weights, for its names and shapes; without memory where it can be built that way."""
    recipe = dataclasses.replace(recipe, pretrained="")
    try:
        with torch.device("meta"):
            return build(module, recipe, classes, cameras)
    except (RuntimeError, NotImplementedError):  # its construction reads values
        return build(module, recipe, classes, cameras)


def marked_shapes(module: ModuleType, recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of the model, with the two marks where a dimension counts identities or cameras."""
    model = outline(module, recipe, CLASSES_MARK, CAMERAS_MARK)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def knows_cameras(module: ModuleType, recipe: Recipe) -> bool:
    """Whether the model has something of its own for each camera."""
    return any(CAMERAS_MARK in shape for shape in marked_shapes(module, recipe).values())
