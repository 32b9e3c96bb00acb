"""Linking at the size of a match: time, memory and correctness for 1,000 to 200,000 tracklets of 22 people.

    python benchmarks/linking.py                     # all sizes, some two minutes; writes benchmarks/results/linking.md
    python benchmarks/linking.py 20000               # one size, one line
    python benchmarks/linking.py 20000 --json        # one object: tracklets, seconds, megabytes, precision, recall, …

Made-up embeddings, no footage. Four cameras film a match: 22 people, ten a side in one kit each and two referees, are
in a camera's picture for some 20 s at a time and out of it for as long as makes 75 %; their tracklets last 2.5 s in the
mean, 0.3 s at the least. A tracklet's embedding (128 numbers) is the sum of what all have in common, the kit, the
person, the camera's cast, the person's look in that camera, a slow drift of the person over the match, and noise that
is larger in short tracklets and differs from one to the next. 2 % mix two people, 1 % show nobody. It is noisier than
the simulator's footage is to its embedder: after centring, the cosine of two tracklets of one person is some 0.35, and
that of two people in one kit often more.

Precision and recall are those of pairs of tracklets that show somebody, junk counting as not linked. Seconds are those
of linking alone, megabytes the peak of the whole process, embeddings and Python included.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from reidkit.toolkit.linking import LinkSettings, Observations, link

HERE = Path(__file__).resolve().parent
SIZES = (1_000, 4_000, 20_000, 50_000, 150_000, 200_000)
SHOWN = ("tracklets", "seconds", "megabytes", "precision", "recall", "identities", "left_out")
NUMBERS = 128
# Seconds in the mean: a tracklet, the gap to the next one, a stay in the picture; share of the time in the picture.
LENGTH, GAP, STAY, VISIBLE = 2.5, 0.2, 20.0, 0.75
SHORTEST = 0.3
NOBODY = -1
BEFORE = (
    "The linkage over all pairs that this replaced, on the same tracklets (two cores): 1,000 in 0.5 s with precision "
    "99.9 and recall 82.6, 43 identities; 4,000 in 6.0 s and 0.5 GB with 99.8 and 75.2, 89 identities; 8,000 in 21.9 s "
    "and 1.4 GB with 100.0 and 80.4, 112 identities."
)


def times(count: int, people: int, cameras: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Start, end, camera and person of the first `count` tracklets of a match."""
    match = count / (people * cameras * VISIBLE / (LENGTH + GAP)) * 1.15 + 60
    rows = []
    for person in range(people):
        for camera in range(cameras):
            now = rng.uniform(0, LENGTH)
            while now < match:
                leaves = now + rng.exponential(STAY)
                while now < leaves:
                    end = now + max(SHORTEST, rng.exponential(LENGTH))
                    rows.append((now, end, camera, person))
                    now = end + rng.uniform(GAP - 0.3, GAP + 0.3)
                now += rng.exponential(STAY * (1 - VISIBLE) / VISIBLE)
    rows.sort()
    start, end, camera, person = (np.array(column) for column in zip(*rows[:count], strict=True))
    return start, end, camera, person


