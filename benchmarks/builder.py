"""The builder on simulated footage, scored against its ground truth; writes benchmarks/results/builder.md.

    python benchmarks/builder.py                                           # the simulator's own detector and embedder
    python benchmarks/builder.py --detector yolox_nano.onnx --embedder osnet_x0_25.onnx   # made for real footage
    python benchmarks/builder.py --seeds 3 4 5 --people 10 --cameras 4     # six sets, their mean and the worst
    python benchmarks/builder.py --ladder --kinds sports --seeds 3         # where people are lost, stage by stage

Sports and dance filmed (boxes come from the detector), and with `--mot FOLDER` figures drawn into the boxes of
MOTChallenge sequences (boxes and tracks come from the annotation, so only the links can be wrong): once with other
people in every clip, as SportsMOT numbers its ids, and once with one person drawn for an id in all clips of a video.
Takes some five minutes on two cores. Rows of other sets, detectors and embedders already in the file stay there; who
changes the builder measures those anew, too. The ladder (`ladder.py`) takes some two minutes a set.
"""

import argparse
import itertools
import json
import math
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import ladder
from command import reidkit
from machine import describe

RESULTS = Path(__file__).resolve().parent / "results" / "builder.md"
KEYS = (
    {"midf1": "mIDF1"}
    | ladder.SHOWN
    | {
        "bcubed_precision": "B³ precision",
        "bcubed_recall": "B³ recall",
        "detection_recall": "det. recall",
        "detection_precision": "det. precision",
        "raw_idf1": "raw IDF1",
        "raw_hota": "raw HOTA",
        "tracklet_purity": "purity",
    }
)
TEXT = """# The builder against ground truth

`python benchmarks/builder.py`: simulated footage, two events a set, 12 s each, 640 x 360 at 15 frames/s; 8 people and 3
cameras where nothing else is said. Shares in percent; the worst of several sets is the worst of each column by itself.
mIDF1, IDF1, HOTA and the people kept are those of the dataset's identities
([what each says](../../docs/building.md#scores-against-ground-truth)); `raw` ones are those of tracks before linking.
Detection at an intersection over union of 0.5, people of whom 30 % can be seen; purity of tracklets, per box; links are
pairs of tracklets of one event in two cameras; B³ is B-cubed over all tracklets of an event, junk as people
of their own. `mot` has figures drawn into the boxes of SportsMOT, and takes boxes and tracks from the annotation: only
links can be wrong there. SportsMOT numbers its ids anew in every clip, so nothing says who is who in two clips of a
video. In the first row every clip has people of its own, and the row shows whether strangers stay apart. In the row
`ids shared` one made-up person stands for an id in all clips, and the row shows whether that drawing is found again;
it says nothing about the people who played.

"""


COUNTS = ("identities / true", "tracklets", "junk", "seconds")
PEOPLE, CAMERAS = 8, 3


def measure(raw: Path, detector: str, embedder: str) -> dict[str, float | None]:
    """Builds a dataset of `raw`, beside it; its figures by their names in the table, shares in 0..1."""
    started = time.monotonic()
    out = raw.with_name(f"{raw.name}-dataset")
    built = json.loads(
        reidkit("build-dataset", raw, "-o", out, "--detector", detector, "--embedder", embedder, "--json")
    )
    seconds, scores, counts = time.monotonic() - started, built["scores"], built["counts"]
    return {
        **{name: scores.get(key) for key, name in KEYS.items()},
        "identities": scores["identities"],
        "true": scores["true_identities"],
        "tracklets": counts["tracklets"],
        "junk": counts["junk"],
        "seconds": seconds,
    }


def row(title: str, models: str, figures: Mapping[str, float | None]) -> tuple[str, ...]:
    """The cells of one set's row."""
    found = f"{figures['identities']} / {figures['true']}"
    return (title, models, *_shares(figures), found, *(f"{figures[name]:.0f}" for name in COUNTS[1:]))


def summary(kind: str, models: str, sets: Sequence[Mapping[str, float | None]]) -> list[tuple[str, ...]]:
    """Two rows of cells: the mean over several sets of one kind, and the worst of each column."""
    rows = []
    times = [one["identities"] / one["true"] for one in sets]
    counts = {name: [one[name] for one in sets] for name in COUNTS[1:]}
    for which, share, number in (("mean", fmean, fmean), ("worst", min, max)):
        known = {name: [one[name] for one in sets if one[name] is not None] for name in KEYS.values()}
        shares = _shares({name: share(values) if values else None for name, values in known.items()})
        # Too many identities and too few are both bad.
        ratio = fmean(times) if which == "mean" else max(times, key=lambda value: abs(math.log(max(value, 1e-9))))
        numbers = [f"{number(values):.0f}" for values in counts.values()]
        rows.append((f"{kind}, {which} of {len(sets)}", models, *shares, f"{ratio:.2f}", *numbers))
    return rows


