"""Stage 6: tracklets in which the tracker changed from one person to another are cut there.

    cuts = find_cuts(features, quality, different)      # positions of the first crops of the parts after the first

A change shows as two runs of crops, one after the other, each like itself and unlike the other. Pose, turning and
passing occlusion change an embedding too, so a cut is made only where the two runs are no more alike than two people of
this footage are (`different`: similarities of tracklets seen at the same time), and each run holds together.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PuritySettings:
    """Attributes:
    least: crops on either side of a cut.
    quantile: of the similarities of different people; two runs must be less alike than this.
    coherence: how much more alike (cosine) a run's crops must be among themselves than across the cut.
    """

    least: int = 3
    quantile: float = 0.75
    coherence: float = 0.12


def find_cuts(
    features: np.ndarray, quality: np.ndarray, different: np.ndarray, settings: PuritySettings | None = None
) -> list[int]:
    """Where a tracklet's crops [n, D], in time order, change from one person to another; increasing, often empty.

    Args:
        different: cosine similarities of the embeddings of tracklets that are different people; empty: nothing is cut,
            as there's nothing to compare with.
    """
    settings = settings or PuritySettings()
    if len(different) == 0:
        return []
    limit = float(np.quantile(different, settings.quantile))
    cuts: list[int] = []
    pending = [(0, len(features))]
    while pending:
        start, stop = pending.pop()
        cut = _best_cut(features[start:stop], quality[start:stop], limit, settings)
        if cut is not None:
            cuts.append(start + cut)
            pending += [(start, start + cut), (start + cut, stop)]
    return sorted(cuts)


def _best_cut(features: np.ndarray, quality: np.ndarray, limit: float, settings: PuritySettings) -> int | None:
    """The cut with the widest step between "within" and "across", where it passes both tests."""
    count = len(features)
    if count < 2 * settings.least:
        return None
    similarity = np.asarray(features, np.float64) @ np.asarray(features, np.float64).T
    weight = np.maximum(quality, 0.05).astype(np.float64)
    pair = np.outer(weight, weight)
    np.fill_diagonal(pair, 0.0)
    weighted = similarity * pair
    best, best_step = None, settings.coherence
    for cut in range(settings.least, count - settings.least + 1):
        left, right = slice(0, cut), slice(cut, count)
        across = weighted[left, right].sum() / pair[left, right].sum()
        within = min(weighted[side, side].sum() / pair[side, side].sum() for side in (left, right))
        if within - across <= best_step:
            continue
        one, other = (weight[side] @ features[side] for side in (left, right))
        alike = one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12)
        if alike < limit:
            best, best_step = cut, within - across
    return best
