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
from typing import Protocol

from torch import Tensor

from ..datasets import ReidDataset, Tracklet


@dataclass
class TrainingOutput:
    """What a forward pass hands to the losses.

    Attributes:
        logits: name -> [B, Y] scores of the training identities; each gets label-smoothed cross-entropy x `id_weight`.
        features: name -> [B, D]; each gets a batch-hard triplet loss x `triplet_weight`.
        losses: name -> scalar, already weighted, added as it is.
    """

    logits: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)


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


class FrameExtractor(Protocol):
    """Given to `prepare`: runs a function over all frames of tracklets."""

    def __call__(self, tracklets: Sequence[Tracklet], function: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        """One CPU tensor [frames, ...] a tracklet.

        `function(images, cameras) -> [N, ...]` is given normalised images [N, 3, H, W] and cameras [N] on the device.
        """


class ReidModel(Protocol):
    """An `nn.Module` with these methods."""

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips: float, normalised, [B, T, 3, H, W]; cameras, labels: int64 [B], labels index `dataset.identities`."""

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W], [B] -> [B, D], before any normalisation: clips are averaged first, then L2-normalised."""

    # Optional:
    #   prepare(dataset: ReidDataset, extract: FrameExtractor) -> None
    #       once, before training; what it computes lives in buffers, so that a checkpoint carries it
    #   lr_factor(parameter_name: str) -> float
    #       multiplies the recipe's learning rate; 0 freezes


def prepare(model: object, dataset: ReidDataset, extract: FrameExtractor) -> None:
    """Calls the model's `prepare` where it has one."""
    if hasattr(model, "prepare"):
        model.prepare(dataset, extract)
