"""The paper's tables, always made anew from the result files: `reidkit table [main|hard|ablation]`.

Published rows stand above ours. Figures share a column only where bench, protocol and its version, sampling, metric,
re-ranking and the dataset's fingerprint are the same; whatever differs gets a table of its own.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from ..datasets import UsageError
from .origin import Origin, origin_notes
from .protocols import PROTOCOLS
from .published import Published, published
from .results import Result
from .significance import LEVEL, interval, paired_test

NAMES = ("main", "hard", "ablation", "complexity", "cross", "open-set")
MAIN = ("mars", "ilids-vid", "ls-vid")
HARD = ("sports-vreid", "dance-vreid")
TITLES = {
    "mars": "MARS",
    "ilids-vid": "iLIDS-VID",
    "ls-vid": "LS-VID",
    "sports-vreid": "SportsVReID",
    "dance-vreid": "DanceVReID",
}
TEST_RESAMPLES = 2000
NO_RESULTS = "No results yet: `reidkit run` makes them."


@dataclass(frozen=True)
class Cell:
    """A figure of a table, printed as `85.1 ± 0.4 ≈`.

    Attributes:
        margin: what stands behind the ±: a standard deviation over seeds, or half an interval.
        best, second: of its column, by the figures as printed.
        tied: not significantly behind the best of ours in its column.
        digits: behind the point.
        of: the results it was made from; published figures have none.
    """

    value: float
    margin: float | None = None
    best: bool = False
    second: bool = False
    tied: bool = False
    digits: int = 1
    of: tuple[Result, ...] = field(default=(), repr=False, compare=False)

    @property
    def text(self) -> str:
        """The figure as printed, with its margin; marks are the format's business."""
        plain = f"{self.value:.{self.digits}f}"
        return plain if self.margin is None else f"{plain} ± {self.margin:.{self.digits}f}"


@dataclass(frozen=True)
class Row:
    """A line of a table; a cell is None where there is no figure. `dagger`: second-hand or derived, not verified."""

    label: str
    cells: tuple[Cell | None, ...]
    ours: bool = True
    dagger: bool = False


@dataclass(frozen=True)
class Table:
    """Columns are (group, name); groups are printed above the names.

    Attributes:
        problems: sentences on what was left out.
        heading: what the rows' labels are.
    """

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    heading: str = "model"

    @property
    def groups(self) -> list[tuple[str, int, int]]:
        """(group, first column, number of columns) of neighbouring columns of one group."""
        found: list[tuple[str, int, int]] = []
        for i, (group, _) in enumerate(self.columns):
            if found and found[-1][0] == group:
                found[-1] = (group, found[-1][1], found[-1][2] + 1)
            else:
                found.append((group, i, 1))
        return found


@dataclass(frozen=True)
class Setting:
    """What figures must share to share a column."""

    bench: str
    protocol: str
    version: int
    sampling: str
    metric: str
    rerank: bool
    fingerprint: str

    @property
    def words(self) -> str:
        """All of it but the bench, in a line."""
        return (
            f"protocol {self.protocol} v{self.version}, {self.sampling} sampling, {self.metric}"
            + (", re-ranked" if self.rerank else "")
            + f", dataset {self.fingerprint[:8]}"
        )


def setting_of(r: Result) -> Setting:
    """The setting of a result."""
    return Setting(r.bench, r.protocol, r.protocol_version, r.sampling, r.metric, r.rerank, r.fingerprint)


def by_setting(results: Sequence[Result]) -> dict[Setting, list[Result]]:
    """The results by what they share, in their order."""
    found: dict[Setting, list[Result]] = {}
    for r in results:
        found.setdefault(setting_of(r), []).append(r)
    return found


