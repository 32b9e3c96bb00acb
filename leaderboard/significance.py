"""How sure a figure is, and whether one model is really better than another.

    low, high = interval([result.per_query], "mAP")
    comparison = compare_results([a], [b])          # reidkit compare A B --bench NAME

Queries of one person are not independent, so identities are resampled, each with all its queries (a cluster bootstrap).
Of a model that was trained several times, with other seeds, the runs are resampled too: a model's figure is the mean
over its runs, and another test set and other runs would have given another one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..datasets import UsageError
from ..datasets.errors import choices
from ..datasets.text import printable
from .results import QueryRow, Result, read_result

RESAMPLES = 10_000
LEVEL = 0.95
METRICS = ("mAP", "R1", "R5", "R10", "R20")


def values_of(per_query: Sequence[QueryRow], metric: str) -> np.ndarray:
    """Percent a query, [Q]: its AP for mAP, 100 or 0 for Rk."""
    if metric == "mAP":
        return np.array([row.ap for row in per_query], float)
    k = int(metric.removeprefix("R"))
    return np.array([100.0 * (row.rank <= k) for row in per_query])


def resampled_means(values: np.ndarray, identities: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """[resamples, S] means of S runs' `values` [S, Q], identities [Q] drawn with replacement, the same for all runs."""
    _, cluster = np.unique(identities, return_inverse=True)
    sums = np.stack([np.bincount(cluster, weights=row) for row in values], axis=1)
    sizes = np.bincount(cluster).astype(float)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, len(values)))
    step = max(1, 4_000_000 // len(sums))
    for start in range(0, resamples, step):
        draws = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=min(step, resamples - start))
        means[start : start + len(draws)] = (draws @ sums) / (draws @ sizes)[:, None]
    return means


