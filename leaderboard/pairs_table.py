"""The figures over all pairs, for galleries that may lack whom one looks for: `reidkit table open-set`.

    tables = build(results)

TPR at a bounded FPR, as `openset` takes it: of several splits the mean, blank where a split or a seed lacks the figure.
"""

from collections.abc import Sequence

from .openset import FALSE_POSITIVE_RATES
from .origin import MOST_CHECKPOINTS, origin_notes
from .results import Result
from .tables import (
    NO_RESULTS,
    TITLES,
    Cell,
    Row,
    Setting,
    Table,
    by_label,
    by_setting,
    main_setting,
    mean_cell,
    ordered,
    ranked,
)

TITLE = "Open set: TPR at a bounded FPR"


def build(results: Sequence[Result]) -> list[Table]:
    """The tables: first the settings that papers print, then a table for each other.

    Args:
        results: as `load_results` gives them, the oldest first.
    """
    settings = by_setting([r for r in results if r.open_set])
    benches = ordered(s.bench for s in settings)
    chosen = [s for bench in benches if (s := main_setting(bench, settings))]
    tables = [_table(TITLE, chosen, settings)]
    for setting in settings:
        if setting not in chosen:
            title = f"{TITLE}, {TITLES.get(setting.bench, setting.bench)}, {setting.words}"
            tables.append(_table(title, [setting], settings))
    return tables


def rate_name(rate: float) -> str:
    """`1e-3`.

    >>> rate_name(0.001)
    '1e-3'
    """
    return f"{rate:.0e}".replace("e-0", "e-")


def rate_of(r: Result, rate: float) -> float | None:
    """A result's TPR in percent at a bound on the FPR, the mean over its splits; None where one lacks it."""
    found = [point.tpr for row in r.open_set for point in row.points if point.fpr == rate]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(r.open_set) else None


def _table(title: str, chosen: Sequence[Setting], settings: dict[Setting, list[Result]]) -> Table:
    groups = by_label({s: settings[s] for s in chosen})
    columns = [(setting, rate) for setting in chosen for rate in FALSE_POSITIVE_RATES]
    rows = [
        Row(label, tuple(_cell(runs.get(setting, []), rate) for setting, rate in columns))
        for label, runs in groups.items()
    ]
    notes = [f"{TITLES.get(s.bench, s.bench)}: {s.words}." for s in chosen]
    for label, runs in groups.items():
        for s, found in runs.items():
            notes += _thresholds(f"{label} on {TITLES.get(s.bench, s.bench)}", found)
    # of one test set all models have as many pairs, so each reason stands once
    notes += dict.fromkeys(reason for runs in groups.values() for s, found in runs.items() for reason in _why(s, found))
    notes += origin_notes(
        {label: [o for of in runs.values() for r in of for o in r.weights] for label, runs in groups.items()}
    )
    if any(cell and cell.margin is not None for row in rows for cell in row.cells):
        notes.append("± is the standard deviation over seeds.")
    if not rows:
        notes.append(NO_RESULTS)
    heads = tuple((TITLES.get(s.bench, s.bench), f"FPR {rate_name(rate)}") for s, rate in columns)
    return Table(title, heads, tuple(ranked(rows, columns)), tuple(notes))


def _cell(runs: Sequence[Result], rate: float) -> Cell | None:
    values = [value for r in runs if (value := rate_of(r, rate)) is not None]
    return mean_cell(values, runs) if len(values) == len(runs) else None


def _thresholds(label: str, runs: Sequence[Result]) -> list[str]:
    """The thresholds of a row's results, where they are few."""
    if sum(len(r.open_set) for r in runs) > MOST_CHECKPOINTS:
        return []
    notes = []
    for r in runs:
        for row in r.open_set:
            known = [p for p in row.points if p.threshold is not None]
            if known:
                which = f", seed {r.seed}" * (len(runs) > 1) + f", split {row.split}" * (len(r.open_set) > 1)
                bounds = ", ".join(f"{p.threshold:.4f} (FPR {rate_name(p.fpr)})" for p in known)
                notes.append(f"{label}{which}: one person at a {r.metric} distance up to {bounds}.")
    return notes


def _why(setting: Setting, runs: Sequence[Result]) -> list[str]:
    """Why figures of a setting are missing."""
    bench = TITLES.get(setting.bench, setting.bench)
    points = [p for r in runs for row in r.open_set for p in row.points]
    return [f"{bench}, FPR {rate_name(p.fpr)}: {p.reason}" for p in points if p.reason]
