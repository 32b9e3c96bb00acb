"""TF-CLIP's memory of identities: one prototype each, from CLIP's projected class token over all training frames.

    memory = identity_memory(features, labels, num_classes, frames=8)      # [Y, 512]
    follow(memory, videos, labels, momentum=0.8)

TF-CLIP freezes its memory; `follow` is ours, for a tower that trains from scratch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..datasets.sampling import dense_clips


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
