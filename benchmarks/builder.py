"""The builder on simulated footage, scored against its ground truth; writes benchmarks/results/builder.md.

    python benchmarks/builder.py                                           # the simulator's own detector and embedder
    python benchmarks/builder.py --detector yolox_nano.onnx --embedder osnet_x0_25.onnx   # made for real footage

Sports and dance filmed (boxes come from the detector), and with `--mot FOLDER` figures drawn into the boxes of
MOTChallenge sequences (boxes and tracks come from the annotation, so only the links can be wrong): once with other
people in every clip, as SportsMOT numbers its ids, and once with one person drawn for an id in all clips of a video.
Takes some ten minutes on two cores. Results of other detectors and embedders already in the file stay there.
"""

import argparse
import json
import re
import tempfile
import time
from pathlib import Path

from command import reidkit
from machine import describe

RESULTS = Path(__file__).resolve().parent / "results" / "builder.md"
KEYS = {
    "detection_recall": "det. recall",
    "detection_precision": "det. precision",
    "idf1": "IDF1",
    "hota": "HOTA",
    "tracklet_purity": "purity",
    "link_precision": "link precision",
    "link_recall": "link recall",
    "bcubed_precision": "B³ precision",
    "bcubed_recall": "B³ recall",
}
TEXT = """# The builder against ground truth

`python benchmarks/builder.py`: simulated footage, two events a set, three cameras, 12 s each, 640 x 360 at 15 frames/s.
Shares in percent. Detection at an intersection over union of 0.5, people of whom 30 % can be seen; purity per box;
links are pairs of tracklets of one event in two cameras; B³ is B-cubed over all tracklets of an event, junk as people
of their own. `mot` has figures drawn into the boxes of SportsMOT, and takes boxes and tracks from the annotation: only
links can be wrong there. SportsMOT numbers its ids anew in every clip, so nothing says who is who in two clips of a
video. In the first row every clip has people of its own, and the row shows whether strangers stay apart. In the row
`ids shared` one made-up person stands for an id in all clips, and the row shows whether that drawing is found again;
it says nothing about the people who played.

"""


def row(title: str, raw: Path, detector: str, embedder: str) -> str:
    """Builds a dataset of `raw`, beside it; one line of the table."""
    started = time.monotonic()
    out = raw.with_name(f"{raw.name}-dataset")
    built = json.loads(
        reidkit("build-dataset", raw, "-o", out, "--detector", detector, "--embedder", embedder, "--json")
    )
    seconds, scores, counts = time.monotonic() - started, built["scores"], built["counts"]
    values = ["-" if scores.get(key) is None else f"{100 * scores[key]:.1f}" for key in KEYS]
    models = f"{Path(detector).name} + {Path(embedder).name}"
    found = f"{scores['identities']} / {scores['true_identities']}"
    cells = [title, models, *values, found, str(counts["tracklets"]), str(counts["junk"]), f"{seconds:.0f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="simulated")
    parser.add_argument("--embedder", default="simulated")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs=2, default=(3, 4), help="of sports and of dance")
    parser.add_argument("--mot", type=Path, help="folder of MOTChallenge sequences to draw figures into")
    parser.add_argument("--frames", type=int, default=150, help="of each of these sequences")
    parser.add_argument("--only", default="", help="measure the sets whose name begins so; the others keep their rows")
    parser.add_argument("--work", type=Path, help="keep footage and datasets here [default: a temporary folder]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        sets = {}  # title: how the footage is rendered
        for kind, seed in zip(("sports", "dance"), options.seeds, strict=True):
            size = ["--people", options.people, "--cameras", 3, "--seconds", 12, "--events", 2]
            sets[f"{kind} seed {seed}"] = ["--kind", kind, "--seed", seed, *size]
        if options.mot:
            drawn = ["--from-mot", options.mot, "--frames", options.frames]
            sets[f"mot {options.mot.name}"] = drawn
            sets[f"mot {options.mot.name}, ids shared"] = [*drawn, "--shared-ids"]
        rows = []
        for title, arguments in sets.items():
            if title.startswith(options.only):
                raw = work / re.sub(r"\W+", "-", title)
                if not raw.exists():
                    reidkit("simulate", raw, *arguments)
                rows.append(row(title, raw, options.detector, options.embedder))
    header = ["set", "detector + embedder", *KEYS.values(), "identities / true", "tracklets", "junk", "seconds"]
    old = RESULTS.read_text().splitlines() if RESULTS.is_file() else []
    key = re.compile(r"\| ([^|]+) \| ([^|]+) \|")
    mine = {key.match(line).groups() for line in rows}
    kept = [
        line for line in old if key.match(line) and " + " in line.split("|")[2] and key.match(line).groups() not in mine
    ]
    kept = [line for line in kept if not line.startswith("| set |")]
    table = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *sorted([*kept, *rows])]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(TEXT + "\n".join(table) + f"\n\nMachine of the last run: {describe()}.\n")
    print("\n".join(table))


if __name__ == "__main__":
    main()