def match(count: int, seed: int = 0, people: int = 22, cameras: int = 4) -> tuple[Observations, np.ndarray]:
    """A match's tracklets, and the person whom each shows (NOBODY for some)."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=(*shape, NUMBERS))

    start, end, camera, who = times(count, people, cameras, rng)
    kit = np.arange(people) % 2
    kit[-2:] = 2
    common, kits, faces, casts = 2 * normal(1), normal(3), normal(people), 0.8 * normal(cameras)
    looks = 0.45 * normal(people, cameras)
    minutes = (start // 60).astype(int)
    drift = 0.3 / np.sqrt(30) * normal(people, int(minutes.max()) + 1).cumsum(axis=1)
    noise = (2.5 * rng.random(count) + 0.6 / np.sqrt(end - start)).astype(np.float32)
    mixed, nobody = rng.random(count) < 0.02, rng.random(count) < 0.01
    other = rng.integers(0, people, count)
    features = np.empty((count, NUMBERS), np.float32)
    for k in range(0, count, 10_000):
        rows = slice(k, min(k + 10_000, count))
        person = kits[kit[who[rows]]] + faces[who[rows]]
        second = kits[kit[other[rows]]] + faces[other[rows]]
        person = np.where(mixed[rows, None], 0.6 * person + 0.4 * second, person)
        person += looks[who[rows], camera[rows]] + drift[who[rows], minutes[rows]]
        random = normal(len(person))
        person = np.where(nobody[rows, None], 1.5 * random, person + noise[rows, None] * random)
        features[rows] = common + casts[camera[rows]] + person
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    quality = np.clip(0.9 - 0.4 * rng.random(count) - 0.1 * (end - start < 1), 0.05, 1)
    unknown = np.full(count, -1)
    seen = Observations(features, camera, start, end, quality, must=unknown, annotated=unknown)
    return seen, np.where(nobody, NOBODY, who)


def pair_scores(cluster: np.ndarray, who: np.ndarray) -> tuple[float, float]:
    """Precision and recall of pairs of tracklets that show somebody; a `cluster` below 0 is linked to nobody."""

    def pairs(*keys: np.ndarray) -> int:
        counts = np.unique(np.stack(keys, 1), axis=0, return_counts=True)[1].astype(object)
        return int((counts * (counts - 1) // 2).sum())

    cluster, who = cluster[who != NOBODY], who[who != NOBODY]
    linked = cluster >= 0
    both = pairs(cluster[linked], who[linked])
    return both / max(pairs(cluster[linked]), 1), both / max(pairs(who), 1)


def measure(count: int, seed: int) -> dict[str, float | int]:
    """One linking of `count` tracklets in this process."""
    seen, who = match(count, seed)
    started = time.perf_counter()
    links = link(seen, LinkSettings())
    seconds = time.perf_counter() - started
    precision, recall = pair_scores(links.cluster, who)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    return {
        "tracklets": count,
        "minutes": round(float(seen.end.max()) / 60, 1),
        "seconds": round(seconds, 2),
        "megabytes": round(peak),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "identities": int(links.cluster.max()) + 1,
        "true_identities": len(np.unique(who[who != NOBODY])),
        "left_out": round(float((links.cluster < 0).mean()), 4),
        "seed": seed,
    }


def table(rows: list[dict]) -> str:
    lines = ["| tracklets | minutes of match | seconds | MB | precision | recall | identities (22 true) | junk |"]
    lines.append("|" + "---:|" * 8)
    lines += [
        f"| {r['tracklets']:,} | {r['minutes']} | {r['seconds']:.1f} | {r['megabytes']:,} | {100 * r['precision']:.1f} "
        f"| {100 * r['recall']:.1f} | {r['identities']} | {100 * r['left_out']:.1f} % |"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracklets", type=int, nargs="?", help="one size; without it all of them, written to results/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one object")
    arguments = parser.parse_args()
    if arguments.tracklets is not None:
        found = measure(arguments.tracklets, arguments.seed)
        print(json.dumps(found) if arguments.json else ", ".join(f"{name} {found[name]}" for name in SHOWN))
        return
    rows = []
    for size in SIZES:  # a process each, so that the peak of memory is its own
        command = [sys.executable, __file__, str(size), "--json", "--seed", str(arguments.seed)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(rows[-1], file=sys.stderr)
    if arguments.json:
        print(json.dumps(rows))
        return
    from machine import describe  # it needs torch, whose memory is not linking's

    text = (
        f"# Linking\n\n`python benchmarks/linking.py`, {describe()}.\n"
        "What is made up, and how, stands at the top of that script.\n\n"
        f"{table(rows)}\n\n{BEFORE}\n"
    )
    (HERE / "results" / "linking.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
