"""What the floor brings, and how right it is; writes results/floor.md.

    python benchmarks/floor.py --folder FOLDER                      # renders into FOLDER, or takes what lies there
    python benchmarks/floor.py --folder FOLDER --sets sports-80 --json
    python benchmarks/floor.py --folder FOLDER --footage ../shared/footage/pose2sim-multiperson \\
        --weights ../shared/weights

Simulated sets of one event; the embedder is weakened by projecting what linking sees of each crop to 12 and to 6
numbers by a random matrix (tracks are those of the full embedder). Homographies are compared with the cameras of
truth.json, clocks with a shift that is put into the footage's times, and drift with ten minutes of simulated play, of
which only the feet are computed.
"""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl
from ladder import TrueTracks, extract, linked
from machine import describe

from reidkit.datasets.truth import Calibration, read_truth
from reidkit.simulator.simulate import Settings, plan_event, simulate
from reidkit.toolkit import events
from reidkit.toolkit.boxes import Detected
from reidkit.toolkit.detect import load_detector
from reidkit.toolkit.discover import discover
from reidkit.toolkit.embed import load_embedder
from reidkit.toolkit.events import propose
from reidkit.toolkit.floor.event import event_floor
from reidkit.toolkit.floor.feet import FootTrack
from reidkit.toolkit.floor.find import find_floor
from reidkit.toolkit.floor.homography import transfer
from reidkit.toolkit.floor.settings import FloorSettings
from reidkit.toolkit.matching import VISIBLE
from reidkit.toolkit.pieces import SourceWork
from reidkit.toolkit.settings import EventSettings, FootageSettings
from reidkit.toolkit.truth import truth_boxes
from reidkit.toolkit.video import probe

RESULTS = Path(__file__).resolve().parent / "results" / "floor.md"
SETS = ("sports-80", "dance-81", "sports-82", "dance-83")
PEOPLE, CAMERAS, SECONDS = 10, 4, 14.0
NUMBERS = (None, 12, 6)  # of the embedding
LATE = (0.0, 0.7, -0.4, 0.3)  # seconds by which the cameras' clocks are made wrong
DRIFT, LONG = 200e-6, 600.0
FIGURES = {"link_precision": "link P", "link_recall": "link R", "midf1": "mIDF1", "idf1": "IDF1"}
TEXT = """# The floor

`python benchmarks/floor.py`: simulated sets of one event, 10 people, 4 cameras, 14 s, 640 x 360 at 15 frames/s; seeds
that nothing was tuned on (the floor was made on 71 to 74). The shipped detector and embedder; *12* and *6*: what
linking sees of the embedding is projected to so many numbers by a random matrix. {machine}.

## What it brings

Without / with the floor, in percent. *True tracks*: the annotated people of whom 30 % can be seen, a track each.
*Build*: all stages.

{links}

Means over the sets:

{means}

## How right it is

Found from the build's tracks by looks alone, without any calibration. *Homography*: metres by which a foot's place
differs from where the true cameras put it after crossing from one picture to the other, over all pairs of cameras,
median and 90 %. *Clocks*: the cameras' times are made wrong by 0.7, -0.4 and 0.3 s; largest error of the correction, in
seconds.

{homographies}

Drift: ten minutes of simulated play, seed 80, of which only feet are computed (10 people, 4 cameras, tracklets of 20 s,
noise of 3 % of the body's height, one embedding in four is another person's). One camera's clock is 0.7 s late and
drifts by 200 ppm: {drift}.

{footage}
"""


def weakened(works: Sequence[SourceWork], numbers: int | None) -> list[SourceWork]:
    """The works with embeddings projected to so many numbers; None leaves them."""
    if numbers is None:
        return list(works)
    width = works[0].crops.features.shape[1]
    matrix = np.random.default_rng(0).normal(size=(width, numbers))
    found = []
    for work in works:
        features = work.crops.features @ matrix
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        found.append(replace(work, crops=replace(work.crops, features=features.astype(np.float32))))
    return found


def settings_of(use: str) -> EventSettings:
    return EventSettings(floor=FloorSettings(use=use))


