"""The builder on simulated footage, scored against its ground truth; writes benchmarks/results/builder.md.

    python benchmarks/builder.py                                           # the simulator's own detector and embedder
    python benchmarks/builder.py --detector yolox_nano.onnx --embedder osnet_x0_25.onnx   # made for real footage
    python benchmarks/builder.py --ladder --kinds sports dance --seeds 3 4      # where people are lost, stage by stage

Sports and dance filmed (boxes come from the detector), and with `--mot FOLDER` figures drawn into the boxes of
MOTChallenge sequences (boxes and tracks come from the annotation, so only the links can be wrong): once with other
people in every clip, as SportsMOT numbers its ids, and once with one person drawn for an id in all clips of a video.
Takes some ten minutes on two cores. Results of other detectors and embedders already in the file stay there. The ladder
(`ladder.py`) takes some two minutes a set; it replaces its own rows and leaves the rest of the file alone.
"""

import argparse
import json
import re
import tempfile
import time
from pathlib import Path

import ladder
from command import reidkit
from machine import describe

RESULTS = Path(__file__).resolve().parent / "results" / "builder.md"
KEYS = {
    "midf1": "mIDF1",
    "idf1": "IDF1",
    "hota": "HOTA",
    "people_kept": "people kept",
    "people_kept_precision": "precision",
    "seconds_kept": "seconds kept",
    "link_precision": "link precision",
    "link_recall": "link recall",
    "bcubed_precision": "B³ precision",
    "bcubed_recall": "B³ recall",
    "detection_recall": "det. recall",
    "detection_precision": "det. precision",
    "raw_idf1": "raw IDF1",
    "raw_hota": "raw HOTA",
    "tracklet_purity": "purity",
}
TEXT = """# The builder against ground truth

`python benchmarks/builder.py`: simulated footage, two events a set, three cameras, 12 s each, 640 x 360 at 15 frames/s.
Shares in percent. mIDF1, IDF1, HOTA and the people kept are those of the dataset's identities
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


def row(title: str, raw: Path, detector: str, embedder: str) -> tuple[str, ...]:
    """Builds a dataset of `raw`, beside it; the cells of its row in the table."""
    started = time.monotonic()
    out = raw.with_name(f"{raw.name}-dataset")
    built = json.loads(
        reidkit("build-dataset", raw, "-o", out, "--detector", detector, "--embedder", embedder, "--json")
    )
    seconds, scores, counts = time.monotonic() - started, built["scores"], built["counts"]
    values = ["-" if scores.get(key) is None else f"{100 * scores[key]:.1f}" for key in KEYS]
    models = f"{Path(detector).name} + {Path(embedder).name}"
    found = f"{scores['identities']} / {scores['true_identities']}"
    return (title, models, *values, found, str(counts["tracklets"]), str(counts["junk"]), f"{seconds:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="simulated")
    parser.add_argument("--embedder", default="simulated")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--cameras", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=("sports", "dance"), default=("sports", "dance"))
    parser.add_argument("--seeds", type=int, nargs="+", default=(3, 4), help="one of each of the kinds, in order")
    parser.add_argument("--mot", type=Path, help="folder of MOTChallenge sequences to draw figures into")
    parser.add_argument("--frames", type=int, default=150, help="of each of these sequences")
    parser.add_argument("--only", default="", help="measure the sets whose name begins so; the others keep their rows")
    parser.add_argument("--ladder", action="store_true", help="of the filmed sets: what each stage loses")
    parser.add_argument("--work", type=Path, help="keep footage and datasets here [default: a temporary folder]")
    options = parser.parse_args()
    if len(options.kinds) != len(options.seeds):
        parser.error(f"{len(options.kinds)} kinds and {len(options.seeds)} seeds: give one seed for each kind")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        sets = {}  # title: how the footage is rendered
        for kind, seed in zip(options.kinds, options.seeds, strict=True):
            size = ["--people", options.people, "--cameras", options.cameras, "--seconds", 12, "--events", 2]
            sets[f"{kind} seed {seed}"] = ["--kind", kind, "--seed", seed, *size]
        if options.mot and not options.ladder:
            drawn = ["--from-mot", options.mot, "--frames", options.frames]
            sets[f"mot {options.mot.name}"] = drawn
            sets[f"mot {options.mot.name}, ids shared"] = [*drawn, "--shared-ids"]
        rows = []
        for title, arguments in sets.items():
            if title.startswith(options.only):
                raw = work / re.sub(r"\W+", "-", title)
                if not raw.exists():
                    reidkit("simulate", raw, *arguments)
                if options.ladder:
                    rows += ladder.ladder(title, raw, options.detector, options.embedder)
                else:
                    rows.append(row(title, raw, options.detector, options.embedder))
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
