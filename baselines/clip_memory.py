"""TF-CLIP's memory of identities: one prototype each, from CLIP's projected class token over all training frames; and
how a model with such a memory is trained.

    memory = identity_memory(features, labels, num_classes, frames=8)      # [Y, 512]
    follow(memory, videos, labels, momentum=0.8)

TF-CLIP freezes its memory; `follow` is ours, for a tower that trains from scratch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..datasets.sampling import dense_clips
from ..training.recipe import Composition, EpochOf, ErasedFill, Share, TrainChunks, Warmup
from .clip import ClipRecipe


@dataclass(frozen=True, kw_only=True)
class MemoryRecipe(ClipRecipe):
    """TF-CLIP's batches, augmentation and schedule: Adam 5e-6, x0.1 at 30, 50 and 70 of 80 epochs, 4 x 4 clips."""

    memory_momentum: Share = 1.0  # 1: frozen, as TF-CLIP's; below, the batch's rows follow their clips

    identities: int = 4
    tracklets: int = 4
    epoch_of: EpochOf = "tracklets"
    composition: Composition = "different"
    train_chunks: TrainChunks = "filled"
    pad: int = 0
    erase_area: tuple[float, float] = (0.02, 0.2)
    erase_fill: ErasedFill = "colour"
    lr: float = 5e-6
    bias_lr_factor: float = 2.0
    weight_decay: float = 1e-4
    epochs: int = 80
    milestones: tuple[int, ...] = (30, 50, 70)
    warmup: Warmup = "stair"
    warmup_epochs: int = 10
    id_weight: float = 0.25
    pretrained: str = "openai"


def identity_memory(features: Sequence[Tensor], labels: Sequence[int], num_classes: int, frames: int) -> Tensor:
    """Averages frame -> clip -> tracklet -> identity, not normalised (TF-CLIP).

    Args:
        features: [frames of the tracklet, D] each, float.
        labels: class of each tracklet.
        num_classes: Y; every class has a tracklet.
        frames: T of the clips, cut as in the dense test.

    Returns:
        [Y, D] float32.

    Raises:
        ValueError: a class has no tracklet.
    """
    tracklets = torch.stack([f.float()[torch.from_numpy(dense_clips(len(f), frames))].mean((0, 1)) for f in features])
    index = torch.as_tensor(labels)
    sums = torch.zeros(num_classes, tracklets.shape[1]).index_add_(0, index, tracklets)
    counts = torch.bincount(index, minlength=num_classes)
    if (counts == 0).any():
        raise ValueError(f"no training tracklet of classes {counts.eq(0).nonzero().flatten().tolist()}")
    return sums / counts[:, None]


@torch.no_grad()
def follow(memory: Tensor, videos: Tensor, labels: Tensor, momentum: float) -> None:
    """Row y becomes momentum * row + (1 - momentum) * mean of the batch's videos of y, in place.

    Not part of TF-CLIP, whose memory is frozen: a tower that starts from random weights leaves its first prototypes
    behind within an epoch. [Y, D], [B, D], int64 [B].
    """
    present, where = labels.unique(return_inverse=True)
    sums = torch.zeros(len(present), memory.shape[1], device=memory.device).index_add_(
        0, where, videos.detach().float()
    )
    means = sums / torch.bincount(where, minlength=len(present))[:, None]
    memory[present] = momentum * memory[present] + (1 - momentum) * means