def set_rows(name: str, folder: Path) -> tuple[list[dict], dict]:
    """The figures of one set with and without the floor, and how right the floor is."""
    kind, seed = name.split("-")
    raw = folder / f"{kind}-seed-{seed}"
    if not (raw / "truth.json").is_file():
        simulate(raw, Settings(kind, PEOPLE, CAMERAS, 1, SECONDS, seed=int(seed)), jobs=1)
    load, embed = cache(lambda: load_detector("simulated")), load_embedder("simulated")
    takes = [probe(source) for source in discover(raw).sources]
    truth = {take.source.key: truth_boxes(take.source.truth) for take in takes if take.source.truth}
    visible = {key: table.filter(table["visibility"] >= VISIBLE) for key, table in truth.items()}
    confidence = Detected(load).settle(FootageSettings()).confidence or 0.0
    rows, works = [], []
    for rung in ("true tracks", "build"):
        works = []
        for take in takes:
            true = TrueTracks(load, lambda: embed, visible[take.source.key], "true-tracks")
            boxes = true if rung == "true tracks" else Detected(load, lambda: embed)
            works.append(extract(take, boxes, embed, folder / f"{name}-{rung.replace(' ', '-')}"))
        for numbers in NUMBERS:
            some = weakened(works, numbers)
            for use in ("off", "auto"):
                figures = linked(some, truth, confidence, settings_of(use))
                rows.append({"set": name, "tracks": rung, "numbers": numbers or "all", "floor": use, **figures})
                print(json.dumps(rows[-1], default=str), flush=True)
    return rows, accuracy(name, works, read_truth(raw / "truth.json").calibration)


def accuracy(name: str, works: Sequence[SourceWork], calibration: dict) -> dict:
    """How right the floor is that the build's tracks give."""
    event = works[0].take.source.event
    cameras = [floor_of(calibration[event][work.take.source.camera]) for work in works]
    pieces = [piece for piece in events.cut_event(list(works), EventSettings()) if not piece.excluded]
    floor = event_floor(works, pieces, events._observe(pieces), FloorSettings())
    if floor.feet is None or floor.floor.frame is None:
        return {"set": name, "note": floor.floor.facts["note"]}
    frame, feet = floor.floor.frame, floor.feet
    errors = []
    for a, b in itertools.permutations(sorted(frame.on_floor), 2):
        points = feet.point[feet.camera == a]
        true = transfer(cameras[a], points)
        crossed = transfer(np.linalg.inv(frame.on_floor[b]) @ frame.on_floor[a], points)
        near = np.abs(true).max(1) < 9
        errors.append(np.linalg.norm(transfer(cameras[b], crossed) - true, axis=1)[near])
    error = np.concatenate(errors)
    late = [
        replace(work, take=replace(work.take, source=replace(work.take.source, offset=wrong)))
        for work, wrong in zip(works, LATE, strict=True)
    ]
    pieces = [piece for piece in events.cut_event(late, EventSettings()) if not piece.excluded]
    moved = event_floor(late, pieces, events._observe(pieces), FloorSettings()).floor
    found = np.array([moved.clocks[k][0] if k in moved.clocks else np.nan for k in range(len(works))])
    wrong = found + np.array(LATE)
    return {
        "set": name,
        "held_out": [f"{p['agreed']}/{p['matches']}" for p in floor.floor.facts["pairs"]],
        "homography": [float(np.quantile(error, q)) for q in (0.5, 0.9)],
        "clocks": float(np.abs(wrong - wrong[0]).max()),
        "clock_notes": [facts["clock"] for facts in moved.facts.get("cameras", {}).values()],
    }


def floor_of(camera: Calibration) -> np.ndarray:
    """[3, 3] pixels to metres."""
    rotation = np.array(camera.R)
    return np.linalg.inv(np.array(camera.K) @ np.column_stack([rotation[:, 0], rotation[:, 1], camera.t]))


def drift_found(seed: int = 80) -> dict:
    """Offset and drift found in ten minutes of which only the feet are computed."""
    rng = np.random.default_rng(seed)
    event = plan_event(Settings("sports", PEOPLE, CAMERAS, 1, LONG, 5.0, seed=seed), 0)
    place = event.performance.pose[:, :, :2]  # [T, N, 2] metres
    time = np.arange(len(place)) * 0.2
    looks = rng.normal(size=(PEOPLE, 16)) / 4
    tracks, features = [], []
    for k, camera in enumerate(event.cameras):
        for who in range(PEOPLE):
            ground = np.concatenate([place[:, who], np.zeros((len(place), 1))], 1)
            pixel = camera.project(ground)[0]
            tall = pixel[:, 1] - camera.project(ground + np.array([0, 0, 1.7]))[0][:, 1]
            seen = ((pixel > 0) & (pixel < [camera.size[0], camera.size[1]])).all(1)
            pixel = pixel + rng.normal(size=pixel.shape) * tall[:, None] * 0.03
            for start in range(0, len(time), 100):
                rows = np.flatnonzero(seen[start : start + 100]) + start
                late = (0.7 + DRIFT * time[rows]) * (k == 1)
                spread = np.column_stack([tall[rows], tall[rows]]) * 0.03
                tracks.append(FootTrack(k, time[rows] - late, pixel[rows], spread, tall[rows]))
                shown = who if rng.random() > 0.25 else int(rng.integers(PEOPLE))
                vector = looks[shown] + rng.normal(size=16) * 0.1
                features.append(vector / np.linalg.norm(vector))
    names = [camera.name for camera in event.cameras]
    none = [None] * CAMERAS
    floor = find_floor(names, tracks, np.array(features), {}, none, [0.0] * CAMERAS, FloorSettings())
    clocks = np.array([floor.clocks[k] for k in range(CAMERAS)])
    others = [0, 2, 3]
    return {
        "offset": float(clocks[1, 0] - clocks[others, 0].mean()),
        "drift_ppm": float(clocks[1, 1] - clocks[others, 1].mean()) * 1e6,
        "others_ppm": float(np.ptp(clocks[others, 1])) * 1e6,
    }


