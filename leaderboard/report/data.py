"""What the report shows, gathered from the result files and the datasets they were computed on.

    page = gather(results, problems, root=Path("results"), data=None, queries=6)
    page.sections[0].chart, page.sections[0].blocks, page.runs

Nothing is drawn here: `page.py` puts it into HTML.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...datasets.heads import cover_by_proportion
from ...datasets.identities import identity_table, outcomes
from ...datasets.manifest import Manifest
from ...datasets.own import tracklet_table
from .. import complexity, cross, pairs_table, tables
from ..origin import Origin, training_set
from ..pairs_table import rate_name
from ..protocols import PROTOCOLS
from ..published import Published, published
from ..results import OpenSetRow, Problem, Result, run_id
from ..tables import Setting, Table
from .crops import Album, Library, open_library
from .curves import Chart, chart, cmc
from .lists import MODELS, Block, HardQuery, Lists
from .reliability import Diagram, diagram, reliability

# Of `datasets.identities`, as the page names them.
FIGURES = {"tracklet": "tracklets", "pure": "identities, pure", "whole": "identities, whole"}


@dataclass(frozen=True)
class Pair:
    """Queries of one camera against the entries of another, in percent."""

    mAP: float
    R1: float
    queries: int


@dataclass(frozen=True)
class Matrix:
    """Rows are the queries' cameras, columns the gallery's; None where no query has a match there."""

    label: str
    cameras: tuple[str, ...]
    cells: tuple[tuple[Pair | None, ...], ...]


@dataclass(frozen=True)
class Facts:
    """Of a dataset. `parts`: (name, identities, tracklets, crops); `lines`: (what, value)."""

    name: str
    fingerprint: str
    parts: tuple[tuple[str, int, int, int], ...] = ()
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Section:
    """Everything about one bench under one setting. Figures of two sections don't compare."""

    anchor: str
    title: str
    setting: str
    explanation: str
    facts: Facts
    chart: Chart | None
    curves_of: str
    blocks: tuple[Block, ...]
    hardest: tuple[HardQuery, ...]
    hardest_models: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    notes: tuple[str, ...]
    reliability: Diagram | None
    missing: str  # why the dataset's crops were not at hand


@dataclass(frozen=True)
class Run:
    """One result: what it was made by, and on what."""

    anchor: str
    result: Result
    explanation: str
    weights: tuple[tuple[str, str], ...]
    pairs: tuple[tuple[str, str], ...]
    recipe: tuple[tuple[str, str], ...]
    machine: tuple[tuple[str, str], ...]
    software: tuple[tuple[str, str], ...]
    commit: str


@dataclass(frozen=True)
class Page:
    """The whole report."""

    tables: tuple[Table, ...]
    sections: tuple[Section, ...]
    runs: tuple[Run, ...]
    cited: tuple[Published, ...]
    problems: tuple[str, ...]
    newest: str  # day of the newest result
    album: Album = field(repr=False, default_factory=Album)

    @property
    def benches(self) -> int:
        """How many benches there are results on; a bench under two settings has two sections."""
        return len({run.result.bench for run in self.runs})


def gather(
    results: Sequence[Result],
    problems: Sequence[Problem] = (),
    *,
    root: Path | None = None,
    data: Path | None = None,
    queries: int = 6,
    intervals: bool = False,
    blur_faces: bool = False,
) -> Page:
    """The report's content. `queries` are shown with crops for each bench; datasets are looked for as `crops` says.

    With `blur_faces`, the upper part of every crop shown, where the head is by proportion, has one colour.
    """
    shown, problem_words = _tables(results, problems, root, intervals)
    settings = tables.by_setting(results)
    benches = tables.ordered(s.bench for s in settings)
    ordered = sorted(settings, key=lambda s: (benches.index(s.bench), s.words))
    album, libraries, sections = Album(cover=cover_by_proportion if blur_faces else None), {}, []
    for number, setting in enumerate(ordered):
        mine = settings[setting]
        key = (setting.bench, setting.fingerprint)
        if key not in libraries:
            libraries[key] = open_library(mine[-1], data, root)
        title = _title(setting, [other for other in ordered if other.bench == setting.bench])
        sections.append(_section(f"bench-{number}", title, setting, mine, libraries[key], album, queries))
    return Page(
        tables=shown,
        sections=tuple(sections),
        runs=tuple(_run(r) for r in sorted(results, key=lambda r: (r.bench, r.model, r.size, r.seed, r.created))),
        cited=published(),
        problems=problem_words,
        newest=max((r.created for r in results), default="")[:10],
        album=album,
    )


