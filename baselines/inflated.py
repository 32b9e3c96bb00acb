"""What the ResNet-50 models of one family (AP3D, BiCnet-TKS, SINet) have in common.

    maps = clip_maps(backbone, clips)                             # [B, T, 3, H, W] -> [B*T, D, H / 16, W / 16]
    vectors = frame_maxima(maps)                                  # -> [B*T, D]
    weights = convert_inflated(state, {"bn.": "neck.norm."})      # the authors' names to ours

They call their ResNet inflated, but its kernels see one frame: it is a 2-D ResNet on the frames of all clips, and a
frame's vector is the maximum over its map.
"""

import math
from collections.abc import Mapping

from torch import Tensor, nn

from .renaming import rename
from .resnet import ResNet

# the authors' prefix -> ours
NAMES = {
    "conv1.": "backbone.conv1.",
    "bn1.": "backbone.bn1.",
    **{f"layer{stage}.": f"backbone.layer{stage}." for stage in (1, 2, 3, 4)},
    "bn.": "neck.norm.",
    "classifier.": "neck.classifier.",
}


class ClipBlock(nn.Module):
    """A block of the backbone that sees all frames of a clip: `forward(maps [B*T, C, H, W], T)`."""

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B*T, C, H, W], T -> [B*T, C', H', W']."""
        raise NotImplementedError


def clip_maps(backbone: ResNet, clips: Tensor) -> Tensor:
    """[B, T, 3, H, W] -> [B*T, C, H / 16, W / 16], where some of the backbone's blocks are `ClipBlock`s."""
    frames = clips.shape[1]
    x = backbone.stem(clips.flatten(0, 1))
    for stage in backbone.stages:
        for block in stage:
            x = block(x, frames) if isinstance(block, ClipBlock) else block(x)
    return x


def frame_maxima(maps: Tensor) -> Tensor:
    """[N, C, H, W] -> float32 [N, C]: the maximum over each map."""
    return maps.amax((2, 3)).float()


def start_normal(*layers: nn.Conv1d | nn.Conv2d) -> None:
    """Weights of 1x1 convolutions from a normal of deviation sqrt(2 / outputs), biases zero."""
    for layer in layers:
        nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.out_channels))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def convert_inflated(state: Mapping[str, Tensor], names: Mapping[str, str] = {}) -> dict[str, Tensor]:
    """Renames by `NAMES` and `names`, and takes the time axis from kernels [O, I, 1, h, w].

    Names that neither side knows, and ours, pass through; kernels over several frames keep their five axes.
    """
    renamed = rename(state, {**NAMES, **names})
    return {k: v.squeeze(2) if v.ndim == 5 and v.shape[2] == 1 else v for k, v in renamed.items()}