def footage_rows(raw: Path, weights: Path, folder: Path) -> Iterator[dict]:
    """Identities of real footage of which nobody annotated who is who."""
    load = cache(lambda: load_detector(str(weights / "yolox_nano.onnx")))
    embed = load_embedder(weights / "osnet_x0_25_msmt17.onnx")
    works = [extract(probe(s), Detected(load, lambda: embed), embed, folder / "footage") for s in discover(raw).sources]
    for numbers, use in itertools.product(NUMBERS, ("off", "auto")):
        found = propose(weakened(works, numbers), settings_of(use))
        people = found.tracklets.filter(found.tracklets["cluster"] >= 0)
        cameras = people.group_by("cluster").agg(pl.col("camera").n_unique().alias("cameras"))
        yield {
            "numbers": numbers or "all",
            "floor": use,
            "tracklets": len(found.tracklets),
            "identities": people["cluster"].n_unique(),
            "in all cameras": int((cameras["cameras"] == len(works)).sum()),
            "note": found.floor.get("note", ""),
            "pairs": [f"{p['agreed']}/{p['matches']}" for p in found.floor.get("pairs", [])],
        }


def table(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def both(off: dict, on: dict, key: str) -> str:
    return f"{percent(off.get(key))} / {percent(on.get(key))}"


def report(rows: Sequence[dict], right: Sequence[dict], drift: dict, footage: Sequence[dict]) -> str:
    """The results' text."""
    pairs = list(zip(rows[::2], rows[1::2], strict=True))  # without, with
    links = [
        [
            *(off[key] for key in ("set", "tracks", "numbers")),
            *(both(off, on, key) for key in FIGURES),
            f"{off['identities']} / {on['identities']} of {on['true_identities']}",
        ]
        for off, on in pairs
    ]
    means = []
    for rung, numbers in itertools.product(("true tracks", "build"), NUMBERS):
        mine = [(a, b) for a, b in pairs if a["tracks"] == rung and a["numbers"] == (numbers or "all")]
        if mine:
            sides = [{key: fmean(pair[side][key] or 0 for pair in mine) for key in FIGURES} for side in range(2)]
            means.append([rung, numbers or "all", *(both(*sides, key) for key in FIGURES)])
    accuracies = [
        [r["set"], r["note"], "-", "-"]
        if "note" in r
        else [
            r["set"],
            ", ".join(r["held_out"]),
            " / ".join(f"{value:.2f}" for value in r["homography"]),
            f"{r['clocks']:.2f}",
        ]
        for r in right
    ]
    drifting = (
        f"{drift['offset']:.2f} s and {drift['drift_ppm']:.0f} ppm are found, and the right clocks of the others "
        f"differ by up to {drift['others_ppm']:.0f} ppm"
    )
    real = ""
    if footage:
        head = list(footage[0])
        real = (
            "## Real footage\n\nFour cameras, 100 frames at 60 frames/s each (`../shared/footage`), YOLOX-nano and "
            "OSNet x0.25; nobody annotated who is who.\n\n"
            + table(head, [[", ".join(r[k]) if isinstance(r[k], list) else r[k] for k in head] for r in footage])
        )
    return TEXT.format(
        machine=describe(),
        links=table(["set", "tracks", "numbers", *FIGURES.values(), "identities"], links),
        means=table(["tracks", "numbers", *FIGURES.values()], means),
        homographies=table(["set", "held-out matches that agree", "homography", "clocks"], accuracies),
        drift=drifting,
        footage=real,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="For footage and work; what lies there is used.")
    parser.add_argument("--sets", nargs="+", default=list(SETS), metavar="KIND-SEED")
    parser.add_argument("--footage", type=Path, help="Real footage of one event.")
    parser.add_argument("--weights", type=Path, help="Folder of the weights for real footage.")
    parser.add_argument("--json", action="store_true", help="Print the figures; results/floor.md stays as it is.")
    args = parser.parse_args()
    rows, right = [], []
    for name in args.sets:
        found, accurate = set_rows(name, args.folder)
        rows += found
        right.append(accurate)
        print(json.dumps(accurate), flush=True)
    drift = drift_found()
    print(json.dumps(drift), flush=True)
    footage = list(footage_rows(args.footage, args.weights, args.folder)) if args.footage else []
    for row in footage:
        print(json.dumps(row), flush=True)
    if not args.json:
        RESULTS.write_text(report(rows, right, drift, footage))


if __name__ == "__main__":
    main()
