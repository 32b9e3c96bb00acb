"""AP3D (Gu et al., ECCV 2020): neighbouring frames are aligned to each frame before a convolution over time.

    reidkit run ap3d --bench mars
    reidkit run ap3d/no-alignment --bench demo/sports --size tiny
    reidkit evaluate ap3d --weights THEIRS.pth --bench mars

A ResNet-50 in which every second bottleneck of the second and third stage has an AP-P3D-C in place of its 3x3
convolution. A frame's vector is the maximum over its map, a clip's the mean over its frames. `ap3d_nl` is the same
with non-local blocks.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets.clips import ClipSpec
from ..training.model import ModelInfo, TrainingOutput
from ..training.recipe import Composition, EpochOf, Precision, Weight
from .inflated import ClipBlock, clip_maps, convert_inflated, frame_maxima, start_normal
from .necks import FeatureNeck, hold_bias
from .resnet import TINY_SETTINGS, Bottleneck, ResNet, ResnetRecipe, load_pretrained


@dataclass(frozen=True, kw_only=True)
class Ap3dRecipe(ResnetRecipe):
    """The paper's: Adam 3e-4, x0.1 at 60, 120 and 180 of 240 epochs; clips of 4 frames, tested in clips of 32."""

    align: bool = True  # False: neighbours as they are, a plain P3D-C
    contrastive: bool = True  # gate aligned neighbours by contrastive attention
    temperature: Weight = 4.0  # s of the similarity
    non_local: bool = False  # a non-local block after every second bottleneck of the second and third stage

    clip: ClipSpec = ClipSpec(frames=4)
    train_stride: int = 8
    identities: int = 8
    tracklets: int = 4
    epoch_of: EpochOf = "tracklets"
    composition: Composition = "shuffled"
    pad: int = 0
    erase: float = 0.0
    lr: float = 3e-4
    epochs: int = 240
    milestones: tuple[int, ...] = (60, 120, 180)
    label_smoothing: float = 0.0
    triplet_distance: Literal["euclidean", "cosine"] = "cosine"
    test_frames: int = 32
    precision: Precision = "fp32"


RECIPES = {
    "full": Ap3dRecipe(),
    # 0.5 M parameters, from scratch
    "tiny": Ap3dRecipe().changed(
        **TINY_SETTINGS,
        train_stride=0,
        tracklets=4,
        erase=0.0,
        lr=3e-3,
        layers=(1, 1, 1, 1),
        backbone_width=16,
        test_frames=8,
    ),
}

# the paper's ablation of the module
VARIANTS = {"no-alignment": {"align": False}, "no-contrast": {"contrastive": False}}

INFO = ModelInfo(
    title="AP3D",
    venue="ECCV",
    year=2020,
    paper="arXiv 2007.08434",
    backbone="ResNet-50, ImageNet",
    licence="none",
    version=2,  # trained as the authors trained
    parity="authors' code with made-up weights: feature of 4 and 8 frames within 1e-4",
)


