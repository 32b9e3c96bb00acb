"""Trained here, tested there: `reidkit table cross`, a table for each model, from the stored results.

    reidkit evaluate resnet50 --weights runs/sports/resnet50/seed0 --bench dance      # gives one of its cells
    tables = build(results)

Rows are what a model was trained on, columns what it was tested on. A cell without a result is blank, and there is no
mean over a row or a column: means over other cells don't compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .origin import SHOWN, joint_fingerprint, origin_notes
from .results import Result
from .tables import (
    NO_RESULTS,
    TITLES,
    Row,
    Setting,
    Table,
    by_label,
    by_setting,
    cell_of,
    headline,
    main_setting,
    ordered,
    ranked,
    setting_of,
)

ABOUT_WEIGHTS = ("weights", "weights_sha256")  # what an evaluation adds to the recipe


@dataclass(frozen=True, order=True)
class Trained:
    """What weights were trained on; the fingerprint is "" where nobody knows it."""

    name: str
    fingerprint: str = ""


def build(results: Sequence[Result], *, intervals: bool = False) -> list[Table]:
    """The tables, those with more cells first.

    Args:
        results: as `load_results` gives them, the oldest first.
        intervals: ± is half the 95 % bootstrap interval over identities, not the standard deviation over seeds.
    """
    settings = by_setting(results)
    chosen = {s for bench in {r.bench for r in results} if (s := main_setting(bench, settings))}
    benches = {r.fingerprint: r.bench for r in results}
    known: dict[str, list[Trained]] = {}  # by name, those of a known fingerprint
    for trained in dict.fromkeys(trained_on(r, benches) for r in results):
        if trained.fingerprint:
            known.setdefault(trained.name, []).append(trained)
    cells: dict[tuple[Trained, Setting], list[Result]] = {}
    for r in results:
        if setting_of(r) in chosen:
            trained = trained_on(r, benches)
            if not trained.fingerprint and len(same := known.get(trained.name, ())) == 1:
                trained = same[0]
            cells.setdefault((trained, setting_of(r)), []).append(r)
    made = [_table(label, runs, intervals) for label, runs in by_label(cells, _plain).items()]
    made.sort(key=lambda t: -sum(cell is not None for row in t.rows for cell in row.cells))
    left_out = sum(setting_of(r) not in chosen for r in results)
    notes = ["Rows: trained on. Columns: tested on."]
    if left_out:
        notes.append(
            f"{left_out} results under another protocol, sampling, metric, re-ranking or dataset are left out."
        )
    if not made:
        made, notes = [Table("Trained on, tested on", (), ())], [NO_RESULTS]
    return [replace(made[0], notes=(*notes, *made[0].notes)), *made[1:]]


def trained_on(r: Result, benches: dict[str, str]) -> Trained:
    """What the weights of a result were trained on.

    Results from before that was recorded tell it by their name: `run` tests on what it trained on, and `evaluate` calls
    its model `NAME@DATASET`.

    Args:
        benches: fingerprint -> name of the bench, which names a dataset better than its manifest.
    """
    mark = r.model.partition("@")[2]
    origins = [origin for origin in r.weights if origin.fingerprint]
    if origins:
        one = joint_fingerprint([origin.fingerprint for origin in origins])
        return Trained(benches.get(one, origins[0].dataset), one)
    return Trained(mark) if mark else Trained(r.bench, r.fingerprint)


def _plain(r: Result) -> Result:
    """A result of an evaluation as if its run had made it, so that both share a row."""
    recipe = {key: value for key, value in r.recipe.items() if key not in ABOUT_WEIGHTS}
    return replace(r, model=r.model.partition("@")[0], recipe=recipe)


def _table(label: str, runs: dict[tuple[Trained, Setting], list[Result]], intervals: bool) -> Table:
    trained = sorted({t for t, _ in runs})
    by_bench = {s.bench: s for _, s in runs}
    benches = ordered(by_bench)
    columns = [(bench, metric) for bench in benches for metric in headline(bench, by_bench[bench])]
    names = {t: TITLES.get(t.name, t.name) for t in trained}
    twice = {name for name in names.values() if list(names.values()).count(name) > 1}
    rows, origins = [], {}
    for t in trained:
        name = f"{names[t]} {t.fingerprint[:SHOWN]}" if names[t] in twice else names[t]
        rows.append(Row(name, tuple(cell_of(runs.get((t, by_bench[b]), []), m, intervals) for b, m in columns)))
        origins[f"{label}, {name}"] = [
            o for (own, _), found in runs.items() if own == t for r in found for o in r.weights
        ]
    notes = [f"{TITLES.get(b, b)}: {by_bench[b].words}." for b in benches]
    if any(cell and cell.margin is not None for row in rows for cell in row.cells):
        over = "half the 95 % bootstrap interval" if intervals else "the standard deviation over seeds"
        notes.append(f"± is {over}.")
    heads = tuple((TITLES.get(b, b), m) for b, m in columns)
    notes += origin_notes(origins)
    return Table(
        f"{label}: trained on, tested on", heads, tuple(ranked(rows, columns)), tuple(notes), heading="trained on"
    )
