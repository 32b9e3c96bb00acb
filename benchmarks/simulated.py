"""CG-CLIP, its ablations and the models it is compared with, on simulated sports and dance, three seeds each.

    python benchmarks/simulated.py WORK                  # an hour on four cores; writes benchmarks/results/simulated.md
    python benchmarks/simulated.py WORK --models cgclip,tfclip --seeds 0 -o look.md

Footage, dataset, captions and runs are those of the command line, at size tiny, and land under WORK; what is finished
there is not done again. The footage's seeds are used by nothing else: rates were chosen on other footage
(docs/cgclip.md). `frozen tower` is the pretrained image tower without a single step.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from command import reidkit
from machine import describe
from safetensors.torch import load_file

from reidkit.datasets.cores import usable_cores
from reidkit.datasets.files import write_atomic
from reidkit.datasets.progress import say
from reidkit.datasets.truth import TRUTH
from reidkit.leaderboard import formats, tables
from reidkit.leaderboard.results import Result, load_results
from reidkit.leaderboard.significance import compare_results, find_results
from reidkit.training.loop import read_log
from reidkit.training.run_folder import LOG, read_facts

SETS = {"sports-sim": ("sports", 41), "dance-sim": ("dance", 42)}  # name: kind and seed of the footage
EVENTS, CAMERAS, PEOPLE, SECONDS, TEST_SHARE = 9, 3, 12, 12, 0.33
EPOCHS = ("epochs=6", "warmup_epochs=1")  # some 150 steps: with so many people to train on, as many as the demo's
FROZEN = "cgclip/memory-only"  # with no epochs: the image tower's two features
MODELS = (
    "clipreid",
    "vslaclip",
    "tfclip",
    "cgclip",
    "cgclip/no-cmr",
    "cgclip/no-tfe",
    "cgclip/k1",
    "cgclip/captions-none",
    "cgclip/captions-attributes",
    "cgclip/captions-swapped",
    "cgclip/memory-only",
)
QUESTIONS = (
    ("cgclip", "cgclip/captions-none", "Do captions help?"),
    ("cgclip", "cgclip/captions-attributes", "Does it matter who wrote them?"),
    ("cgclip", "cgclip/captions-swapped", "Does it matter that they are true?"),
    ("cgclip", "cgclip/no-cmr", "Does CMR help?"),
    ("cgclip", "cgclip/no-tfe", "Do TFE's tokens help over the mean of all tokens?"),
    ("cgclip", "cgclip/memory-only", "Does all of it help over the memory alone?"),
    ("cgclip", "tfclip", "Is it better than TF-CLIP?"),
)
RESULT = Path(__file__).parent / "results" / "simulated.md"


def make_set(work: Path, name: str) -> Path:
    """Footage, dataset and captions of one of `SETS`; its folder."""
    kind, seed = SETS[name]
    raw, folder = work / "raw" / name, work / "data" / name
    if not (raw / TRUTH).is_file():
        size = ["--events", EVENTS, "--cameras", CAMERAS, "--people", PEOPLE, "--seconds", SECONDS]
        reidkit("simulate", raw, "--kind", kind, *size, "--seed", seed)
    if not (folder / "dataset.json").is_file():
        ours = ["--detector", "simulated", "--embedder", "simulated", "--test-share", TEST_SHARE]
        reidkit("build-dataset", raw, "-o", folder, "--name", name, *ours)
    # identities that the builder made up, of spectators' shadows or pieces of others, are in no attribute table
    reidkit("caption", folder, "--captioner", "template", losses=True)
    reidkit("caption", folder, "--captioner", "attributes", "--weights", "simulated", losses=True)
    return folder


def facts(folder: Path) -> list[str]:
    """What `reidkit inspect` says of a dataset, without its table of tracklets."""
    lines = reidkit("inspect", folder).splitlines()
    return [line for line in lines if line.startswith((folder.name, "train:", "  "))]


def train(work: Path, folders: list[Path], models: list[str], seeds: list[int], jobs: int, extra: list[str]) -> None:
    """Trains and tests every cell, `jobs` at a time with a thread each."""

    def settings(model: str) -> list[str]:
        chosen = [part for pair in EPOCHS for part in ("--set", pair)]
        if model.startswith("cgclip") and model not in ("cgclip/captions-none", "cgclip/captions-attributes"):
            chosen += ["--set", "captions=template"]  # the set holds those of the attributes captioner too
        if model == "vslaclip":
            chosen += ["--set", "test_sampling=dense"]  # its authors test a few frames; here all see the same
        return chosen

    cells = [[FROZEN, "--bench", folder, "--set", "epochs=0"] for folder in folders] + [
        [model, "--bench", folder, "--seeds", seed, *settings(model)]
        for seed in seeds
        for model in models
        for folder in folders
    ]
    places = ["--results", work / "results", "--runs", work / "runs"]
    common = ["--size", "tiny", "--device", "cpu", "--workers", 1, *places, *extra]
    started, done = time.monotonic(), 0

    def cell(arguments: list) -> None:
        nonlocal done
        reidkit("run", *arguments, *common, threads=1)
        done += 1
        say(f"{done} of {len(cells)} cells, {time.monotonic() - started:.0f} s: {' '.join(map(str, arguments))}")

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(cell, cells))


def answers(results: list[Result], names: list[str]) -> list[str]:
    """The questions, a line a bench, by paired tests over identities and seeds."""
    lines = [
        "| question | set | mAP, first | mAP, second | difference, 95 % interval | p |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for first, second, question in QUESTIONS:
        for name in names:
            trained = [r for r in results if r.recipe["epochs"] > 0]
            if not all(any(r.model == m and r.bench == name for r in trained) for m in (first, second)):
                continue
            pair = (find_results(model, name, trained, Path()) for model in (first, second))
            d = compare_results(*pair).differences[0]
            lines.append(
                f"| {question} ({first} against {second}) | {name} | {d.a:.1f} | {d.b:.1f} | "
                f"{d.difference:+.1f} ({d.low:+.1f} to {d.high:+.1f}) | {d.p:.3f} |"
            )
    return lines


def inside(runs: Path, names: list[str]) -> list[str]:
    """What training did with the captions: their loss, the memory's, and how far CMR's gate opened; means over runs."""
    lines = [
        "| model | set | captions' loss, first epoch | last | memory's loss, first | last | CMR's gate, tanh(g) |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name in names:
        runs_of: dict[str, list[Path]] = {}
        for log in sorted((runs / name).rglob(LOG)):
            if read_log(log):  # the frozen tower's is empty
                runs_of.setdefault(read_facts(log.parent).model, []).append(log.parent)
        for model, folders in sorted(runs_of.items()):
            if not model.startswith("cgclip"):
                continue
            ends = [(log[0]["losses"], log[-1]["losses"]) for log in (read_log(folder / LOG) for folder in folders)]
            parts = [_mean([run[end].get(part) for run in ends]) for part in ("captions", "memory") for end in (0, 1)]
            gates = [load_file(folder / "model.safetensors").get("cmr.gate") for folder in folders]
            gate = _mean([None if g is None else abs(g.tanh().item()) for g in gates])
            lines.append(f"| {model} | {name} | {' | '.join(parts)} | {gate} |")
    return lines


def _mean(values: list[float | None]) -> str:
    return "" if None in values else f"{np.mean(values):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=usable_cores(), help="runs at a time, a thread each")
    parser.add_argument("--set", action="append", default=[], help="recipe key=value for all runs; repeatable")
    arguments = parser.parse_args()
    extra = [part for pair in arguments.set for part in ("--set", pair)]
    folders = [make_set(arguments.work, name) for name in SETS]
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    train(arguments.work, folders, arguments.models.split(","), seeds, arguments.jobs, extra)
    results, _ = load_results(arguments.work / "results")
    (table,) = [t for t in tables.build("hard", results, intervals=True) if "ours" in t.title]
    took = f"{len(results)} runs took {sum(r.seconds for r in results) / 3600:.1f} hours of a thread each"
    footage = f"{EVENTS} events, {PEOPLE} people each, {CAMERAS} cameras, {SECONDS} s; {', '.join(EPOCHS)}"
    lines = [
        "# CG-CLIP and its relatives on simulated sports and dance, size tiny",
        "",
        f"`python benchmarks/simulated.py WORK` on {describe()}; {took}, {arguments.jobs} at a time.",
        f"Footage: {footage}; seeds {', '.join(f'{seed} ({name})' for name, (_, seed) in SETS.items())}.",
        "",
        *(f"    {line}" for folder in folders for line in facts(folder)),
        "",
        formats.render([table], "markdown").strip(),
        "",
        "Rows with `epochs=0` are the frozen tower: the pretrained image tower's features without training.",
        "",
        "## Questions",
        "",
        *answers(results, [folder.name for folder in folders]),
        "",
        "## What training did with the captions",
        "",
        *inside(arguments.work / "runs", [folder.name for folder in folders]),
    ]
    text = "\n".join(lines) + "\n"
    write_atomic(arguments.output, text)
    print(text)


if __name__ == "__main__":
    main()
