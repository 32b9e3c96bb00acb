"""Stage 6: tracklets in which the tracker changed from one person to another are cut there.

    limit = most_alike(different, PuritySettings())     # similarities of tracklets that are seen at the same time
    cuts = find_cuts(features, quality, limit)          # positions of the first crops of the parts after the first

A change shows as two runs of crops, one after the other, each like itself and unlike the other. Pose, turning and
passing occlusion change an embedding too, so a cut is made only where the two runs are no more alike than two people of
this footage are, and each run holds together.
"""

import itertools
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from ..datasets.fields import check_fields


@dataclass(frozen=True)
class PuritySettings:
    """What decides where a tracklet is cut.

    Attributes:
        least: number of crops that must lie on either side of a cut.
        quantile: 0 to 1. Two runs of crops must be less similar than this quantile of the similarities of different
            people.
        coherence: by how much the mean cosine similarity within each run must exceed the one across the cut.
    """

    least: Annotated[int, Meta(ge=1, le=10_000)] = 3
    quantile: Annotated[float, Meta(ge=0, le=1)] = 0.75
    coherence: Annotated[float, Meta(ge=0, le=2)] = 0.12

    def __post_init__(self) -> None:
        check_fields(self, "purity setting")


def most_alike(different: np.ndarray, settings: PuritySettings) -> float | None:
    """How alike two runs of crops may be and still show two people; None where nobody stands beside anybody.

    Args:
        different: [m] cosine similarities of the embeddings of tracklets that are different people.
    """
    return float(np.quantile(different, settings.quantile)) if len(different) else None


def find_cuts(
    features: np.ndarray, quality: np.ndarray, limit: float | None, settings: PuritySettings | None = None
) -> list[int]:
    """Where a tracklet's crops change from one person to another.

    Args:
        features: [n, D] embeddings of the crops in time order, rows L2-normalised.
        quality: [n] of the crops, 0 to 1; the weight of each in the means.
        limit: `most_alike` of this footage. Where it is None nothing is cut, as there is nothing to compare with.

    Returns:
        The positions in `features` at which another person begins, increasing; as a rule none.
    """
    settings = settings or PuritySettings()
    if limit is None:
        return []
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
    """The run of crops [first, last) that stands out most from the rest, if it passes both tests of `PuritySettings`.

    It stands out by the lower of the two mean similarities within (the run's and the rest's), less the one across. Runs
    in the middle count, too: after somebody came between, the first person may be followed again.
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