def build(name: str, results: Sequence[Result], *, intervals: bool = False) -> list[Table]:
    """The tables "main", "hard" or "ablation"; `complexity`, `cross` and `pairs_table` make the others.

    The first is the one a paper prints, the others hold what must not share its columns.

    Args:
        results: as `load_results` gives them, the oldest first.
        intervals: ± is half the 95 % bootstrap interval over identities, not the standard deviation over seeds.
    """
    if name == "ablation":
        results = [r for r in results if r.model.partition("/")[0] == "cgclip"]
        benches, cited = ordered({r.bench for r in results}), []
    elif name == "hard":
        found = {r.bench for r in results if r.bench not in MAIN and r.bench not in PROTOCOLS}
        benches = [*HARD, *sorted(found - set(HARD))]
        cited = [p for p in published() if any(b in p.figures for b in HARD)]
    else:
        benches = [*MAIN, *sorted({r.bench for r in results if r.bench in PROTOCOLS} - set(MAIN))]
        cited = [p for p in published() if any(b in p.figures for b in MAIN)]
    results = [r for r in results if r.bench in benches]
    settings = by_setting(results)
    chosen = {b: setting for b in benches if (setting := main_setting(b, settings)) is not None}
    tables = []
    if name == "hard" and cited:
        # nobody has released these papers' data: their figures and ours come from other footage
        note = "Published on the authors' own footage, which is not released: never in one column with ours."
        columns = [(b, m) for b in HARD for m in ("mAP", "R1")]
        tables.append(_table("SportsVReID and DanceVReID, published", columns, cited, {}, {}, False, [note]))
        cited = []
    # without results, a bench of the papers has its columns in the main table alone
    present = [b for b in benches if b in chosen or (name == "main" and b in MAIN)]
    columns = [(b, m) for b in present for m in headline(b, chosen.get(b))]
    titles = {"main": "Main results", "hard": "Hard cases, ours", "ablation": "CG-CLIP's switches"}
    notes = [f"{TITLES.get(b, b)}: {chosen[b].words}." for b in present if b in chosen]
    if cited and results:
        notes.append("Published rows are as cited; their sampling at test time is their own.")
    if present or not tables:
        tables.append(_table(titles[name], columns, cited, chosen, settings, intervals, notes))
    for setting in settings:
        if setting not in chosen.values():
            columns = [(setting.bench, m) for m in headline(setting.bench, setting)]
            title = f"{TITLES.get(setting.bench, setting.bench)}, {setting.words}"
            note = "Apart from the table above: another protocol, sampling, metric, re-ranking or dataset."
            tables.append(_table(title, columns, [], {setting.bench: setting}, settings, intervals, [note]))
    return tables


def ordered(benches: Iterable[str]) -> list[str]:
    """The benches, those of the papers first."""
    benches = set(benches)
    known = [b for b in (*MAIN, *HARD) if b in benches]
    return known + sorted(benches - set(known))


def headline(bench: str, setting: Setting | None) -> tuple[str, ...]:
    """The metrics that papers print for a bench under a setting; None: under its own protocol."""
    name = setting.protocol if setting else bench
    return PROTOCOLS[name].headline if name in PROTOCOLS else ("mAP", "R1")


def main_setting(bench: str, settings: dict[Setting, list[Result]]) -> Setting | None:
    """The setting under which a bench's figures are printed first; None where there is no result.

    The bench's own protocol without re-ranking where there is such a result, then all frames at test time, as papers do
    it, then most results, then the newest.
    """
    mine = [s for s in settings if s.bench == bench]
    if bench in PROTOCOLS:  # only its own protocol may stand under published figures
        mine = [s for s in mine if s.protocol == bench and not s.rerank]

    def rank(s: Setting) -> tuple:
        return not s.rerank, s.sampling == "dense", len(settings[s]), settings[s][-1].created

    return max(mine, key=rank, default=None)


def _table(
    title: str,
    columns: Sequence[tuple[str, str]],
    cited: Sequence[Published],
    chosen: dict[str, Setting],
    settings: dict[Setting, list[Result]],
    intervals: bool,
    first_notes: Sequence[str],
) -> Table:
    rows = [
        Row(
            p.label,
            tuple(Cell(p.figures[b][m]) if m in p.figures.get(b, {}) else None for b, m in columns),
            ours=False,
            dagger=not p.verified,
        )
        for p in cited
    ]
    rows = [row for row in rows if any(row.cells)]
    notes = list(first_notes)
    groups = by_label({b: settings[s] for b, s in chosen.items()})
    seeds = False
    for label, by_bench in groups.items():
        cells = []
        for bench, metric in columns:
            runs = by_bench.get(bench, [])
            cells.append(cell_of(runs, metric, intervals))
            seeds |= len(runs) > 1
        rows.append(Row(label, tuple(cells)))
    rows = ranked(rows, columns)
    rows, tested = _tied(rows, columns)
    if any(row.dagger for row in rows):
        notes.append("† second-hand or derived, not verified.")
    drawn = "identities and seeds" if seeds else "identities"
    if intervals and groups:
        notes.append(f"± is half the 95 % bootstrap interval over {drawn}.")
    elif seeds:
        notes.append("± is the standard deviation over seeds.")
    if tested:
        notes.append(f"≈ not significantly behind the best of ours in its column (paired bootstrap over {drawn}).")
    counts = sorted({(r.bench, r.queries, r.skipped) for b in groups.values() for runs in b.values() for r in runs})
    notes += [f"{TITLES.get(b, b)}: {q} queries averaged, {s} skipped." for b, q, s in counts]
    notes += origin_notes({label: _weights(by_bench) for label, by_bench in groups.items()})
    if not rows:
        notes.append(NO_RESULTS)
    named = tuple((TITLES.get(b, b), m) for b, m in columns)
    return Table(title, named, tuple(rows), tuple(notes))