class AppearancePreservingModule(nn.Module):
    """APM (§3.2): rebuilds both neighbours of each frame from their own pixels, so that body parts lie where they lie
    in the frame.

    Args:
        channels: C of the maps.
        recipe: `align`, `contrastive` and `temperature`.
    """

    reduction = 16

    def __init__(self, channels: int, recipe: Ap3dRecipe) -> None:
        super().__init__()
        inner = max(channels // self.reduction, 1)
        self.temperature = recipe.temperature
        self.semantic_mapping = self.x_mapping = None
        if recipe.align:
            self.semantic_mapping = nn.Linear(channels, inner, bias=False)
        if recipe.align and recipe.contrastive:
            self.x_mapping = nn.Linear(channels, inner, bias=False)
            self.n_mapping = nn.Linear(channels, inner, bias=False)
            self.contrastive_att = nn.Linear(inner, 1, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Pixels [B, T, P, C] -> aligned neighbours [B, T, 2, P, C]: the previous frame, then the next.

        The first and the last frame of a clip miss a neighbour: theirs is zero.
        """
        neighbours = _neighbours(tokens)
        if self.semantic_mapping is None:
            return neighbours
        aligned = self.register(tokens, neighbours)
        if self.x_mapping is None:
            return aligned
        # detached: the gate learns to see what has no counterpart, and the backbone is not bent to please it
        x = self.x_mapping(tokens.detach()).unsqueeze(2)
        n = self.n_mapping(aligned.detach())
        return aligned * torch.sigmoid(self.contrastive_att(x * n))

    def register(self, tokens: Tensor, neighbours: Tensor) -> Tensor:
        """Feature map registration: pixel i becomes sum_j softmax_j(s cos(g(c_i), g(x_j))) x_j of a neighbour x."""
        mapped = F.normalize(self.semantic_mapping(tokens), dim=-1)
        queries = mapped.unsqueeze(2).expand(-1, -1, 2, -1, -1)
        # a zero neighbour has similarity zero with everything, and any mixture of its pixels is zero
        keys = _neighbours(mapped)
        rebuilt = F.scaled_dot_product_attention(
            queries.flatten(0, 1), keys.flatten(0, 1), neighbours.flatten(0, 1), scale=self.temperature
        )
        return rebuilt.view_as(neighbours)


def _neighbours(x: Tensor) -> Tensor:
    """[B, T, P, C] -> [B, T, 2, P, C]: frames t - 1 and t + 1, zero outside the clip."""
    padded = F.pad(x, (0, 0, 0, 0, 1, 1))
    return torch.stack([padded[:, :-2], padded[:, 2:]], dim=2)


class ApP3dC(nn.Module):
    """AP-P3D-C (§3.3): a 3x3 convolution within the frames, plus one over time on what it gives, aligned by APM.

    Args:
        spatial: the bottleneck's 3x3 convolution, which carries the stride.
        recipe: see `AppearancePreservingModule`.
    """

    def __init__(self, spatial: nn.Conv2d, recipe: Ap3dRecipe) -> None:
        super().__init__()
        channels = spatial.out_channels
        self.spatial_conv = spatial
        self.apm = AppearancePreservingModule(channels, recipe)
        # 3x1x1 with stride 3 over (previous, itself, next): one matrix on the three pixels side by side
        self.temporal_conv = nn.Linear(3 * channels, channels, bias=False)
        nn.init.zeros_(self.temporal_conv.weight)  # training starts at the ImageNet network

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B*T, C, H, W], T -> [B*T, C', H / stride, W / stride]."""
        x = self.spatial_conv(x)
        height, width = x.shape[2:]
        tokens = x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(0, (-1, frames))
        previous, following = self.apm(tokens).unbind(2)
        y = self.temporal_conv(torch.cat([previous, tokens, following], dim=-1))
        return x + y.flatten(0, 1).unflatten(1, (height, width)).permute(0, 3, 1, 2)


class Ap3dBottleneck(ClipBlock):
    """A bottleneck whose middle convolution is an AP-P3D-C."""

    def __init__(self, block: Bottleneck, recipe: Ap3dRecipe) -> None:
        super().__init__()
        self.conv1, self.bn1 = block.conv1, block.bn1
        self.conv2, self.bn2 = ApP3dC(block.conv2, recipe), block.bn2
        self.conv3, self.bn3 = block.conv3, block.bn3
        self.relu, self.downsample = block.relu, block.downsample

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B*T, C, H, W], T -> [B*T, C', H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x, frames)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class NonLocal(ClipBlock):
    """Non-local block (Wang et al., CVPR 2018, §3): each pixel looks at all pixels of the clip, halved in each axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.pool = nn.MaxPool2d(2)
        self.out = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))
        start_normal(self.theta, self.phi, self.g, self.out[0])
        nn.init.zeros_(self.out[1].weight)  # the block starts as the identity
        nn.init.zeros_(self.out[1].bias)
        # keys that all move alike leave the softmax as it is, values and outputs that do the batch norm
        hold_bias(self.phi, self.g, self.out[0])

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B*T, C, H, W], T -> the same shape."""
        query = self.theta(x)
        tokens = (
            maps.permute(0, 2, 3, 1).flatten(1, 2).unflatten(0, (-1, frames)).flatten(1, 2)
            for maps in (query, self.pool(self.phi(x)), self.pool(self.g(x)))
        )
        y = F.scaled_dot_product_attention(*tokens, scale=1.0)  # not divided by the root of the width
        y = y.unflatten(1, (frames, *query.shape[2:])).flatten(0, 1).permute(0, 3, 1, 2)
        return x + self.out(y)


def insert_modules(backbone: ResNet, recipe: Ap3dRecipe) -> None:
    """AP-P3D-C into bottlenecks 0, 2, 4 … of the second and third stage, non-local blocks behind 1, 3, 5 …."""
    for name in ("layer2", "layer3"):
        blocks = []
        for index, block in enumerate(getattr(backbone, name)):
            blocks.append(Ap3dBottleneck(block, recipe) if index % 2 == 0 else block)
            if recipe.non_local and index % 2 == 1:
                blocks.append(NonLocal(block.conv3.out_channels))
        if isinstance(blocks[-1], NonLocal):
            hold_bias(blocks[-1].out[1])  # the next stage begins with 1x1 convolutions and batch norms
        setattr(backbone, name, nn.Sequential(*blocks))


class Ap3d(nn.Module):
    """`forward` and `embed` as `training.model.ReidModel` wants them; D = 2048 at full size."""

    def __init__(self, recipe: Ap3dRecipe, num_classes: int) -> None:
        super().__init__()
        self.backbone = ResNet(recipe.layers, recipe.backbone_width, recipe.last_stride)
        load_pretrained(self.backbone, recipe.pretrained)
        insert_modules(self.backbone, recipe)
        self.backbone.to(memory_format=torch.channels_last)
        self.neck = FeatureNeck(self.backbone.channels, num_classes)

    def frame_features(self, clips: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, T, D]."""
        return frame_maxima(clip_maps(self.backbone, clips)).unflatten(0, clips.shape[:2])

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W]; cameras and labels [B]."""
        features, logits = self.neck(self.frame_features(clips).mean(1))
        return TrainingOutput(logits={"clip": logits}, features={"clip": features})

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, D], after the batch norm; an affine map, so the mean over clips may come after it."""
        return self.neck.norm(self.frame_features(clips).mean(1))


def build(recipe: Ap3dRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities; cameras play no part in it.

    Raises:
        UsageError: the pretrained weights are absent; the sentence says how to get them.
    """
    return Ap3d(recipe, num_classes)


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names to ours, with or without non-local blocks; ours pass through."""
    parts = {
        ".conv2.APM.contrastive_att_net.0.": ".conv2.apm.contrastive_att.",
        ".conv2.APM.": ".conv2.apm.",
        ".spatial_conv3d.": ".spatial_conv.",
        ".temporal_conv3d.": ".temporal_conv.",
        ".g.0.": ".g.",
        ".phi.0.": ".phi.",
        ".W.": ".out.",
    }
    converted = {}
    for name, tensor in convert_inflated(state).items():
        for theirs, ours in parts.items():
            name = name.replace(theirs, ours)
        if name.endswith(".temporal_conv.weight") and tensor.ndim == 5:  # [O, I, 3, 1, 1] -> [O, 3 I]
            tensor = tensor.flatten(2).transpose(1, 2).flatten(1)
        elif ".conv2.apm." in name:  # 1x1 kernels
            tensor = tensor.flatten(1)
        converted[name] = tensor
    return converted
