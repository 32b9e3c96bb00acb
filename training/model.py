"""What a model is to the loop.

A model's file is a module with

    RECIPES = {"full": Recipe(...), "tiny": Recipe(...)}      # by size; tiny trains in minutes on two cores
    VARIANTS = {"no-cmr": {"cmr": False}, ...}                # optional: `reidkit run cgclip/no-cmr`
    INFO = ModelInfo(...)
    def build(recipe, num_classes, num_cameras) -> nn.Module  # pretrained="" where a checkpoint follows
    def convert(state_dict) -> dict[str, Tensor]              # optional: the authors' names to ours

and what `build` returns has the methods of `ReidModel`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Protocol

from torch import Tensor, nn

from ..datasets import ReidDataset, Tracklet, UsageError
from .recipe import Recipe

DOCUMENT = "docs/your-model.md shows what a model's file holds."


@dataclass
class TrainingOutput:
    """What a forward pass hands to the losses.

    Attributes:
        logits: name -> [B, Y] scores of the training identities; each gets label-smoothed cross-entropy x `id_weight`.
        features: name -> [B, D]; each gets a batch-hard triplet loss x `triplet_weight`.
        losses: name -> scalar, already weighted, added as it is.
        weight: multiplies the losses of all logits and features, beside the recipe's weights.
    """

    logits: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True)
class ModelInfo:
    """What `reidkit models` prints."""

    title: str  # as in papers: "TF-CLIP"
    venue: str
    year: int
    paper: str  # arXiv number, DOI or title
    backbone: str
    licence: str  # of the authors' released code; "none" where it has none, "-" where there is no code
    parity: str = ""  # how agreement with the authors' code was shown; "" where it was not
    version: int = 1  # raised by every change of the model's code that changes its figures; see user_model.Source


class FrameExtractor(Protocol):
    """Given to `prepare`: runs a function over all frames of tracklets."""

    def __call__(self, tracklets: Sequence[Tracklet], function: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        """One CPU tensor [frames, ...] a tracklet.

        `function(images, cameras) -> [N, ...]` is given normalised images [N, 3, H, W] and cameras [N] on the device.
        """
        ...


class ReidModel(Protocol):
    """An `nn.Module` with these methods."""

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips: float, normalised, [B, T, 3, H, W]; cameras, labels: int64 [B], labels index `dataset.identities`."""
        ...

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W], [B] -> [B, D], before any normalisation: clips are averaged first, then L2-normalised."""
        ...

    # Optional:
    #   prepare(dataset: ReidDataset, extract: FrameExtractor) -> None
    #       once, before training; what it computes lives in buffers, so that a checkpoint carries it
    #   lr_factor(parameter_name: str) -> float
    #       multiplies the recipe's learning rate; 0 freezes


def build(module: ModuleType, recipe: Recipe, num_classes: int, num_cameras: int) -> nn.Module:
    """What the model's file builds.

    Raises:
        UsageError: it builds no model.
    """
    model = module.build(recipe, num_classes, num_cameras)
    if not isinstance(model, nn.Module) or not callable(getattr(model, "embed", None)):
        raise UsageError(
            f"build of '{module.__file__}' gave a {type(model).__name__}; it gives an nn.Module with forward and "
            f"embed. {DOCUMENT}"
        )
    return model


def prepare(model: nn.Module, dataset: ReidDataset, extract: FrameExtractor) -> None:
    """Calls the model's `prepare` where it has one."""
    own = getattr(model, "prepare", None)
    if own is not None:
        own(dataset, extract)


def check_output(output: object, model: str, batch: int, num_classes: int) -> None:
    """Whether `forward` of the class named `model` gave what the losses take, for a batch of so many clips.

    Raises:
        UsageError: no `TrainingOutput`, or a tensor in it of another shape.
    """
    if not isinstance(output, TrainingOutput):
        raise UsageError(f"forward of {model} gave a {type(output).__name__}; it gives a TrainingOutput. {DOCUMENT}")
    if not (output.logits or output.features or output.losses):
        raise UsageError(f"forward of {model} gave no logits, no features and no losses: nothing to train on.")
    for kind, shape, tensors in (
        ("logits", [batch, num_classes], output.logits),
        ("features", [batch, None], output.features),
        ("losses", [], output.losses),
    ):
        for name, tensor in tensors.items():
            found = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            if len(found) != len(shape) or any(a not in (b, None) for a, b in zip(shape, found, strict=True)):
                wanted = str(shape).replace("None", "D")
                raise UsageError(f"{kind}['{name}'] of {model} is {found}; it is a tensor {wanted}. {DOCUMENT}")


def check_features(features: object, model: str, batch: int) -> None:
    """Whether `embed` of the class named `model` gave a row for each of so many clips.

    Raises:
        UsageError: it gave something else.
    """
    found = f"a tensor {list(features.shape)}" if isinstance(features, Tensor) else f"a {type(features).__name__}"
    if not isinstance(features, Tensor) or features.dim() != 2 or len(features) != batch:
        raise UsageError(f"embed of {model} gave {found} for {batch} clips; it gives a tensor [{batch}, D]. {DOCUMENT}")