def over_runs(means: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means [n, S] of S runs -> [n], each over S runs drawn with replacement."""
    runs = means.shape[1]
    return (means * rng.multinomial(runs, np.full(runs, 1 / runs), size=len(means))).sum(1) / runs


def aligned(runs: Sequence[Sequence[QueryRow]], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The runs' values [S, Q], all in one order of the queries, and these queries' identities [Q].

    Raises:
        UsageError: a run has other queries than the first.
    """
    by_query = [{(row.split, row.query): row for row in rows} for rows in runs]
    for other in by_query[1:]:
        if set(other) != set(by_query[0]):
            shared = len(set(other) & set(by_query[0]))
            raise UsageError(
                f"The results have other queries ({len(by_query[0])} and {len(other)}, {shared} shared). "
                "Compare results of one dataset and one protocol."
            )
    keys = sorted(by_query[0])
    values = np.stack([values_of([rows[k] for k in keys], metric) for rows in by_query])
    return values, np.array([by_query[0][k].identity for k in keys])


def interval(
    runs: Sequence[Sequence[QueryRow]], metric: str, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> tuple[float, float] | None:
    """The percentile interval of a figure, a mean over queries and over `runs` (per-query rows of each).

    None where queries, or identities to resample, are lacking.

    Raises:
        UsageError: a run has other queries than the first.
    """
    values, identities = aligned(runs, metric)
    if len(np.unique(identities)) < 2:
        return None
    means = over_runs(resampled_means(values, identities, resamples, seed), np.random.default_rng([seed, 1]))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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
        """At the level of 95 %."""
        return self.p < 1 - LEVEL


@dataclass(frozen=True)
class Comparison:
    """Two models on the same queries; `runs` are how many results of A and of B."""

    a: str
    b: str
    bench: str
    protocol: str
    queries: int
    identities: int
    runs: tuple[int, int]
    differences: tuple[Difference, ...]

    def as_object(self) -> dict:
        """What `--json` prints."""
        return asdict(self) | {"differences": [asdict(d) | {"significant": d.significant} for d in self.differences]}

    def text(self) -> str:
        """A paragraph for a person, fit for a terminal."""
        names = f"{self.a} against {self.b} on {self.bench}, protocol {self.protocol}"
        lines = [
            f"{printable(names)}: {self.queries} queries of {self.identities} identities"
            + (f", {self.runs[0]} and {self.runs[1]} runs." if self.runs != (1, 1) else ".")
        ]
        for d in self.differences:
            verdict = "significant" if d.significant else "not significant"
            lines.append(
                f"  {d.metric:>4}  {d.a:6.2f}  {d.b:6.2f}  {d.difference:+6.2f}  "
                f"95 % interval {d.low:+.2f} to {d.high:+.2f}, p = {d.p:.4f}: {verdict}"
            )
        what = "identities" if self.runs == (1, 1) else "identities and runs"
        lines.append(f"Paired bootstrap over {what}; p is two-sided and not corrected for the number of metrics.")
        return "\n".join(lines)


def paired_test(
    a: Sequence[Sequence[QueryRow]],
    b: Sequence[Sequence[QueryRow]],
    metric: str,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """The paired test between two models' runs (per-query rows of each) on the same queries.

    Both see the same resampled identities; their runs are drawn apart, since no run of one belongs to one of the other.
    The p-value is that of the bootstrap distribution of the difference, centred at zero (a shift bootstrap). Of two or
    three runs the drawn ones vary less than new ones would: take p as a lower bound there.

    Raises:
        UsageError: other queries in one than in the other, or fewer than two identities.
    """
    values, identities = aligned([*a, *b], metric)
    if len(np.unique(identities)) < 2:
        raise UsageError("A comparison needs queries of at least two identities, each with its per-query figures.")
    x, y = values[: len(a)].mean(), values[len(a) :].mean()
    means = resampled_means(values, identities, resamples, seed)
    rng = np.random.default_rng([seed, 1])
    draws = over_runs(means[:, : len(a)], rng) - over_runs(means[:, len(a) :], rng)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    difference = float(x - y)
    # one is added to both counts, so that p is never zero for a finite number of draws
    beyond = np.count_nonzero(np.abs(draws - difference) >= abs(difference) - 1e-9)
    p = (beyond + 1) / (resamples + 1)
    return Difference(metric, float(x), float(y), difference, float(low), float(high), float(min(p, 1.0)))


def compare_results(
    a: Sequence[Result], b: Sequence[Result], *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compares two models, each by its results of one or more seeds, in mAP and R1.

    Raises:
        UsageError: another bench, protocol, dataset, sampling or re-ranking, or results without per-query figures.
    """
    first, second = a[0], b[0]
    for other in (*a[1:], *b):
        for name in ("bench", "protocol", "protocol_version", "fingerprint", "sampling", "rerank"):
            left, right = getattr(first, name), getattr(other, name)
            if left != right:
                raise UsageError(f"'{first.model}' has {name} {left}, '{other.model}' {right}; compare like with like.")
    for result in (*a, *b):
        if not result.per_query:
            raise UsageError(
                f"The result of '{result.model}' on '{result.bench}' holds no per-query figures. Run it with --again."
            )
    rows = [r.per_query for r in a], [r.per_query for r in b]
    differences = tuple(paired_test(*rows, metric, resamples=resamples, seed=seed) for metric in ("mAP", "R1"))
    people = {row.identity for row in first.per_query}
    counts = len(first.per_query), len(people)
    return Comparison(first.model, second.model, first.bench, first.protocol, *counts, (len(a), len(b)), differences)


def find_results(name: str, bench: str | None, results: Sequence[Result], root: Path) -> list[Result]:
    """A result by file name; or of a model on a bench the newest, and those of other seeds that are otherwise like it.

    Raises:
        UsageError: no such file or model, a damaged file, or a model's name without `--bench`.
    """
    if name.endswith(".json"):
        return [read_result(name)]
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
    mine = [r for r in results if r.bench == wanted and r.model == name]  # oldest first
    if not mine:
        models = {r.model for r in results if r.bench == wanted}
        raise UsageError(choices(name, models, f"model with results on {wanted}"))
    newest = _but_for_the_seed(mine[-1])
    seeds = {r.seed: r for r in mine if _but_for_the_seed(r) == newest}
    return [seeds[seed] for seed in sorted(seeds)]


def _but_for_the_seed(r: Result) -> tuple:
    recipe = {key: value for key, value in r.recipe.items() if key != "seed"}
    return r.size, recipe, r.protocol, r.protocol_version, r.fingerprint, r.sampling, r.metric, r.rerank
