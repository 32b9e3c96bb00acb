"""How much of people's heads `--blur-faces` covers, by the simulator's truth; writes benchmarks/results/faces.md.

    python benchmarks/faces.py                              # held-out sets: seeds 921 to 923, sports and dance
    python benchmarks/faces.py --seeds 80 81 82 --shares 0.2 0.25 0.3 0.35      # what the region was chosen on
    python benchmarks/faces.py --sets FOLDER                # sets that are there as FOLDER/<kind>-<seed>[-dataset]

Each set is simulated, built with the simulator's own models, and each sixth frame's crops are looked at: which visible
head pixels lie in the covered region, of the crop's own person and of anybody in the crop. Some 3 minutes a set.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from command import reidkit
from head_truth import head_pixels
from machine import describe

from reidkit.datasets import heads
from reidkit.datasets.manifest import read_manifest
from reidkit.datasets.own import frame_table, tracklet_table
from reidkit.simulator.simulate import Settings
from reidkit.toolkit.faces import Bystanders, kind_of, regions_of

RESULTS = Path(__file__).resolve().parent / "results" / "faces.md"
KINDS, SEEDS, STEP = ("sports", "dance"), (921, 922, 923), 6
WHOLE = 0.9  # share of a head that must be covered for it to count as covered


def measured(root: Path, kind: str, seed: int) -> pl.DataFrame:
    """A row a crop: its kind, visible head pixels and covered ones, of its person and of all, and the share covered."""
    truth = {}
    for index in range(2):
        truth.update(head_pixels(Settings(kind=kind, events=2, seed=seed), index, range(0, 180, STEP)))
    tracklets, frames, sources = tracklet_table(root), frame_table(root), read_manifest(root).sources
    bystanders = Bystanders(tracklets, frames)
    sizes = {(s.event, s.camera): (s.width, s.height) for s in sources}
    facts = tracklets.select("truth", "event", "camera", tracklet="id")
    rows, generator = [], np.random.default_rng(0)
    for row in frames.filter(pl.col("frame") % STEP == 0).join(facts, on="tracklet").iter_rows(named=True):
        place = row["event"], row["camera"]
        width, height = sizes[place]
        x1, y1 = max(0, int(np.floor(row["x1"]))), max(0, int(np.floor(row["y1"])))
        x2, y2 = min(width, int(np.ceil(row["x2"]))), min(height, int(np.ceil(row["y2"])))
        noise = generator.integers(0, 256, (y2 - y1, x2 - x1, 3), dtype=np.uint8)
        covered = (heads.cover(noise, regions_of(row, bystanders.near(row))) != noise).any(2)
        own = everybody = own_hit = hit = 0
        for person, (ys, xs) in truth.get((*place, row["frame"]), {}).items():
            inside = (ys >= y1) & (ys < y2) & (xs >= x1) & (xs < x2)
            seen, found = int(inside.sum()), int(covered[ys[inside] - y1, xs[inside] - x1].sum())
            everybody, hit = everybody + seen, hit + found
            if person == row["truth"]:
                own, own_hit = seen, found
        rows.append((kind, seed, kind_of(row), own, own_hit, everybody, hit, float(covered.mean())))
    columns = ("kind", "seed", "crop", "own", "own_hit", "all", "all_hit", "covered")
    return pl.DataFrame(rows, schema=columns, orient="row")


def figures(table: pl.DataFrame) -> list[str]:
    """The cells of a line: crops, recall of head pixels (own, all), heads of which 90 % is covered, share covered."""
    with_head = table.filter(pl.col("own") > 0)
    whole = (with_head["own_hit"] >= WHOLE * with_head["own"]).mean()
    own, everybody = (table[f"{n}_hit"].sum() / max(table[n].sum(), 1) for n in ("own", "all"))
    return [str(len(table)), *(f"{100 * v:.1f}" for v in (own, whole, everybody, table["covered"].mean()))]


def sets(folder: Path, seeds: Sequence[int]) -> list[tuple[Path, str, int]]:
    """The built sets, made where they are not there yet."""
    found = []
    for seed in seeds:
        for kind in KINDS:
            raw = folder / f"{kind}-{seed}"
            root = raw.with_name(f"{raw.name}-dataset")
            if not (root / "dataset.json").exists():
                reidkit("simulate", raw, "--kind", kind, "--events", "2", "--seed", str(seed))
                models = ("--detector", "simulated", "--embedder", "simulated")
                reidkit("build-dataset", raw, "-o", root, *models)
            found.append((root, kind, seed))
    return found


TEXT = """# How much of people's heads is covered

`python benchmarks/faces.py`: simulated sports and dance, seeds {seeds}, on which nothing was chosen; two events a set,
8 people, 3 cameras, 12 s at 640 x 360, each sixth frame's crops of sets that the builder made with its own detector.
The region goes by proportion (`datasets/heads.py`), no face detector. In percent: of the visible pixels of heads
(skull, face and hair, not the neck) that lie in a crop, those that are covered; heads of which at least {whole:.0%} is
covered; and what of the crop that costs.

| crops | number | own head's pixels | own heads covered | anybody's head pixels | of the crop covered |
|---|---|---|---|---|---|
{rows}

The region's height was chosen on seeds 80 to 82, where 0.15 of the box covers 98.8 %, and 0.30 was taken for what the
simulator doesn't show: its dancers hold their arms aside more than above their heads, nobody dives or lies down, and
boxes are those of a detector made for these figures. On real footage less is covered. {machine}.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--shares", type=float, nargs="+", help="Only print figures for these shares of the height.")
    parser.add_argument("--sets", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made = sets(given.sets or Path(temporary), given.seeds)
        if given.shares:
            for share in given.shares:
                heads.DOWN = share
                table = pl.concat([measured(*one) for one in made])
                print(share, *figures(table))
                for (name,), part in sorted(table.group_by("crop")):
                    print("   ", name, *figures(part))
            return
        table = pl.concat([measured(*one) for one in made])
    groups = [("all", table), *((kind, table.filter(kind=kind)) for kind in KINDS)]
    groups += [(name, part) for (name,), part in sorted(table.group_by("crop"))]
    rows = "\n".join("| " + " | ".join([name, *figures(part)]) + " |" for name, part in groups)
    RESULTS.write_text(TEXT.format(seeds=", ".join(map(str, given.seeds)), whole=WHOLE, rows=rows, machine=describe()))
    print(rows)


if __name__ == "__main__":
    main()
