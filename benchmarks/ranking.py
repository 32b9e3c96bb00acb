"""Time and memory of ranking: our kernel beside the slow twin, numpy's argsort, scikit-learn and torchmetrics.

    OMP_NUM_THREADS=2 python benchmarks/ranking.py                 # two minutes; writes benchmarks/results/ranking.md

Distances are given (uniform random float32), labels are like MARS' (11 true matches a query on average). Every way
runs in a process of its own, so that its peak memory is its own. Those that would take minutes run on a part of the
queries; their time is scaled, and marked so. All must agree on mAP. `slow twin` is the tests' plain loop.
"""

import argparse
import importlib.util
import json
import math
import os
import platform
import resource
import time
from pathlib import Path

import numpy as np
from judged import by_sklearn, by_torchmetrics, in_a_process

HERE = Path(__file__).resolve().parent
SIZES = {"MARS": (1980, 11310), "1k x 100k": (1000, 100_000)}
PART = {"slow twin": 40, "scikit-learn": 200, "torchmetrics": 200}  # queries that these are timed on


def labels(queries: int, gallery: int) -> tuple[np.ndarray, np.ndarray]:
    """Identities and cameras of `queries` + `gallery` rows: MARS' six cameras, and as many true matches a query."""
    rng = np.random.default_rng(0)
    people = max(2, round(gallery * 5 / 6 / 11))
    return rng.integers(1, people + 1, queries + gallery), rng.integers(1, 7, queries + gallery)


def case(name: str) -> tuple[np.ndarray, ...]:
    queries, gallery = SIZES[name]
    pids, cams = labels(queries, gallery)
    distances = np.random.default_rng(1).random((queries, gallery), dtype=np.float32)
    return distances, pids, cams, np.arange(queries), np.arange(queries, queries + gallery)


def ours(distances, pids, cams, query_rows, gallery_rows):
    from reidkit.leaderboard.counting import rank_matches
    from reidkit.leaderboard.distances import GivenDistances
    from reidkit.leaderboard.ranking import figures, match_lists

    matches, removed = match_lists(pids, cams, query_rows, gallery_rows)
    found = rank_matches(GivenDistances(distances), matches, removed, top=0)
    return figures(found.ranks, matches, "step")[0][matches.counts > 0]


def ours_with_top_ten(distances, pids, cams, query_rows, gallery_rows):
    from reidkit.leaderboard.distances import GivenDistances
    from reidkit.leaderboard.protocols import protocol
    from reidkit.leaderboard.ranking import score_distances

    scores = score_distances(
        GivenDistances(distances), pids, cams, query_rows, gallery_rows, protocol("mars"), camera_pairs=False
    )
    return np.array([q.ap / 100 for q in scores.per_query])


def slow_twin(distances, pids, cams, query_rows, gallery_rows):
    spec = importlib.util.spec_from_file_location("slow", HERE.parent / "tests" / "helpers" / "slow_ranking.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return np.array([f[1] for f in module.slow_scores(distances, pids, cams, query_rows, gallery_rows)[0]])


def argsort(distances, pids, cams, query_rows, gallery_rows):
    """The usual way in numpy: a stable argsort of everything, then cumulative sums query by query."""
    order = np.argsort(distances, axis=1, kind="stable")
    found = []
    for i, row in enumerate(order):
        entries = gallery_rows[row]
        same = pids[entries] == pids[query_rows[i]]
        hits = same[~(same & (cams[entries] == cams[query_rows[i]]))]
        if hits.any():
            places = np.flatnonzero(hits) + 1
            found.append((np.arange(1, len(places) + 1) / places).mean())
    return np.array(found)


def argsort_alone(distances, *_):
    np.argsort(distances, axis=1)


WAYS = {
    "reidkit, ranks by counting": ours,
    "reidkit, with top ten and everything else": ours_with_top_ten,
    "numpy argsort alone (no score)": argsort_alone,
    "numpy stable argsort and cumulative sums": argsort,
    "scikit-learn": by_sklearn,
    "torchmetrics": by_torchmetrics,
    "slow twin": slow_twin,
}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_one(size: str, way: str) -> dict:
    """Times one way; the best of five (of one where it takes longer than two seconds)."""
    if way == "torchmetrics" and importlib.util.find_spec("torchmetrics") is None:
        return {"absent": True}
    arguments = list(case(size))
    queries = len(arguments[0])
    part = min(PART.get(way, queries), queries)
    arguments[0], arguments[3] = arguments[0][:part], arguments[3][:part]
    function = WAYS[way]
    if way.startswith("reidkit") or way in PART:
        small = [arguments[0][:3], *arguments[1:3], arguments[3][:3], arguments[4]]
        function(*small)  # imports are no part of the time
    before, times, found = peak_mib(), [], None
    while len(times) < 5 and sum(times) < 2:
        started = time.perf_counter()
        found = function(*arguments)
        times.append(time.perf_counter() - started)
    return {
        "seconds": min(times) * queries / part,
        "scaled": part < queries,
        "mib": peak_mib() - before,
        "ap": None if found is None else [float(v) for v in found],
    }


def machine() -> str:
    from reidkit.datasets.cores import usable_cores
    from reidkit.leaderboard.environment import cpu_model

    cores, threads = usable_cores(), os.environ.get("OMP_NUM_THREADS", "all")
    load = os.getloadavg()[0]
    return (
        f"{cpu_model()}, {cores} cores, {threads} threads used, load {load:.1f} at the start; "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "ranking.md")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_one(*options.one)))
        return
    lines = ["# Ranking", "", f"`python benchmarks/ranking.py` on {machine()}.", ""]
    for size, (queries, gallery) in SIZES.items():
        found = {way: in_a_process(__file__, "--one", size, way) for way in WAYS}
        base, reference = found["reidkit, ranks by counting"]["seconds"], found["reidkit, ranks by counting"]["ap"]
        lines += [f"## {size}: {queries} x {gallery}, distances given", ""]
        lines += [
            "| way | ms | times ours | memory beside the distances, MiB | AP agrees to |",
            "|---|---:|---:|---:|---:|",
        ]
        for way, r in found.items():
            if r.get("absent"):
                lines.append(f"| {way} | not installed | | | |")
                continue
            apart = "" if r["ap"] is None else max(abs(a - b) for a, b in zip(r["ap"], reference, strict=False))
            text = "" if apart == "" else "every bit" if apart == 0 else f"1e{math.ceil(math.log10(apart))}"
            mark = " (scaled)" if r["scaled"] else ""
            lines.append(
                f"| {way} | {1e3 * r['seconds']:.1f}{mark} | {r['seconds'] / base:.1f} | {r['mib']:.0f} | {text} |"
            )
        lines.append("")
    lines.append("Scaled: timed on the first queries, times their share. scikit-learn takes tied entries together, ")
    lines.append("the others by gallery order; random distances have few ties, so they differ in few queries.")
    text = "\n".join(lines) + "\n"
    from reidkit.datasets.files import write_atomic

    write_atomic(options.output, text)
    print(text)


if __name__ == "__main__":
    main()
