"""The builder on simulated footage, scored against its ground truth; writes benchmarks/results/builder.md.

    python benchmarks/builder.py                                           # the simulator's own detector and embedder
    python benchmarks/builder.py --detector yolox_nano.onnx --embedder osnet_x0_25.onnx   # made for real footage

Sports and dance filmed (boxes come from the detector), and with `--mot FOLDER` figures drawn into the boxes of
MOTChallenge sequences (boxes and tracks come from the annotation, so only the links can be wrong).
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
of their own. `mot` has annotated boxes and tracks: only links can be wrong there.

"""


def row(title: str, raw: Path, detector: str, embedder: str, work: Path) -> str:
    """Builds a dataset of `raw`; one line of the table."""
    started = time.monotonic()
    out = work / f"{title.replace(' ', '-')}-dataset"
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
    parser.add_argument("--work", type=Path, help="keep footage and datasets here [default: a temporary folder]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        sets = {}
        for kind, seed in zip(("sports", "dance"), options.seeds, strict=True):
            raw = work / kind
            common = ["--people", options.people, "--cameras", 3, "--seconds", 12, "--events", 2, "--seed", seed]
            if not raw.exists():
                reidkit("simulate", raw, "--kind", kind, *common)
            sets[f"{kind} seed {seed}"] = raw
        if options.mot:
            raw = work / "mot"
            if not raw.exists():
                reidkit("simulate", raw, "--from-mot", options.mot, "--frames", options.frames)
            sets[f"mot {options.mot.name}"] = raw
        rows = [row(title, raw, options.detector, options.embedder, work) for title, raw in sets.items()]
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
