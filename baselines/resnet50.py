"""ResNet-50, averaged over the frames: the floor every video model has to beat.

    reidkit run resnet50 --bench mars
    reidkit run resnet50 --bench demo/sports --size tiny

A frame's feature is the spatial mean of the last map, a clip's the mean over its frames; a BNNeck (Luo et al. 2019)
stands between the feature that the triplet sees and the classifier.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..datasets.clips import ClipSpec
from ..training.model import ModelInfo, TrainingOutput
from .necks import BnNeck
from .resnet import TINY_SETTINGS, ResNet, ResnetRecipe, load_pretrained


@dataclass(frozen=True, kw_only=True)
class Resnet50Recipe(ResnetRecipe):
    """Schedule of the CNN models: Adam 3.5e-4, x0.1 at 40 and 70 of 120 epochs, clips of 4 frames."""

    clip: ClipSpec = ClipSpec(frames=4)
    test_frames: int = 4
    identities: int = 8
    tracklets: int = 4


RECIPES = {
    "full": Resnet50Recipe(),
    # 1.2 M parameters, from scratch
    "tiny": Resnet50Recipe().changed(
        **TINY_SETTINGS,
        tracklets=4,
        lr=1e-3,
        layers=(1, 1, 1, 1),
        backbone_width=24,
    ),
}

INFO = ModelInfo(
    title="ResNet-50 mean",
    venue="CVPR",
    year=2016,
    paper="arXiv 1512.03385",
    backbone="ResNet-50, ImageNet",
    licence="-",
)


class Resnet50(nn.Module):
    """`forward` and `embed` as `training.model.ReidModel` wants them; D = 2048 at full size."""

    def __init__(self, recipe: Resnet50Recipe, num_classes: int) -> None:
        super().__init__()
        self.backbone = ResNet(recipe.layers, recipe.backbone_width, recipe.last_stride)
        load_pretrained(self.backbone, recipe.pretrained)
        self.backbone.to(memory_format=torch.channels_last)  # a quarter faster on CPU and GPU
        self.neck = BnNeck(self.backbone.channels, num_classes)

    def pool(self, clips: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, D]: the mean over frames and places."""
        batch, frames = clips.shape[:2]
        maps = self.backbone(clips.flatten(0, 1))
        return maps.float().mean((2, 3)).view(batch, frames, -1).mean(1)

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W]; cameras and labels [B]."""
        features = self.pool(clips)
        return TrainingOutput(logits={"clip": self.neck(features)}, features={"clip": features})

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, D], after the neck's batch norm."""
        return self.neck.norm(self.pool(clips))


def build(recipe: Resnet50Recipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities; cameras play no part in it.

    Raises:
        UsageError: the pretrained weights are absent; the sentence says how to get them.
    """
    return Resnet50(recipe, num_classes)


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's bare ResNet-50 file, whose names lack our `backbone.` prefix; our own names pass through."""
    if not any(name.startswith("backbone.") for name in state):
        return {f"backbone.{name}": tensor for name, tensor in state.items() if not name.startswith("fc.")}
    return dict(state)
