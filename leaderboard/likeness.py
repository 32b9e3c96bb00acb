"""Is a match likely the same person? Answered by the thresholds that a stored result holds for its weights.

    measured = measured_on(result, split=0)                 # of a result that was given
    measured = find_measured("results", names, sha256, …)   # the best of a store
    found = measured.judge(match.distance)                  # by the strictest rate whose threshold holds it
    found.likely, found.right, found.point.fpr

A match is likely the same person where most of the pairs at its threshold or nearer were, among those over which it was
taken. On other footage, or where people are rarer, the rates and that share are guesses.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..datasets import UsageError
from .pairs_table import rate_name
from .results import OpenSetRow, PointRow, Result, Summary, open_store

HALF = 50.0  # percent
ROUNDING = 1e-6  # of a distance, by which another computation of it may differ


@dataclass(frozen=True)
class Judgement:
    """What is known of a match by its distance.

    Attributes:
        likely: whether it is rather the same person than another.
        right: percent of the measured pairs at the threshold or nearer that show one person.
        point: of the lowest false-positive rate at which the match counts as the same person; None where none does.
    """

    likely: bool
    right: float | None = None
    point: PointRow | None = None

    @property
    def words(self) -> str:
        """`likely: FPR 1e-3, 81 % right`; `unlikely` where no threshold holds it."""
        word = "likely" if self.likely else "unlikely"
        return f"{word}: FPR {rate_name(self.point.fpr)}, {self.right:.0f} % right" if self.point else word


@dataclass(frozen=True)
class Measured:
    """The open-set figures of some weights, and where they were taken.

    Attributes:
        points: those with a threshold, the strictest first.
    """

    bench: str
    fingerprint: str
    protocol: str
    created: str
    positives: int
    negatives: int
    points: tuple[PointRow, ...]

    def judge(self, distance: float) -> Judgement:
        """Whether a pair at this distance is likely one person."""
        for point in self.points:
            if point.threshold is not None and distance <= point.threshold * (1 + ROUNDING):
                found = (point.tpr or 0.0) / 100 * self.positives
                right = 100 * found / (found + point.fpr * self.negatives)
                return Judgement(right >= HALF, right, point)
        return Judgement(likely=False)

    @property
    def words(self) -> str:
        """A sentence: what the rates are, and on what they were measured."""
        bounds = ", ".join(f"{p.threshold:.4f}: FPR {rate_name(p.fpr)}, TPR {p.tpr:.1f} %" for p in self.points)
        return (
            f"Same person up to a distance of {bounds}; measured on {self.bench} ({self.protocol}, "
            f"{self.negatives:,} pairs of two people, {self.positives:,} of one)."
        )


def measured_on(found: Summary, split: int = 0) -> Measured | None:
    """The figures of a result, of one of its splits where it has several; None where it has no threshold.

    Their fingerprint is then that of the split's own dataset, on which its weights were trained, too.
    """
    row = _row(found, split)
    points = sorted((p for p in row.points if p.threshold is not None), key=lambda p: p.fpr) if row else ()
    if row is None or not points:
        return None
    own = next((o.fingerprint for o in found.weights if found.splits and o.split == split), "") or found.fingerprint
    return Measured(found.bench, own, found.protocol, found.created, row.positives, row.negatives, tuple(points))


def measured_by(result: Result, path: Path, metric: str, sha256: str = "", split: int = 0) -> Measured:
    """The figures of a result that was given for a search.

    Args:
        metric: that the search ranks by.
        sha256: of the weights that it embeds with; "" where that isn't known, as of stored features.

    Raises:
        UsageError: the result has no thresholds, or is of other weights, of another metric, or re-ranked.
    """
    known = [origin.sha256 for origin in result.weights]
    if sha256 and known and sha256 not in known:
        raise UsageError(f"'{path}' was measured with other weights ({known[0][:8]}…, not {sha256[:8]}…).")
    if result.metric != metric or result.rerank:
        how = f"{result.metric}{', re-ranked' if result.rerank else ''}"
        raise UsageError(f"'{path}' has thresholds of {how} distances; this search ranks by {metric} distance.")
    measured = measured_on(result, split)
    if measured is None:
        reasons = [p.reason for row in result.open_set for p in row.points if p.reason]
        why = reasons[-1] if reasons else "It is from before they were taken; make it again."
        raise UsageError(f"'{path}' holds no thresholds over all pairs. {why}")
    return measured


def find_measured(
    root: Path, models: Iterable[str], sha256: str, metric: str, sampling: str, fingerprint: str = ""
) -> Measured | None:
    """The figures of some weights in a result store; None without any. The dataset's own come first, then the newest.

    Args:
        models: names under which results of these weights may be stored.
        metric, sampling: that the search uses.
        fingerprint: of the dataset that is searched.
    """
    if not root.is_dir():
        return None
    store, found = open_store(root), []
    for bench in sorted(path.name for path in root.iterdir() if path.is_dir()):
        for model in models:
            for entry in store.find(bench, model)[0]:
                s = entry.summary
                mine = any(origin.sha256 == sha256 for origin in s.weights)
                if mine and (s.metric, s.sampling, s.rerank) == (metric, sampling, False):
                    measured = measured_on(s, next(o.split for o in s.weights if o.sha256 == sha256))
                    found += [measured] if measured else []
    return max(found, key=lambda m: (m.fingerprint == fingerprint, m.created), default=None)


def _row(found: Summary, split: int) -> OpenSetRow | None:
    if len(found.open_set) == 1:
        return found.open_set[0]
    return next((row for row in found.open_set if row.split == split), None)
