"""Cameras that pan, tilt and zoom: how well their motion is found, and what it is worth; writes results/moving.md.

    python benchmarks/moving.py                          # sports and dance, seeds 83 and 84; tuned on seeds 70 and 71
    python benchmarks/moving.py --seeds 70 --json

Simulated cameras that move, whose motion between two frames is known to the pixel (a homography: they turn on their
tripods). The error is that of points all over the picture; a similarity can't follow a pan exactly, and the best one
has an error, too. The builds differ in that the camera's motion is given to the tracker or kept from it.
"""

import argparse
import contextlib
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from machine import describe

from reidkit.simulator.moving import homography
from reidkit.simulator.simulate import Settings, plan_event, simulate
from reidkit.toolkit import boxes
from reidkit.toolkit.build import BuildSettings, build
from reidkit.toolkit.camera_path import IDENTITY, moved
from reidkit.toolkit.detect import load_detector
from reidkit.toolkit.discover import discover
from reidkit.toolkit.embed import load_embedder
from reidkit.toolkit.settings import FootageSettings
from reidkit.toolkit.video import probe

RESULTS = Path(__file__).resolve().parent / "results" / "moving.md"
SIZE, PEOPLE, CAMERAS, SECONDS, FPS = (640, 360), 8, 2, 12.0, 15.0
FIGURES = ("idf1", "hota", "midf1", "raw_idf1", "raw_hota", "tracklet_purity")
TEXT = """# Cameras that move

`python benchmarks/moving.py`: simulated cameras that pan by 12 degrees to either side, tilt by 2 and zoom by up to 1.3,
with rests; one event of each kind and seed, 8 people, 2 cameras, 12 s, 640 x 360 at 15 frames/s; seeds {seeds}, which
nothing was tuned on. The shipped detector and embedder.

## The motion found

Of points all over the picture, in pixels: how far they move from one frame to the next, how far off that the motion
found puts them, and the best similarity there is; median / 95 %.

{motion}

## What it is worth

The build with the camera's motion, and with that kept from the tracker; means over the sets, in percent. `raw`: tracks
before linking.

{builds}

Machine of the last run: {machine}.
"""


def grid() -> np.ndarray:
    """[63, 2] points all over the picture."""
    x, y = np.meshgrid(np.linspace(0, SIZE[0], 9), np.linspace(0, SIZE[1], 7))
    return np.stack([x, y], -1).reshape(-1, 2)


def best_similarity(points: np.ndarray, there: np.ndarray) -> np.ndarray:
    """[n, 2] the points [n, 2] by the similarity that comes nearest to `there`, by least squares."""
    one, none = np.ones(len(points)), np.zeros(len(points))
    x, y = points.T
    rows = np.stack([np.stack([x, -y, one, none], 1), np.stack([y, x, none, one], 1)], 1).reshape(-1, 4)
    return (rows @ np.linalg.lstsq(rows, there.ravel(), rcond=None)[0]).reshape(-1, 2)


def errors(raw: Path, settings: Settings) -> dict[str, np.ndarray]:
    """Pixels by which points move, are misplaced by the motion found, and by the best similarity; frames unknown."""
    event, found = plan_event(settings, 0), {name: [] for name in ("shift", "error", "floor")}
    unknown, points = 0, grid()
    detector = load_detector("simulated")
    for source in discover(raw).sources:
        take = probe(source)
        with tempfile.TemporaryDirectory() as home:
            taken = boxes.Detected(lambda: detector)
            steps = taken._detect(take, boxes.settled(FootageSettings(), detector), Path(home))[1]
        path = event.paths[[camera.name for camera in event.cameras].index(source.camera)]
        for step, (before, after) in zip(steps[1:], itertools.pairwise(path), strict=True):
            there = np.concatenate([points, np.ones((len(points), 1))], 1) @ homography(before, after).T
            there = there[:, :2] / there[:, 2:]
            found["shift"].append(np.linalg.norm(there - points, axis=1))
            found["floor"].append(np.linalg.norm(best_similarity(points, there) - there, axis=1))
            if np.isnan(step).any():
                unknown += 1
            else:
                found["error"].append(np.linalg.norm(moved(step, points) - there, axis=1))
    return {name: np.concatenate(values) for name, values in found.items()} | {"unknown": np.array([unknown])}


@contextlib.contextmanager
def kept_from_the_tracker() -> Iterator[None]:
    """The camera is taken to stand."""
    joined = boxes.joined

    def standing(tables: list[pl.DataFrame], frames: np.ndarray) -> np.ndarray:
        return np.tile(IDENTITY, (len(frames), 1, 1))

    boxes.joined = standing
    try:
        yield
    finally:
        boxes.joined = joined


def built(raw: Path, out: Path, tracker: str) -> dict[str, float]:
    """Figures of a build, in percent."""
    settings = BuildSettings(footage=FootageSettings(tracker=tracker))
    outcome = build(
        raw,
        out,
        settings,
        lambda threads: load_detector("simulated", threads=threads),
        lambda threads: load_embedder("simulated", threads=threads),
    )
    return {name: 100 * outcome.manifest["scores"][name] for name in FIGURES}


def two(values: np.ndarray) -> str:
    return f"{np.median(values):.2f} / {np.percentile(values, 95):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=(83, 84))
    parser.add_argument("--kinds", nargs="+", choices=("sports", "dance"), default=("sports", "dance"))
    parser.add_argument("--trackers", nargs="+", default=("looks", "botsort", "bytetrack"))
    parser.add_argument("--folder", type=Path, help="for the footage and the builds, which are taken up again there")
    parser.add_argument("--json", action="store_true", help="print one object and leave the file as it is")
    options = parser.parse_args()
    motion: dict[str, list[dict[str, np.ndarray]]] = {}
    scores: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for kind, seed in itertools.product(options.kinds, options.seeds):
            settings = Settings(kind, PEOPLE, CAMERAS, 1, SECONDS, FPS, *SIZE, seed, moving=True)
            raw = folder / f"{kind}-{seed}"
            simulate(raw, settings, jobs=1)
            motion.setdefault(kind, []).append(errors(raw, settings))
            for tracker in options.trackers:
                out = raw.with_name(f"{raw.name}-dataset")
                scores.setdefault(f"{tracker}, with", []).append(built(raw, out, tracker))
                with kept_from_the_tracker():
                    out = raw.with_name(f"{raw.name}-dataset-without")
                    scores.setdefault(f"{tracker}, without", []).append(built(raw, out, tracker))
    lines = ["| | moves by | error | best similarity | cuts seen |", "|---|---|---|---|---|"]
    for kind, parts in motion.items():
        values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        cells = " | ".join(two(values[name]) for name in ("shift", "error", "floor"))
        lines.append(f"| {kind} | {cells} | {values['unknown'].sum()} |")
    means = {
        name: {key: float(np.mean([one[key] for one in parts])) for key in FIGURES} for name, parts in scores.items()
    }
    table = [f"| tracker | {' | '.join(FIGURES)} |", "|---" * (len(FIGURES) + 1) + "|"]
    table += [f"| {name} | {' | '.join(f'{value:.1f}' for value in one.values())} |" for name, one in means.items()]
    print(json.dumps(means) if options.json else "\n".join([*lines, "", *table]))
    if not options.json:
        seeds = " and ".join(map(str, options.seeds))
        RESULTS.write_text(
            TEXT.format(seeds=seeds, motion="\n".join(lines), builds="\n".join(table), machine=describe())
        )


if __name__ == "__main__":
    main()