def _tables(results, problems, root, intervals) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """The tables that have rows, without columns that have no figure; and what was left out, once."""
    made = [t for name in ("main", "hard") for t in tables.build(name, results, intervals=intervals)]
    # one variant alone is in the tables above
    made += [t for t in tables.build("ablation", results, intervals=intervals) if len(t.rows) > 1]
    made += pairs_table.build(results)
    made += [t for t in cross.build(results, intervals=intervals) if len(t.rows) > 1]
    costs, words = [], [f"Left out: {problem}" for problem in problems]
    if root is not None:
        costs = complexity.table(root)
        words += [problem for t in costs for problem in t.problems]
    made.sort(key=lambda t: not any(row.ours for row in t.rows))  # stable: those with figures of ours come first
    return tuple(_without_blanks(t) for t in (*made, *costs) if t.rows), tuple(words)


def _without_blanks(t: Table) -> Table:
    kept = [c for c in range(len(t.columns)) if any(row.cells[c] for row in t.rows)]
    rows = tuple(replace(row, cells=tuple(row.cells[c] for c in kept)) for row in t.rows)
    return replace(t, columns=tuple(t.columns[c] for c in kept), rows=rows)


def _title(setting: Setting, alike: Sequence[Setting]) -> str:
    """The bench, and where it has several settings what tells this one from the others."""

    def differs(name: str) -> bool:
        return len({getattr(s, name) for s in alike}) > 1

    words = [
        setting.protocol + (f" v{setting.version}" if differs("version") else "")
        if differs("protocol") or differs("version")
        else "",
        f"{setting.sampling} sampling" if differs("sampling") else "",
        setting.metric if differs("metric") else "",
        ("re-ranked" if setting.rerank else "not re-ranked") if differs("rerank") else "",
        f"dataset {setting.fingerprint[:8]}" if differs("fingerprint") else "",
    ]
    title = tables.TITLES.get(setting.bench, setting.bench)
    return f"{title}, {', '.join(w for w in words if w)}" if any(words) else title


def _section(anchor, title, setting, results, library, album, queries) -> Section:
    rule = PROTOCOLS.get(setting.protocol)
    headline = rule.headline[0] if rule else "mAP"
    runs = {label: by[setting.bench] for label, by in tables.by_label({setting.bench: results}).items()}
    labels = sorted(runs, key=lambda label: -float(np.mean([r.metrics.get(headline, 0.0) for r in runs[label]])))
    curves = [(label, np.mean([cmc(r.per_query) for r in rs], axis=0).tolist()) for label, rs in _counted(labels, runs)]
    found = {label: rs[0].per_query for label, rs in _counted(labels, runs)}
    lists = Lists(found, library, album if queries else Album(limit=0))  # without lists, no picture at all
    blocks = lists.blocks(queries)
    seeds = sum(len(rs) > 1 for rs in runs.values())
    return Section(
        anchor=anchor,
        title=title,
        setting=setting.words,
        explanation=rule.explanation if rule else "",
        facts=_facts(setting, library),
        chart=chart(curves),
        curves_of="Means over seeds where a model has several; lists and matrices show its first seed."
        if seeds
        else "",
        blocks=blocks,
        hardest=lists.hardest(),
        hardest_models=tuple(found),
        matrices=tuple(_matrix(label, runs[label][0], library) for label in labels if runs[label][0].camera_pairs),
        notes=_notes(library, len(found), album, bool(blocks)),
        reliability=_reliability(library),
        missing=library.reason,
    )


def _counted(labels, runs) -> list[tuple[str, list[Result]]]:
    """The models whose results all carry per-query figures."""
    return [(label, runs[label]) for label in labels if all(r.per_query for r in runs[label])]


def _matrix(label: str, result: Result, library: Library) -> Matrix:
    """Of several splits the mean over their queries."""
    sums: dict[tuple[int, int], list[tuple[float, float, int]]] = defaultdict(list)
    for p in result.camera_pairs:
        sums[p.query_camera, p.gallery_camera].append((p.mAP, p.R1, p.queries))
    numbers = sorted({camera for pair in sums for camera in pair})

    def cell(pair: tuple[int, int]) -> Pair | None:
        if pair not in sums:
            return None
        maps, firsts, counts = (np.array(column, float) for column in zip(*sums[pair], strict=True))
        total = counts.sum()
        return Pair(float(maps @ counts / total), float(firsts @ counts / total), int(total))

    cells = tuple(tuple(cell((row, column)) for column in numbers) for row in numbers)
    return Matrix(label, tuple(library.camera(n) for n in numbers), cells)


def _reliability(library: Library) -> Diagram | None:
    """How sure the dataset's build was against its ground truth; None where either isn't there."""
    if library.dataset is None or library.dataset.manifest is None:
        return None
    root = library.dataset.root
    identities = identity_table(root)
    told = {} if identities is None else outcomes(tracklet_table(root), identities)
    curves = [reliability(FIGURES[name], said, right) for name, (said, right) in told.items() if len(said)]
    return diagram(curves) if curves else None