def _shares(figures: Mapping[str, float | None]) -> list[str]:
    return ["-" if figures[name] is None else f"{100 * figures[name]:.1f}" for name in KEYS.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="simulated")
    parser.add_argument("--embedder", default="simulated")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--cameras", type=int, default=CAMERAS)
    parser.add_argument("--kinds", nargs="+", choices=("sports", "dance"), default=("sports", "dance"))
    parser.add_argument("--seeds", type=int, nargs="+", default=(3,), help="of each of the kinds")
    parser.add_argument("--mot", type=Path, help="folder of MOTChallenge sequences to draw figures into")
    parser.add_argument("--frames", type=int, default=150, help="of each of these sequences")
    parser.add_argument("--only", default="", help="measure the sets whose name begins so; the others keep their rows")
    parser.add_argument("--ladder", action="store_true", help="of the filmed sets: what each stage loses")
    parser.add_argument("--work", type=Path, help="keep footage and datasets here [default: a temporary folder]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        models = f"{Path(options.detector).name} + {Path(options.embedder).name}"
        sets = {}  # title: how the footage is rendered
        other = (options.people, options.cameras) != (PEOPLE, CAMERAS)
        size = f", {options.people} people, {options.cameras} cameras" if other else ""
        for kind, seed in itertools.product(options.kinds, options.seeds):
            cast = ["--people", options.people, "--cameras", options.cameras, "--seconds", 12, "--events", 2]
            sets[f"{kind} seed {seed}{size}"] = ["--kind", kind, "--seed", seed, *cast]
        if options.mot and not options.ladder:
            drawn = ["--from-mot", options.mot, "--frames", options.frames]
            sets[f"mot {options.mot.name}"] = drawn
            sets[f"mot {options.mot.name}, ids shared"] = [*drawn, "--shared-ids"]
        rows, figures = [], {}
        for title, arguments in sets.items():
            if title.startswith(options.only):
                raw = work / re.sub(r"\W+", "-", title)
                if not raw.exists():
                    reidkit("simulate", raw, *arguments)
                if options.ladder:
                    rows += ladder.ladder(title, raw, options.detector, options.embedder)
                else:
                    figures[title] = measure(raw, options.detector, options.embedder)
                    rows.append(row(title, models, figures[title]))
    for kind in options.kinds:
        several = [of for title, of in figures.items() if title.startswith(f"{kind} ")]
        if len(several) > 1:
            rows += summary(f"{kind}{size}", models, several)
    write(rows, is_ladder=options.ladder)


def write(rows: list[tuple[str, ...]], *, is_ladder: bool) -> None:
    """Prints the table of `rows` and puts it into the results, whose other rows stay."""
    old = RESULTS.read_text() if RESULTS.is_file() else ""
    whole, _, rungs = old.partition(ladder.TEXT)
    tables = {
        False: (("set", "detector + embedder", *KEYS.values(), *COUNTS), whole.splitlines()),
        True: (ladder.HEADER, rungs.splitlines()),
    }
    texts = {}
    for which, (header, lines) in tables.items():
        kept = [cells for line in lines if len(cells := _cells(line)) == len(header) and cells != header]
        kept = [cells for cells in kept if set("".join(cells)) != {"-"}]
        if which == is_ladder:
            mine = {cells[:2] for cells in rows}
            # The rungs of a set stay in their order, from the truth down to the build.
            order = (lambda cells: cells[0]) if which else None
            kept = sorted([*(cells for cells in kept if cells[:2] not in mine), *rows], key=order)
        texts[which] = "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *kept))
    RESULTS.parent.mkdir(exist_ok=True)
    below = f"\n\n{ladder.TEXT}{texts[True]}" if is_ladder or rungs else ""
    RESULTS.write_text(f"{TEXT}{texts[False]}{below}\n\nMachine of the last run: {describe()}.\n")
    print(texts[is_ladder])


def _cells(line: str) -> tuple[str, ...]:
    """The cells of a line of a Markdown table; none of any other line."""
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|")) if line.startswith("|") else ()


if __name__ == "__main__":
    main()
