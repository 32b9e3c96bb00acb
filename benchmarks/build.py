"""How fast the builder is beside what it must compute, in frames a second; writes benchmarks/results/build.md.

    python benchmarks/build.py                      # renders its footage: sports, 8 people, 2 cameras, 60 s, 640x360
    python benchmarks/build.py --footage raw/ --rounds 3 --json

One process, the same footage and weights for all. `ours`: a whole build, from footage to manifest. `both`: detector and
embedder alone, on exactly the pictures and crops that the build gives them, which lie in memory. `bare`: the detector
alone. `track`: Ultralytics' `track` loop on the same videos, which writes a crop of every box (extra `yolo`). Each is
timed `--rounds` times, in turn, so that a machine's moods meet all; the medians are shown.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from machine import describe

from reidkit.datasets.cores import usable_cores
from reidkit.simulator.simulate import Settings, simulate
from reidkit.toolkit.at_once import in_order, one_thread_a_call
from reidkit.toolkit.build import BuildSettings, build
from reidkit.toolkit.detect import Detector, load_detector
from reidkit.toolkit.discover import discover
from reidkit.toolkit.embed import Embedder, load_embedder
from reidkit.toolkit.sources import Source
from reidkit.toolkit.ultralytics_yolo import import_yolo
from reidkit.toolkit.video import probe

RESULTS = Path(__file__).resolve().parent / "results" / "build.md"
DETECTOR = Path(__file__).resolve().parents[1] / "toolkit" / "assets" / "detector.onnx"
TEXT = """# The builder's speed

`python benchmarks/build.py`: {what}, one process, frames a second; medians of {rounds} rounds.

| | frames/s | of `both` | of `bare` |
|---|---|---|---|
{rows}

`ours`: a whole build, from footage to manifest, with looks. `both`: detector and embedder alone, on the pictures and
crops that the build gives them. `bare`: the detector alone. `track`: Ultralytics' `track` loop with the same weights,
writing a crop of every box. The build embeds {embedded} boxes of {boxes}.

Machine of the last run: {machine}.
"""


class Recorded:
    """A model that keeps what it is given.

    Attributes:
        calls: the images of each call.
    """

    def __init__(self, model: Detector | Embedder, calls: list[list[np.ndarray]] | None = None) -> None:
        self._model = model
        self.calls: list[list[np.ndarray]] = [] if calls is None else calls

    def __getattr__(self, name: str):
        return getattr(self._model, name)

    def one_thread_a_call(self) -> "Recorded":
        return Recorded(one_thread_a_call(self._model), self.calls)

    def _keep(self, images: Sequence[np.ndarray]) -> None:
        self.calls.append([image.copy() for image in images])

    def detect(self, images: Sequence[np.ndarray]):
        self._keep(images)
        return self._model.detect(images)

    def embed(self, images: Sequence[np.ndarray]):
        self._keep(images)
        return self._model.embed(images)


def ours(raw: Path, folder: Path, detector: Detector, embedder: Embedder) -> dict:
    """The manifest of a build from nothing."""
    out = folder / "dataset"
    shutil.rmtree(out, ignore_errors=True)
    return build(raw, out, BuildSettings(), lambda threads: detector, lambda threads: embedder).manifest


def alone(model: Detector | Embedder, call: str, calls: Sequence[list[np.ndarray]], threads: int) -> None:
    """A model on what it was given in a build, several calls at once as the build makes them: the faster way."""
    single = one_thread_a_call(model)
    for _ in in_order(single, getattr(single, call), calls, threads):
        pass


def track(sources: Sequence[Source], folder: Path, size: tuple[int, int], confidence: float) -> None:
    """Ultralytics' loop over all videos."""
    shutil.rmtree(folder / "tracked", ignore_errors=True)
    for source in sources:
        found = import_yolo()(str(DETECTOR), task="detect").track(
            str(source.path),
            stream=True,
            imgsz=size[::-1],
            conf=confidence,
            classes=[0],
            device="cpu",
            save_crop=True,
            verbose=False,
            project=str(folder / "tracked"),
        )
        for _ in found:
            pass


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footage", type=Path, help="in place of simulated one")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the simulated footage")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-track", action="store_true", help="leave Ultralytics out")
    parser.add_argument("--json", action="store_true", help="print one object and leave the file as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        raw = options.footage or folder / "raw"
        if not options.footage:
            simulate(raw, Settings("sports", 8, 2, 1, options.seconds, 15.0, 640, 360, 60), jobs=1)
        sources = discover(raw).sources
        takes = [probe(source) for source in sources]
        frames = sum(take.frame_count for take in takes)
        threads = usable_cores()
        detector, embedder = load_detector("simulated", threads=threads), load_embedder("simulated", threads=threads)
        seen, looked = Recorded(detector), Recorded(embedder)
        manifest = ours(raw, folder, seen, looked)
        if not seen.calls or not looked.calls:
            raise RuntimeError("The build called a model past its recorder; nothing could be compared.")
        work: dict[str, Callable[[], object]] = {
            "ours": partial(ours, raw, folder, detector, embedder),
            "bare": partial(alone, detector, "detect", seen.calls, threads),
            "embedder": partial(alone, embedder, "embed", looked.calls, threads),
        }
        if not options.without_track:
            work["track"] = partial(track, sources, folder, detector.input_size, detector.confidence)
        took = {name: [] for name in work}
        for _ in range(options.rounds):
            for name, one in work.items():
                took[name].append(seconds(one))
    middle = {name: statistics.median(values) for name, values in took.items()}
    middle["both"] = statistics.median(a + b for a, b in zip(took["bare"], took["embedder"], strict=True))
    speed = {name: frames / middle[name] for name in ("ours", "both", "bare", "track") if name in middle}
    if options.json:
        print(json.dumps({name: round(value, 2) for name, value in speed.items()}))
        return
    rows = [
        f"| {name} | {value:.1f} | {value / speed['both']:.2f} | {value / speed['bare']:.2f} |"
        for name, value in speed.items()
    ]
    print("\n".join(rows))
    size = f"{takes[0].width} x {takes[0].height}"
    RESULTS.write_text(
        TEXT.format(
            what=f"{len(takes)} videos of {size} pixels, {frames} frames",
            rounds=options.rounds,
            rows="\n".join(rows),
            embedded=sum(map(len, looked.calls)),
            boxes=manifest["losses"]["boxes"],
            machine=describe(),
        )
    )


if __name__ == "__main__":
    main()
