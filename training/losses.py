"""The losses every model is trained with.

    total, parts = combine(model(clips, cameras, labels), labels, recipe)

All are computed in float32, whatever precision the model ran in.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .model import TrainingOutput
from .recipe import Recipe


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy against (1 - smoothing) on the label plus smoothing / Y on every class (Szegedy et al. 2016, §7).

    Args:
        logits: [B, Y].
        labels: int64 [B].
        smoothing: 0 for the plain cross-entropy.
    """
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


def euclidean_distances(features: Tensor) -> Tensor:
    """The Euclidean distances, [B, D] -> [B, B].

    Squares are clamped to 1e-12, so that the root has a gradient on the diagonal.
    """
    squares = features.pow(2).sum(1)
    squared = squares[:, None] + squares[None, :] - 2 * features @ features.T
    return squared.clamp(min=1e-12).sqrt()


def cosine_distances(features: Tensor) -> Tensor:
    """The cosine distances, [B, D] -> [B, B]: one minus the cosine."""
    normed = F.normalize(features, dim=1)
    return 1 - normed @ normed.T


def batch_hard_triplet(
    features: Tensor,
    labels: Tensor,
    margin: float | None = 0.3,
    distance: Literal["euclidean", "cosine"] = "euclidean",
) -> Tensor:
    """The hardest positive and the hardest negative of every anchor (Hermans et al. 2017, eq. 5), averaged.

    The anchor counts among its own positives, so an identity with one clip in the batch is no error.

    Args:
        features: [B, D], not normalised.
        labels: int64 [B]; at least two identities, otherwise the loss is zero.
        margin: of the hinge; None for the soft margin log(1 + exp(d_ap - d_an)).
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        distances = euclidean_distances(features) if distance == "euclidean" else cosine_distances(features)
    same = labels[:, None] == labels[None, :]
    # without a negative the gap is -inf, whose loss and gradient are zero under both kinds of margin
    hardest_positive = distances.masked_fill(~same, -torch.inf).amax(1)
    hardest_negative = distances.masked_fill(same, torch.inf).amin(1)
    gap = hardest_positive - hardest_negative
    return F.softplus(gap).mean() if margin is None else F.relu(gap + margin).mean()


def supervised_contrast(
    anchors: Tensor, others: Tensor, anchor_labels: Tensor, other_labels: Tensor, temperature: float = 1.0
) -> Tensor:
    """-mean over anchors of the mean log-probability of their positives among `others` (Khosla et al. 2020, L_out).

    Image to text is `supervised_contrast(image, text, …)`, text to image the same with the arguments exchanged.

    Args:
        anchors: [A, D]; others: [O, D]; used as they are: normalise first where cosines are wanted.
        anchor_labels: [A]; other_labels: [O]. An anchor without a positive contributes nothing and is not averaged.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        log_probability = F.log_softmax(anchors.float() @ others.float().T / temperature, dim=1)
    positive = (anchor_labels[:, None] == other_labels[None, :]).float()
    count = positive.sum(1)
    mean = (log_probability * positive).sum(1) / count.clamp(min=1)
    return -mean.sum() / (count > 0).sum().clamp(min=1)


def combine(output: TrainingOutput, labels: Tensor, recipe: Recipe) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and each detached part under `id/name`, `triplet/name` or the loss's own name."""
    id_weight, triplet_weight = output.weight * recipe.id_weight, output.weight * recipe.triplet_weight
    parts = {}
    for name, logits in output.logits.items():
        parts[f"id/{name}"] = id_weight * smoothed_cross_entropy(logits, labels, recipe.label_smoothing)
    for name, features in output.features.items():
        triplet = batch_hard_triplet(features, labels, recipe.triplet_margin, recipe.triplet_distance)
        parts[f"triplet/{name}"] = triplet_weight * triplet
    parts.update(output.losses)
    return torch.stack([part.float() for part in parts.values()]).sum(), {k: v.detach() for k, v in parts.items()}
