"""Stage 6: tracklets in which the tracker changed from one person to another are cut there.

    cuts = find_cuts(features, quality, different)      # positions of the first crops of the parts after the first

A change shows as two runs of crops, one after the other, each like itself and unlike the other. Pose, turning and
passing occlusion change an embedding too, so a cut is made only where the two runs are no more alike than two people of
this footage are (`different`: similarities of tracklets seen at the same time), and each run holds together.
"""

import itertools
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
        run = _best_run(features[start:stop], quality[start:stop], limit, settings)
        if run is not None:
            edges = sorted({start, start + run[0], start + run[1], stop})
            cuts += edges[1:-1]
            pending += itertools.pairwise(edges)
    return sorted(cuts)


def _best_run(
    features: np.ndarray, quality: np.ndarray, limit: float, settings: PuritySettings
) -> tuple[int, int] | None:
    """The run [first, last) with the widest step between "within" and "across", where it passes both tests.

    Runs in the middle count too: after somebody came between, the first person may be followed again.
    """
    count = len(features)
    if count < 2 * settings.least:
        return None
    first, last = np.triu_indices(count + 1, settings.least)
    rest_before, rest_after = first, count - last
    fits = ((rest_before == 0) | (rest_before >= settings.least)) & ((rest_after == 0) | (rest_after >= settings.least))
    fits &= (rest_before + rest_after) >= settings.least
    first, last = first[fits], last[fits]
    features = np.asarray(features, np.float64)
    weight = np.maximum(quality, 0.05).astype(np.float64)
    pair = np.outer(weight, weight)
    np.fill_diagonal(pair, 0.0)
    means = []
    for table in ((features @ features.T) * pair, pair):
        total = np.zeros((count + 1, count + 1))
        total[1:, 1:] = table.cumsum(0).cumsum(1)
        inner = total[last, last] - total[first, last] - total[last, first] + total[first, first]
        across = total[last, count] - total[first, count] - inner
        means.append((inner, across, total[count, count] - inner - 2 * across))
    inner, across, outer = (a / np.maximum(b, 1e-12) for a, b in zip(*means, strict=True))
    step = np.minimum(inner, outer) - across
    sums = np.concatenate([np.zeros((1, features.shape[1])), (weight[:, None] * features).cumsum(0)])
    one = sums[last] - sums[first]
    other = sums[count] - one
    size = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    alike = (one * other).sum(1) / np.maximum(size, 1e-12)
    step = np.where(alike < limit, step, -np.inf)
    best = int(step.argmax())
    return (int(first[best]), int(last[best])) if step[best] > settings.coherence else None
