"""Renders the README's pictures of the simulator: one moment from three cameras, for each kind.

    .venv/bin/python benchmarks/simulator_stills.py --seed 4 --second 4.0

It writes docs/images/simulator-<kind>.jpg.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from reidkit.simulator.event import KINDS, make_event

MOST_BYTES = 250_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--second", type=float, default=4.0)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for kind in options.kind or KINDS:
        event = make_event(kind, 0, options.people, 3, options.second + 1, 15, (1280, 720), options.seed)
        pictures, _ = next(event.frames([round(options.second * 15)]))
        gap = np.full((540, 6, 3), 255, np.uint8)
        small = [cv2.resize(p, (960, 540), interpolation=cv2.INTER_AREA) for p in pictures]
        row = np.hstack([small[0], gap, small[1], gap, small[2]])
        for quality in (88, 80, 72, 64, 56, 48):
            data = cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1]
            if data.nbytes < MOST_BYTES:
                break
        (options.out / f"simulator-{kind}.jpg").write_bytes(data.tobytes())


if __name__ == "__main__":
    main()