def _notes(library: Library, models: int, album: Album, lists: bool) -> tuple[str, ...]:
    notes = []
    if models > MODELS and lists:
        notes.append(f"Ranking lists of the best {MODELS} models; {models - MODELS} further are not drawn.")
    if library.dataset is None and lists:
        notes.append(
            f"The crops of {library.name} were not at hand when this page was made: tracklets are shown by their "
            "names, and only those known to be queries are judged right or wrong."
        )
    if album.left_out and lists:
        notes.append("Pictures stop at 6 MB a page; tracklets beyond that are shown by their names.")
    if album.broken and lists:
        notes.append(f"Crops that can't be read: {', '.join(sorted(album.broken))}.")
    return tuple(notes)


def _facts(setting: Setting, library: Library) -> Facts:
    d = library.dataset
    if d is None:
        return Facts(library.name, setting.fingerprint)
    parts = []
    for name, part in (("train", d.train), ("query", d.query), ("gallery", d.gallery)):
        people = {t.identity for t in part if t.kind == "person"}
        parts.append((name, len(people), len(part), sum(len(t.frames) for t in part)))
    lengths = [len(t.frames) for t in (*d.train, *d.test)]
    lines = [("cameras", ", ".join(map(str, d.cameras)) or str(d.num_cameras))]
    if lengths:
        lines.append(
            ("crops a tracklet", f"{min(lengths)} to {max(lengths)}, median {int(np.median(lengths))}"),
        )
    others = {kind: sum(t.kind == kind for t in d.test) for kind in ("junk", "distractor")}
    lines += [(f"{kind} tracklets in the test set", f"{n:,}") for kind, n in others.items() if n]
    if d.train_left_out:
        lines.append(("training tracklets of nobody, left out", f"{d.train_left_out:,}"))
    if d.manifest:
        lines += _manifest_lines(d.manifest)
    return Facts(d.name, setting.fingerprint, tuple(parts), tuple(lines))


def _manifest_lines(manifest: Manifest) -> list[tuple[str, str]]:
    """What a dataset of ours says about its footage and its own build."""
    lines = []
    if manifest.sources:
        minutes = sum(source.seconds for source in manifest.sources) / 60
        lines.append(("footage", f"{len(manifest.sources)} sources, {minutes:.1f} minutes"))
    if manifest.split and manifest.split.by:
        lines.append(("train and test divided by", manifest.split.by))
    scores = (manifest.scores or {}).items()
    lines += [(f"build: {k.replace('_', ' ')}", f"{v:.3f}") for k, v in scores if isinstance(v, float)]
    return lines


def _run(r: Result) -> Run:
    rule = PROTOCOLS.get(r.protocol)
    return Run(
        anchor=f"run-{run_id(r)}",
        result=r,
        explanation=rule.explanation if rule else "",
        weights=tuple(line for origin in r.weights for line in _weights(origin, len(r.weights) > 1)),
        pairs=tuple(line for row in r.open_set for line in _open_set(row, len(r.open_set) > 1)),
        recipe=tuple((k, v if isinstance(v, str) else json.dumps(v)) for k, v in r.recipe.items()),
        machine=_pairs(r.environment.get("hardware", {})),
        software=_pairs(r.environment.get("software", {})),
        commit=r.environment.get("commit", ""),
    )


def _weights(origin: Origin, several: bool) -> list[tuple[str, str]]:
    split = f"split {origin.split}: " if several else ""
    lines = [(f"{split}sha256", origin.sha256), (f"{split}trained on", training_set(origin) or "not known")]
    lines += [(f"{split}started from {file.name}", file.sha256) for file in origin.start]
    if chosen := origin.chosen:
        figures = ", ".join(f"{name} {value:.1f}" for name, value in chosen.metrics.items())
        who = (
            f"{len(chosen.identities)} training identities held out ({100 * chosen.share:.0f} %, by {chosen.drawn_by})"
        )
        lines.append((f"{split}epoch", f"{chosen.epoch} of {chosen.of}, the best on {who}: {figures}"))
    return lines


def _open_set(row: OpenSetRow, several: bool) -> list[tuple[str, str]]:
    split = f"split {row.split}: " if several else ""
    lines = [(f"{split}pairs", f"{row.positives:,} of one person, {row.negatives:,} of two")]
    for point in row.points:
        told = [] if point.tpr is None else [f"TPR {point.tpr:.2f} %"]
        told += [] if point.threshold is None else [f"at a distance up to {point.threshold:.6g}"]
        lines.append((f"{split}FPR {rate_name(point.fpr)}", " ".join([*told, point.reason])))
    return lines


def _pairs(facts: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(value)) for key, value in facts.items())
