"""Simulated frames to train and to measure the shipped detector on: `Frames(folder, seeds)`.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/detector_frames.py --work build/detector --split train

One file of pixels and one of boxes for each seed, so that rendering stops and goes on anywhere, and a training that has
begun takes up what was rendered since. Frames pass through H.264 at several qualities and are shrunk by the decoder, as
the footage of a build is.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import av
import numpy as np

from reidkit.datasets.files import atomic_path, write_json
from reidkit.simulator.event import KINDS, make_event
from reidkit.simulator.video import VideoWriter
from reidkit.toolkit.video import fit

SEEDS = {"train": range(1000, 1120), "tune": range(4000, 4012), "test": range(5000, 5012)}
CANVAS = (640, 360)  # width and height that frames are kept at, in pixels; smaller ones lie in its top left corner
BACKGROUND = 114  # grey beyond a smaller frame, as the detector's letterbox has it
TIMES, CAMERAS = 24, 4
LEAST_VISIBLE = 0.02  # of people that are kept at all


def render(folder: Path, seed: int, hard: bool) -> None:
    """Frames of one event, which has its own people, place and cameras, unless they are there.

    Args:
        hard: more people than the builder's benchmark has, other shapes of picture, harder compression.
    """
    pixels, boxes = folder / f"{seed}.npy", folder / f"{seed}.json"
    if boxes.exists():
        return
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    people, size, quality = 10, (640, 360), 21
    if hard:
        people = int(rng.integers(6, 21))
        size = ((640, 360), (640, 360), (640, 360), (854, 480), (640, 480))[rng.integers(5)]
        quality = int(rng.integers(18, 30))
    event = make_event(kind, 0, people, CAMERAS, 24, 5, size, seed)
    only = sorted(rng.choice(len(event), TIMES, replace=False).tolist())
    frames = list(event.frames(only))
    images = np.full((TIMES * CAMERAS, CANVAS[1], CANVAS[0], 3), BACKGROUND, np.uint8)
    rows, width, height = [], *fit(*size, CANVAS)
    for camera in range(CAMERAS):
        with tempfile.TemporaryDirectory() as temporary:
            clip = Path(temporary) / "clip.mp4"
            with VideoWriter(clip, size, 15, quality) as video:
                for pictures, _ in frames:
                    video.write(pictures[camera])
            with av.open(str(clip)) as container:
                for k, frame in enumerate(container.decode(video=0)):
                    small = frame.reformat(width, height, format="rgb24", interpolation="AREA").to_ndarray()
                    images[camera * TIMES + k, :height, :width] = small
        scale = width / size[0]
        for _, truths in frames:
            found = [[*(scale * v for v in box), seen] for _, box, seen in truths[camera] if seen >= LEAST_VISIBLE]
            rows.append([[round(float(v), 3) for v in row] for row in found])
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(pixels) as temporary, open(temporary, "wb") as file:
        np.save(file, images)
    write_json(boxes, {"kind": kind, "width": width, "height": height, "people": rows})


class Frames:
    """What was rendered of some seeds, by number.

    Attributes:
        kinds: [N] of the event. sizes: int [N, 2] width and height of the frame on its canvas.
        people: [N] of float32 [M, 5] corners in pixels and visibility.
    """

    def __init__(self, folder: Path, seeds: range):
        self.pixels, self.people, self.kinds, self.sizes = [], [], [], []
        for seed in seeds:
            if not (folder / f"{seed}.json").exists():
                continue
            said = json.loads((folder / f"{seed}.json").read_text())
            images = np.load(folder / f"{seed}.npy", mmap_mode="r")
            for image, rows in zip(images, said["people"], strict=True):
                table = np.array(rows, np.float32).reshape(-1, 5)
                table[:, 2:4] += table[:, :2]
                self.pixels.append(image)
                self.people.append(table)
                self.kinds.append(said["kind"])
                self.sizes.append((said["width"], said["height"]))

    def __len__(self) -> int:
        return len(self.pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/detector"))
    parser.add_argument("--split", choices=SEEDS, default="train")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="number of this process, and how many run")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for seed in SEEDS[options.split][options.part[0] :: options.part[1]]:
        render(options.work / options.split, seed, hard=options.split == "train")
        print(seed, flush=True)


if __name__ == "__main__":
    main()
