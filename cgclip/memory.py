"""CLIP-Memory: one prototype an identity, from CLIP's projected class token over all its training frames.

    memory = identity_memory(features, labels, num_classes, frames=8)      # [Y, 512]

Averaged frame -> clip -> tracklet -> identity, not normalised (TF-CLIP, AAAI 2024). So a long tracklet counts as much as a
short one, and an identity isn't the mean of its most filmed minute.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..datasets import Tracklet


def identity_memory(features: Sequence[Tensor], labels: Sequence[int], num_classes: int, frames: int) -> Tensor:
    """Prototypes [Y, D] from frame features.

    Args:
        features: [frames, D] a tracklet.
        labels: class index of each tracklet.
        frames: length of a clip; the last one of a tracklet may be shorter.

    Raises:
        ValueError: a class without a tracklet.
    """
    sums = torch.zeros(num_classes, features[0].shape[1])
    counts = torch.zeros(num_classes)
    for feature, label in zip(features, labels, strict=True):
        clips = torch.stack([clip.mean(0) for clip in feature.float().split(frames)])
        sums[label] += clips.mean(0)
        counts[label] += 1
    if (counts == 0).any():
        raise ValueError(f"no training tracklet for the classes {(counts == 0).nonzero().flatten().tolist()}")
    return sums / counts[:, None]


def refresh(memory: Tensor, videos: Tensor, labels: Tensor, momentum: float) -> None:
    """Moves the rows of the batch's identities towards their clips' mean, in place: m M_y + (1 - m) mean of v.

    A tower that trains from scratch leaves its first prototypes behind within a few steps; one that starts from CLIP's
    weights at a rate of 5e-6 doesn't, and its memory stays frozen.

    Args:
        memory: [Y, D].
        videos: [B, D].
        labels: int64 [B].
        momentum: m, 0 to 1; 1 leaves the memory as it is.
    """
    sums = torch.zeros_like(memory).index_add_(0, labels, videos.detach().to(memory.dtype))
    counts = torch.zeros(len(memory), dtype=memory.dtype, device=memory.device)
    counts.index_add_(0, labels, torch.ones_like(labels, dtype=memory.dtype))
    seen = (counts > 0)[:, None]
    memory.copy_(torch.where(seen, momentum * memory + (1 - momentum) * sums / counts.clamp(min=1)[:, None], memory))


def thin(tracklet: Tracklet, count: int) -> Tracklet:
    """The tracklet with `count` of its frames, evenly spread; itself where it has no more than that, or `count` is 0."""
    frames = tracklet.frames
    if count == 0 or len(frames) <= count:
        return tracklet
    keep = [(2 * i + 1) * len(frames) // (2 * count) for i in range(count)]

    def pick(values: tuple) -> tuple:
        return tuple(values[i] for i in keep)

    if frames.offsets is None:
        return replace(tracklet, frames=replace(frames, files=pick(frames.files)))
    chosen = replace(frames, offsets=pick(frames.offsets), lengths=pick(frames.lengths))
    return replace(tracklet, frames=chosen)
