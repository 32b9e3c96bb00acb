"""What closing the loop is worth: build, review one event, train on it, build again with what was trained.

    python benchmarks/rebuild.py FOLDER [--seeds 921 922] [--people 8] [--seconds 20]

Simulated footage of two events is built with a weak embedder (the simulator's, its features projected to 6 numbers). A
script that knows the truth reviews the event that trains: it gathers each person's tracklets and confirms them. Then
the same folder is built again: with the same embedder, with a ResNet-50 of size tiny that `reidkit run` trained from
scratch on the reviewed dataset, and with the simulator's own embedder. Printed is a line of JSON for each: B-cubed F1
of the event that nobody reviewed, and how many decisions hold and which don't, as the build says. What the reviewer
said of a tracklet that shows two people holds likewise: nothing here cuts tracklets.
"""

import argparse
import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import polars as pl
from confidence import weakened

from reidkit.datasets.decisions import Draft, open_decisions, read_decisions
from reidkit.datasets.own import reviewed_tables, tracklet_table
from reidkit.toolkit.build import BuildSettings, build
from reidkit.toolkit.detect import load_detector
from reidkit.toolkit.embed import load_embedder
from reidkit.toolkit.truth import score_links


def command(*words: object) -> None:
    """Runs a command of reidkit."""
    subprocess.run([sys.executable, "-m", "reidkit", *map(str, words)], check=True, stdout=sys.stderr)


def detector(threads: int | None = None):
    return load_detector("simulated", threads=threads)


def embedder(name: str, threads: int | None = None):
    return weakened(6, threads) if name == "weak" else load_embedder(name, threads=threads)


def review(out: Path) -> set[int]:
    """Decisions on everybody of the event that trains; returns who that is.

    Of two tracklets that show a person at one time in one camera, as of a second box, the shorter is nobody: the page
    refuses both in one identity.
    """
    table = tracklet_table(out).filter(split="train").drop_nulls("truth").sort("frames", "id", descending=[True, False])
    people: dict[int, list[dict]] = {}
    nobody: list[str] = []
    for row in table.iter_rows(named=True):
        mine = people.setdefault(row["truth"], [])
        if any(_together(row, other) for other in mine):
            nobody.append(row["id"])
        else:
            mine.append(row)
    with open_decisions(out) as log:
        for rows in people.values():
            ids = tuple(row["id"] for row in rows)
            log.append(Draft("split", ids), Draft("confirm", ids), by="script", at="")
        if nobody:
            log.append(Draft("junk", tuple(nobody)), by="script", at="")
    return set(people)


def _together(one: dict, other: dict) -> bool:
    seconds = min(one["end"], other["end"]) - max(one["start"], other["start"])
    shorter = min(one["end"] - one["start"], other["end"] - other["start"])
    return one["camera"] == other["camera"] and seconds > min(0.5, shorter / 2)


def figures(out: Path, reviewed: set[int]) -> dict:
    """How right the rest is, and what became of the decisions."""
    table = reviewed_tables(out)[0].drop_nulls("truth")
    rest = table.filter(~pl.col("truth").is_in(list(reviewed)))
    rest_scores = score_links(*(rest[name].to_numpy() for name in ("identity", "truth", "camera", "event")))
    precision, recall = rest_scores["bcubed_precision"], rest_scores["bcubed_recall"]
    said = [note for note in json.loads((out / "dataset.json").read_text())["notes"] if "review decisions" in note]
    return {
        "bcubed_f1": round(2 * precision * recall / (precision + recall), 4),
        "identities": rest_scores["identities"],
        "true": rest_scores["true_identities"],
        "decisions": len(read_decisions(out)),
        "carried": said,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[921, 922, 923])
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    for seed in given.seeds:
        home = given.folder / str(seed)
        raw, first = home / "raw", home / "first"
        if not (raw / "truth.json").exists():
            size = ("--people", given.people, "--seconds", given.seconds, "--cameras", 2, "--events", 2)
            command("simulate", raw, "--seed", seed, *size)
        shutil.rmtree(first, ignore_errors=True)
        build(raw, first, BuildSettings(name="loop"), detector, partial(embedder, "weak"))
        reviewed = review(first)
        print(json.dumps({"seed": seed, "embedder": "weak, before", **figures(first, reviewed)}), flush=True)
        runs, epochs = home / "runs", f"epochs={given.epochs}"
        places = ("--runs", runs, "--results", home / "results")
        command("run", "resnet50", "--size", "tiny", "--bench", first, "--from-scratch", "--set", epochs, *places)
        for name in ("weak", "simulated", str(runs / "loop" / "resnet50" / "seed0")):
            out = home / Path(name).name
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(first, out)
            build(raw, out, BuildSettings(name="loop"), detector, partial(embedder, name))
            trained = "trained on the review" if name not in ("weak", "simulated") else name
            print(json.dumps({"seed": seed, "embedder": trained, **figures(out, reviewed)}), flush=True)


if __name__ == "__main__":
    main()