def _weights(by_bench: Mapping[str, Sequence[Result]]) -> list[Origin]:
    return [origin for runs in by_bench.values() for r in runs for origin in r.weights]


B = TypeVar("B", bound=Hashable)


def by_label(
    by_bench: Mapping[B, Sequence[Result]], told: Callable[[Result], Result] = lambda r: r
) -> dict[str, dict[B, list[Result]]]:
    """Label -> bench (or whatever the results are kept by) -> results over seeds.

    A model under several recipes gets a row each, told apart in the label. `told` gives of a result the one whose
    model, size and recipe tell its row.
    """
    variants: dict[tuple[str, str], dict[str, dict]] = {}
    newest: dict[tuple[str, str, str], dict[B, dict[int, Result]]] = {}
    for bench, results in by_bench.items():
        for r in results:
            of = told(r)
            recipe = {k: v for k, v in of.recipe.items() if k != "seed"}
            key = json.dumps(recipe, sort_keys=True)
            variants.setdefault((of.model, of.size), {})[key] = recipe
            newest.setdefault((of.model, of.size, key), {}).setdefault(bench, {})[r.seed] = r  # oldest first
    rows = {}
    for (model, size, key), benches in newest.items():
        label = model + (f" ({size})" if size != "full" else "")
        recipes = list(variants[model, size].values())
        if len(recipes) > 1:
            names = sorted({k for r in recipes for k in r if any(o.get(k) != r[k] for o in recipes)})
            mine = variants[model, size][key]
            label += " " + " ".join(f"{k}={mine.get(k)}" for k in names)
        same = sum(known.partition(" #")[0] == label for known in rows)
        label += f" #{same + 1}" if same else ""  # other recipes may read alike: 1 and "1"
        rows[label] = {bench: [runs[s] for s in sorted(runs)] for bench, runs in benches.items()}
    return rows


def cell_of(runs: Sequence[Result], metric: str, intervals: bool) -> Cell | None:
    """The mean over seeds of a metric, with its deviation or interval; None where a run lacks the metric."""
    if any(metric not in r.metrics for r in runs):  # no mean over missing figures
        return None
    return mean_cell([r.metrics[metric] for r in runs], runs) if not intervals else _with_interval(runs, metric)


def mean_cell(values: Sequence[float], runs: Sequence[Result]) -> Cell | None:
    """The mean of a figure over runs, and its standard deviation where there are several; None of none."""
    if not values:
        return None
    return Cell(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, of=tuple(runs))


def _with_interval(runs: Sequence[Result], metric: str) -> Cell | None:
    cell = mean_cell([r.metrics[metric] for r in runs], runs)
    if cell and all(r.per_query for r in runs):
        try:
            found = interval([r.per_query for r in runs], metric)
        except UsageError:  # other queries: nothing can be said
            found = None
        return replace(cell, margin=(found[1] - found[0]) / 2 if found else None)
    return cell


def ranked(rows: list[Row], columns: Sequence[object]) -> list[Row]:
    """Marks best and second of each column, by the figures as printed; equal ones share the mark."""
    for c in range(len(columns)):
        figures = [round(cell.value, 1) for row in rows if (cell := row.cells[c])]
        if len(figures) < 2:
            continue
        shown = sorted(set(figures), reverse=True)

        def mark(cell: Cell, shown: list[float] = shown) -> Cell:
            place = shown.index(round(cell.value, 1))
            return replace(cell, best=place == 0, second=place == 1)

        rows = [_with(row, c, mark) for row in rows]
    return rows


def _with(row: Row, c: int, change: Callable[[Cell], Cell]) -> Row:
    cell = row.cells[c]
    return row if cell is None else replace(row, cells=(*row.cells[:c], change(cell), *row.cells[c + 1 :]))


def _tied(rows: list[Row], columns: Sequence[tuple[str, str]]) -> tuple[list[Row], bool]:
    """Marks ours that are not significantly behind the best of ours in their column; whether any was marked."""
    tested = False
    for c, (_, metric) in enumerate(columns):
        ours = [
            (cell.value, i, [r.per_query for r in cell.of])
            for i, row in enumerate(rows)
            if row.ours and (cell := row.cells[c]) and all(r.per_query for r in cell.of)
        ]
        if len(ours) < 2:
            continue
        _, top, best = max(ours, key=lambda one: one[0])
        for _, i, runs in ours:
            if i == top:
                continue
            try:
                test = paired_test(best, runs, metric, resamples=TEST_RESAMPLES)
            except UsageError:  # other queries: nothing can be said
                continue
            if test.p >= 1 - LEVEL:
                rows[i] = _with(rows[i], c, lambda cell: replace(cell, tied=True))
                tested = True
    return rows, tested
