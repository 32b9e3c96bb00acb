"""Who stands in two events: candidates of the builder against the truth; writes benchmarks/results/returning.md.

    python benchmarks/returning.py --sets sports:874 dance:875 sports:876 dance:877     # some ten minutes on two cores

Two simulated events a set share some of their people, who wear the same clothes in another place under another light.
A candidate is right where most of both identities' crops show one person; a person is to be found whom both events have
an identity of.
"""

import argparse
import json
import tempfile
from pathlib import Path

import polars as pl
from command import reidkit
from machine import describe

RESULTS = Path(__file__).resolve().parent / "results" / "returning.md"
PEOPLE, RETURNING = 8, 3
HEADER = ("set", "in both events", "candidates", "right", "recall", "precision", "`check`")
TEXT = f"""# Who stands in two events

`python benchmarks/returning.py`: sets of two simulated events of {PEOPLE} people, {RETURNING} of whom stand in both, in
another place under another light; two cameras, 6 s, 640 x 360 at 10 frames/s. Nothing was tuned on these sets.
Candidates are those that the build writes into its manifest. Two events that share a person can't be divided without
him; `check` then fails.

"""


def measure(raw: Path) -> tuple[int, int, int, bool]:
    """People in both events who can be found, candidates, right ones, and whether `check` is content."""
    out = raw.with_name(f"{raw.name}-dataset")
    reidkit("build-dataset", raw, "-o", out, "--detector", "simulated", "--embedder", "simulated", "--json")
    same = json.loads((out / "dataset.json").read_text())["same_person"]
    people = pl.read_parquet(out / "tracklets.parquet").filter(kind="person").drop_nulls("truth")
    shown = people.group_by("event", "identity", "truth").agg(pl.col("frames").sum())
    most = shown.sort("frames", "truth", descending=[True, False]).unique("identity", keep="first")
    person = dict(most.select("identity", "truth").iter_rows())
    events = most.group_by("truth").agg(pl.col("event").n_unique())
    right = sum(person.get(a, -1) == person.get(b, -2) for a, b in (one["identities"] for one in same))
    sides = dict(people.select("identity", "split").iter_rows())
    apart = any(sides[a] != sides[b] for a, b in (one["identities"] for one in same))
    return len(events.filter(pl.col("event") > 1)), len(same), right, not apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=("sports:874", "dance:875"), help="kind:seed of each set")
    parser.add_argument("--work", type=Path, help="keep footage and datasets here [default: a temporary folder]")
    options = parser.parse_args()
    rows, total = [], [0, 0, 0]
    with tempfile.TemporaryDirectory() as temporary:
        for kind, seed in (name.split(":") for name in options.sets):
            raw = (options.work or Path(temporary)) / f"{kind}-seed-{seed}"
            if not (raw / "truth.json").exists():
                cast = ["--people", PEOPLE, "--returning", RETURNING, "--cameras", 2, "--events", 2]
                reidkit("simulate", raw, "--kind", kind, "--seed", seed, *cast, "--seconds", 6, "--fps", 10)
            *counts, whole = measure(raw)
            rows.append(row(f"{kind} seed {seed}", *counts, "passes" if whole else "fails"))
            total = [a + b for a, b in zip(total, counts, strict=True)]
    rows.append(row("all", *total, ""))
    table = [HEADER, ("---",) * len(HEADER), *rows]
    RESULTS.write_text(
        TEXT + "\n".join("| " + " | ".join(cells) + " |" for cells in table) + f"\n\nMachine: {describe()}.\n"
    )
    print(RESULTS.read_text())


def row(title: str, there: int, found: int, right: int, whole: str) -> tuple[str, ...]:
    recall, precision = (f"{100 * right / n:.0f}" if n else "-" for n in (there, found))
    return (title, str(there), str(found), str(right), recall, precision, whole)


if __name__ == "__main__":
    main()
