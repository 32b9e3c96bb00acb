"""How sure a figure is, and whether one model is really better than another.

    low, high = interval(result.per_query, "mAP")
    comparison = compare_results(a, b)              # reidkit compare A B --bench NAME

Queries of one person are not independent, so identities are resampled, each with all its queries (a cluster bootstrap).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..datasets import ReidkitError, UsageError
from ..datasets.errors import choices
from .results import Result, read_result

RESAMPLES = 10_000
LEVEL = 0.95
METRICS = ("mAP", "R1", "R5", "R10", "R20")


def values_of(per_query: Sequence[dict], metric: str) -> np.ndarray:
    """Percent a query, [Q]: its AP for mAP, 100 or 0 for Rk."""
    if metric == "mAP":
        return np.array([row["ap"] for row in per_query], float)
    k = int(metric.removeprefix("R"))
    return np.array([100.0 * (row["rank"] <= k) for row in per_query])


def resampled_means(values: np.ndarray, identities: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """[resamples] means of `values` [Q], identities drawn with replacement."""
    _, cluster = np.unique(identities, return_inverse=True)
    sums = np.bincount(cluster, weights=values)
    sizes = np.bincount(cluster).astype(float)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, 4_000_000 // len(sums))
    for start in range(0, resamples, step):
        draws = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=min(step, resamples - start))
        means[start : start + len(draws)] = (draws @ sums) / (draws @ sizes)
    return means


def interval(
    per_query: Sequence[dict], metric: str, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> tuple[float, float] | None:
    """The percentile interval of a figure; None where queries, or identities to resample, are lacking."""
    identities = np.array([_identity(row) for row in per_query])
    if len(np.unique(identities)) < 2:
        return None
    means = resampled_means(values_of(per_query, metric), identities, resamples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _identity(row: dict) -> int:
    return int(row["identity"])


@dataclass(frozen=True)
class Difference:
    """A minus B in one metric, in points; `p` is two-sided."""

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        return self.p < 1 - LEVEL


@dataclass(frozen=True)
class Comparison:
    """Two results on the same queries."""

    a: str
    b: str
    bench: str
    protocol: str
    queries: int
    identities: int
    differences: tuple[Difference, ...]

    def as_object(self) -> dict:
        return asdict(self) | {"differences": [asdict(d) | {"significant": d.significant} for d in self.differences]}

    def text(self) -> str:
        lines = [
            f"{self.a} against {self.b} on {self.bench}, protocol {self.protocol}: "
            f"{self.queries} queries of {self.identities} identities."
        ]
        for d in self.differences:
            verdict = "significant" if d.significant else "not significant"
            lines.append(
                f"  {d.metric:>4}  {d.a:6.2f}  {d.b:6.2f}  {d.difference:+6.2f}  "
                f"95 % interval {d.low:+.2f} to {d.high:+.2f}, p = {d.p:.4f}: {verdict}"
            )
        lines.append("Paired bootstrap over identities; p is two-sided and not corrected for the number of metrics.")
        return "\n".join(lines)


def paired_test(
    a: Sequence[dict], b: Sequence[dict], metric: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """The paired test between two lists of per-query rows on the same queries.

    The p-value is that of the bootstrap distribution of the difference, centred at zero (a shift bootstrap).

    Raises:
        UsageError: other queries in one than in the other, or fewer than two identities.
    """
    first, second = ({(r.get("split", 0), r["query"]): r for r in rows} for rows in (a, b))
    if set(first) != set(second):
        raise UsageError(
            f"The results have other queries ({len(first)} and {len(second)}, {len(set(first) & set(second))} shared). "
            "Compare results of one dataset and one protocol."
        )
    keys = sorted(first)
    identities = np.array([_identity(first[k]) for k in keys])
    if len(np.unique(identities)) < 2:
        raise UsageError("A comparison needs queries of at least two identities, each with its per-query figures.")
    x, y = (values_of([rows[k] for k in keys], metric) for rows in (first, second))
    difference = float((x - y).mean())
    draws = resampled_means(x - y, identities, resamples, seed)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # one is added to both counts, so that p is never zero for a finite number of draws
    beyond = np.count_nonzero(np.abs(draws - difference) >= abs(difference) - 1e-12)
    p = (beyond + 1) / (resamples + 1)
    return Difference(metric, float(x.mean()), float(y.mean()), difference, float(low), float(high), float(min(p, 1.0)))


def compare_results(a: Result, b: Result, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Compares two results in mAP and R1.

    Raises:
        UsageError: another bench, protocol, dataset, sampling or re-ranking, or results without per-query figures.
    """
    for name in ("bench", "protocol", "protocol_version", "fingerprint", "sampling", "rerank"):
        left, right = getattr(a, name), getattr(b, name)
        if left != right:
            raise UsageError(f"'{a.model}' has {name} {left}, '{b.model}' {right}; compare like with like.")
    for result in (a, b):
        if not result.per_query:
            raise UsageError(
                f"The result of '{result.model}' on '{result.bench}' holds no per-query figures. Run it with --again."
            )
    differences = tuple(
        paired_test(a.per_query, b.per_query, metric, resamples=resamples, seed=seed) for metric in ("mAP", "R1")
    )
    people = {_identity(row) for row in a.per_query}
    return Comparison(a.model, b.model, a.bench, a.protocol, len(a.per_query), len(people), differences)


def find_result(name: str, bench: str | None, results: Sequence[Result], root: Path) -> Result:
    """A result by file name, or the newest of a model on a bench.

    Raises:
        UsageError: no such file or model, a damaged file, or a model's name without `--bench`.
    """
    if name.endswith(".json"):
        try:
            return read_result(name)
        except ReidkitError as error:
            raise UsageError(f"'{name}' {error}") from None
    if bench is None:
        raise UsageError(
            f"'{name}' is the name of a model: say which bench with --bench, or give result files (.json)."
        )
    benches = {r.bench for r in results}
    wanted = bench if bench in benches else Path(bench).name
    if wanted not in benches:
        if not benches:
            raise UsageError(
                f"There are no results in '{root}'. `reidkit run` makes them; --results gives another folder."
            )
        raise UsageError(choices(bench, benches, "bench with results"))
    models = {r.model: r for r in results if r.bench == wanted}  # oldest first: the newest stays
    if name not in models:
        raise UsageError(choices(name, models, f"model with results on {wanted}"))
    return models[name]
