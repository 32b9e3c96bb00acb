"""From features to metrics: reidkit beside the bare float32 product, fast-reid, scikit-learn and torchmetrics.

    OMP_NUM_THREADS=2 python benchmarks/scoring.py --fast-reid FOLDER      # five minutes; benchmarks/results/scoring.md
    OMP_NUM_THREADS=2 python benchmarks/scoring.py --large                 # and 10,000 x 1,000,000 x 512, minutes

FOLDER holds fast-reid's evaluator (fastreid/evaluation/rank_cylib/rank_cy.pyx), compiled there by `cythonize -i`; its
distances are made as its `compute_cosine_distance` makes them, by torch. Sizes are MARS': 1,980 queries, all of them in
the gallery of 11,310, 2,048 dimensions, six cameras, eleven matches a query. `like people` are centres of 64 dimensions
with a camera's shift and noise, `random` is noise alone, the worst case: every match lies where entries are densest.
Every way runs in a process of its own, so that its peak memory is its own, beside the features; imports and compiling
are no part of the time, except in the last table. Ways that would take minutes run on a part of the queries.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from judged import by_sklearn, by_torchmetrics, in_a_process
from machine import describe

HERE = Path(__file__).resolve().parent
QUERIES, GALLERY, WIDTH = 1980, 11310, 2048
PART = {"scikit-learn": 100, "torchmetrics": 100}  # queries that these are timed on


def case(kind: str) -> tuple[np.ndarray, ...]:
    """Features [N, D], pids, camids, is_query."""
    rng = np.random.default_rng(0)
    pids = rng.integers(1, round(GALLERY * 5 / 6 / 11) + 1, GALLERY)
    cams = rng.integers(1, 7, GALLERY)
    features = rng.standard_normal((GALLERY, WIDTH), dtype=np.float32)
    if kind == "like people":
        centres, shift = rng.standard_normal((GALLERY, 64)), 0.6 * rng.standard_normal((7, 64))
        rows = centres[pids] + shift[cams] + 1.1 * rng.standard_normal((GALLERY, 64))
        features = 0.3 * features + (rows @ rng.standard_normal((64, WIDTH)) / 8).astype(np.float32)
    return features, pids, cams, np.arange(GALLERY) < QUERIES


def product(features, pids, cams, is_query):
    """A float32 product of normalised features and nothing else; its output is there already."""
    x, y, room = product.made
    np.matmul(x, y.T, out=room)


def prepare_product(features, pids, cams, is_query):
    y = features / np.linalg.norm(features, axis=1, keepdims=True)
    product.made = y[is_query].copy(), y, np.zeros((int(is_query.sum()), len(y)), np.float32)


def ours(features, pids, cams, is_query):
    from reidkit.leaderboard.ranking import score

    return score(features, pids, cams, is_query, "mars", camera_pairs=False, top=0).mAP / 100


def ours_all(features, pids, cams, is_query):
    from reidkit.leaderboard.ranking import score

    return score(features, pids, cams, is_query, "mars").mAP / 100


def ours_open_set(features, pids, cams, is_query):
    from reidkit.leaderboard.ranking import score

    return score(features, pids, cams, is_query, "mars", pairs=True).mAP / 100


def float64(features, pids, cams, is_query):
    """Every distance by the exact float64 product, then counted: what reidkit did before."""
    from reidkit.leaderboard.distances import FeatureDistances, GivenDistances
    from reidkit.leaderboard.protocols import protocol
    from reidkit.leaderboard.ranking import score_distances

    queries, rows = np.flatnonzero(is_query), np.arange(len(features))
    source = GivenDistances(FeatureDistances(features, queries, rows).block(0, len(queries), 0, len(rows)))
    return score_distances(source, pids, cams, queries, rows, protocol("mars"), camera_pairs=False, top=0).mAP / 100


def distances(features, is_query):
    import torch
    from torch.nn.functional import normalize

    x = torch.from_numpy(features)
    with torch.no_grad():
        return (1 - torch.mm(normalize(x[torch.from_numpy(is_query)]), normalize(x).t())).numpy()


def others(by, features, pids, cams, is_query):
    return float(by(distances(features, is_query), pids, cams, np.flatnonzero(is_query), np.arange(len(pids))).mean())


def fast_reid(features, pids, cams, is_query):
    from rank_cy import evaluate_cy

    found = evaluate_cy(distances(features, is_query), pids[is_query], pids, cams[is_query], cams, 50)
    return float(np.asarray(found[1])[np.asarray(found[2]) > 0].mean())


WAYS = {
    "bare float32 product": (product, ""),
    "reidkit, metrics": (ours, ""),
    "reidkit, with camera pairs, top ten and AP of every query": (ours_all, ""),
    "reidkit, with all that and the open set": (ours_open_set, ""),
    "exact float64 product and counting (reidkit before)": (float64, ""),
    "fast-reid, compiled": (fast_reid, "rank_cy"),
    "scikit-learn": (partial(others, by_sklearn), "sklearn"),
    "torchmetrics": (partial(others, by_torchmetrics), "torchmetrics"),
}


def memory(name: str) -> float:
    """MiB of `VmRSS`, held now, or `VmHWM`, the most since `fresh_peak` (Linux alone)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def fresh_peak() -> float:
    """Forgets the peak that making the features left; MiB held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def run_one(kind: str, way: str) -> dict:
    """Times one way: the best of five, or of as many as start within ten seconds."""
    function, needs = WAYS[way]
    if needs and importlib.util.find_spec(needs) is None:
        return {"absent": True}
    arguments = case(kind)
    small = [a[:300] for a in arguments]
    small[3] = np.arange(300) < 60
    if function is product:
        prepare_product(*arguments)
    else:
        function(*small)
    share = PART.get(way, QUERIES)
    arguments = (*arguments[:3], np.arange(GALLERY) < share)
    before, times, found = fresh_peak(), [], None
    while len(times) < 5 and sum(times) < 10:
        started = time.perf_counter()
        found = function(*arguments)
        times.append(time.perf_counter() - started)
    return {"seconds": min(times), "queries": share, "mib": memory("VmHWM") - before, "mAP": found}


def large(queries: int = 10_000, gallery: int = 1_000_000, width: int = 512) -> dict:
    """Seconds and memory, and what the product alone takes at the rate of this machine in tiles of the same size."""
    from ranking import labels

    from reidkit.leaderboard.counting import BLOCK_COLUMNS, BLOCK_QUERIES
    from reidkit.leaderboard.ranking import score
    from reidkit.leaderboard.warm import warm

    warm()
    rng = np.random.default_rng(2)
    x, y = (rng.standard_normal((n, width), dtype=np.float32) for n in (BLOCK_QUERIES, BLOCK_COLUMNS))
    room, times = np.zeros((len(x), len(y)), np.float32), []
    for _ in range(10):
        started = time.perf_counter()
        np.matmul(x, y.T, out=room)
        times.append(time.perf_counter() - started)
    rate = 2 * len(x) * len(y) * width / float(np.median(times))
    pids, cams = labels(queries, gallery)
    features = np.empty((queries + gallery, width), np.float32)
    for start in range(0, len(features), 10_000):
        part = features[start : start + 10_000]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
    is_query = np.arange(len(features)) < queries
    before, started = fresh_peak(), time.perf_counter()
    score(features, pids, cams, is_query, "ls-vid", camera_pairs=False, top=0)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "mib": memory("VmHWM") - before, "product": 2 * queries * gallery * width / rate,
            "gflops": rate / 1e9, "size": f"{queries:,} x {gallery:,} x {width}"}  # fmt: skip


def fresh() -> list[tuple[str, float]]:
    """Seconds of whole commands, each a fresh process: the best of three."""
    commands = {"reidkit --help": ["--help"]}
    with tempfile.TemporaryDirectory() as folder:
        features, pids, cams, is_query = case("like people")
        path = Path(folder) / "features.npz"
        np.savez(path, features=features, pids=pids, camids=cams, is_query=is_query)
        commands["reidkit score, MARS' size"] = ["score", str(path), "--protocol", "mars"]
        found = []
        for name, arguments in commands.items():
            times = []
            for _ in range(3):
                started = time.perf_counter()
                subprocess.run([sys.executable, "-m", "reidkit", *arguments], check=True, capture_output=True)
                times.append(time.perf_counter() - started)
            found.append((name, min(times)))
    return found


def table(kind: str, extra: list[str]) -> list[str]:
    found = {way: in_a_process(__file__, *extra, "--one", kind, way) for way in WAYS}
    base = found["bare float32 product"]["seconds"]
    lines = [f"## 1,980 x 11,310 x 2,048, {kind}", "", "| way | seconds | times the product | MiB | mAP |"]
    lines.append("|---|---:|---:|---:|---:|")
    for way, r in found.items():
        if r.get("absent"):
            lines.append(f"| {way} | not installed | | | |")
            continue
        ratio = f"{r['seconds'] / base:.2f}" if r["queries"] == QUERIES else f"(first {r['queries']} queries)"
        figure = "" if r["mAP"] is None or r["queries"] < QUERIES else f"{100 * r['mAP']:.5f}"
        lines.append(f"| {way} | {r['seconds']:.2f} | {ratio} | {r['mib']:.0f} | {figure} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--one-large", help=argparse.SUPPRESS)
    parser.add_argument("--fast-reid", type=Path, help="folder of fast-reid's compiled rank_cy")
    parser.add_argument("--large", nargs="?", const="10000,1000000,512", metavar="Q,G,D", help="a large gallery, too")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "scoring.md")
    options = parser.parse_args()
    if options.fast_reid:
        sys.path.append(str(options.fast_reid))
    if options.one or options.one_large:
        found = large(*map(int, options.one_large.split(","))) if options.one_large else run_one(*options.one)
        print(json.dumps(found))
        return
    extra = ["--fast-reid", str(options.fast_reid.resolve())] if options.fast_reid else []
    lines = ["# From features to metrics", "", f"`python benchmarks/scoring.py` on {describe()}.", ""]
    for kind in ("like people", "random"):
        lines += table(kind, extra)
    if options.large:
        r = in_a_process(__file__, "--one-large", options.large)
        lines += [
            f"## {r['size']}, random",
            "",
            f"{r['seconds']:.1f} s and {r['mib']:.0f} MiB beside the features. At the rate of this machine's float32 "
            f"product ({r['gflops']:.0f} GFLOP/s in tiles of the same size) the product alone takes "
            f"{r['product']:.1f} s: {r['seconds'] / r['product']:.2f} times.",
            "",
        ]
    lines += ["## A fresh process", "", "| command | seconds |", "|---|---:|"]
    lines += [f"| `{name}` | {seconds:.2f} |" for name, seconds in fresh()]
    lines += ["", "fast-reid's AP is float32, its ties in no order; scikit-learn takes tied entries together."]
    text = "\n".join(lines) + "\n"
    from reidkit.datasets.files import write_atomic

    write_atomic(options.output, text)
    print(text)


if __name__ == "__main__":
    main()
