"""How often the builder's confidences are right; writes benchmarks/results/confidence.md and two pictures beside it.

    python benchmarks/confidence.py WORK          # some five minutes where WORK holds the embedded crops

Simulated events of seeds 80 to 89, sports and dance, on which nothing was fitted (`train_confidence.py` uses 70 to
79); how they are made stands in `confidence_events.py`. The embedder is that of the simulator as it is, or weakened:
its features projected at random to 24, 12, 8 or 6 numbers. With `--built RAW...` footage is built by the builder
itself, its own detector, tracks and cuts included, with the embedder as it is and weakened, and judged the same way.
"""

import argparse
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from confidence_events import KINDS, STRENGTHS, made_events
from machine import describe

from reidkit.datasets.format import TRACKLETS
from reidkit.datasets.identities import identity_table, outcomes
from reidkit.leaderboard.report.page import reliability_picture
from reidkit.leaderboard.report.reliability import Reliability, diagram, reliability
from reidkit.toolkit.build import BuildSettings, build
from reidkit.toolkit.detect import load_detector
from reidkit.toolkit.embed import load_embedder, normalise
from reidkit.toolkit.linking.confidence import judge

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS = range(80, 90)
FIGURES = {"tracklet": "tracklets", "pure": "pure", "whole": "whole"}
BUILT_STRENGTHS = (0, 12, 6)
DRAWN = {0: "strong", 6: "weak"}  # strength -> name of its picture
TEXT = """# How often confidences are right

`python benchmarks/confidence.py WORK`, {machine}.

Events of simulated sports and dance, seeds 80 to 89; the models were fitted on seeds 70 to 79. An event has 4 to 12
people, 2 to 4 cameras and 8 to 20 s; half of the people are there for a part of the time or seen by some of the
cameras only. True tracks are cut at random (0.8 to 8 s in the mean), up to 15 % of the parts are lost, and up to 5 %
change over to somebody else. A tracklet is right where it shows its identity's person; an identity is *pure* where 95
% of its crops show one person, and *whole* where it holds 95 % of that person's crops. "Off by" is the expected
calibration error over ten bins. All but the counts in percent.

{table}

![Strong embedder](confidence-strong.svg) ![Features projected to 6 numbers](confidence-weak.svg)
"""
BUILT = """
## Of whole builds

Footage that nothing was fitted on ({names}), built by the builder itself: boxes of its detector, its tracks and cuts.
Fewer identities, so that a share of some dozens is uncertain by some points.

{table}
"""

Told = dict[tuple[int, str], list[tuple[np.ndarray, np.ndarray]]]


def made(work: Path, each: int) -> Told:
    """(strength, figure) -> what was said and what was right, an entry an event."""
    told: Told = {}
    for seed in SEEDS:
        for kind in KINDS:
            for one in made_events(kind, seed, work, each):
                sure = judge(one.found.grouping, one.found.crowd)
                inside = one.found.grouping.label >= 0
                for name, said, right in (
                    ("tracklet", sure.unit[inside], one.right),
                    ("pure", sure.pure, one.pure),
                    ("whole", sure.whole, one.whole),
                ):
                    told.setdefault((one.strength, name), []).append((said, right))
    return told


class Weakened:
    """The simulator's embedder, projected to some numbers."""

    def __init__(self, numbers: int, threads: int | None) -> None:
        self.inner = load_embedder("simulated", threads=threads)
        self.numbers = numbers
        self.name, self.sha256 = f"simulated-{numbers}", f"{numbers:02d}{self.inner.sha256[2:]}"

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        features = self.inner.embed(images)
        rng = np.random.default_rng(self.numbers)
        return normalise(features @ rng.normal(size=(features.shape[1], self.numbers)))


def weakened(numbers: int, threads: int | None = None) -> Weakened:
    return Weakened(numbers, threads)


def built(raws: list[Path], folder: Path) -> Told:
    """The same of whole builds, one folder a set of footage: what doesn't depend on the embedder is done once."""
    told: Told = {}
    for raw in raws:
        for strength in BUILT_STRENGTHS:
            embedder = partial(weakened, strength) if strength else _simulated
            out = folder / raw.name
            build(raw, out, replace(BuildSettings(), name=raw.name), _detector, embedder)
            for name, pair in outcomes(pl.read_parquet(out / TRACKLETS), identity_table(out)).items():
                told.setdefault((strength, name), []).append(pair)
    return told


def _detector(threads: int | None):
    return load_detector("simulated", threads=threads)


def _simulated(threads: int | None):
    return load_embedder("simulated", threads=threads)


def curves(told: Told) -> dict[tuple[int, str], Reliability]:
    return {
        key: reliability(FIGURES[key[1]], *(np.concatenate(side) for side in zip(*pairs, strict=True)))
        for key, pairs in told.items()
    }


def table(told: Told) -> str:
    head = ["figure", "embedder", "number", "mean said", "right", "off by", "0.9 or more", "of these right"]
    lines = [f"| {' | '.join([*head, '0.85 to 0.95', 'of these right'])} |", "|---|---|" + "---:|" * 8]
    found = curves(told)
    for name, title in FIGURES.items():
        for strength in [one for one in STRENGTHS if (one, name) in found]:
            c = found[strength, name]
            said, right = (np.concatenate(side) for side in zip(*told[strength, name], strict=True))
            near = (said >= 0.85) & (said < 0.95)
            shares = [c.said, c.right, c.error]
            cells = [title, f"{strength} numbers" if strength else "as it is", f"{c.count:,}"]
            cells += [f"{100 * value:.1f}" for value in shares]
            cells += [f"{c.surest[0]:,}", "-" if c.surest[1] is None else f"{100 * c.surest[1]:.1f}"]
            cells += [f"{near.sum():,}", f"{100 * right[near].mean():.1f}" if near.any() else "-"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that keeps the embedded crops")
    parser.add_argument("--each", type=int, default=8, help="events made of one set of crops for each strength")
    parser.add_argument("--built", type=Path, nargs="*", default=[], help="simulated footage to build and judge, too")
    options = parser.parse_args()
    told = made(options.work, options.each)
    text = TEXT.format(machine=describe(), table=table(told))
    found = curves(told)
    for strength, name in DRAWN.items():
        picture = reliability_picture(diagram([found[strength, figure] for figure in FIGURES]))
        (RESULTS / f"confidence-{name}.svg").write_text(picture)
    if options.built:
        with tempfile.TemporaryDirectory() as temporary:
            names = ", ".join(raw.name for raw in options.built)
            text += BUILT.format(names=names, table=table(built(options.built, Path(temporary))))
    (RESULTS / "confidence.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
