"""What a detector of simulated footage finds, by visibility, place and size; and the export of a training's state.

    .venv/bin/python benchmarks/measure_detector.py --work build/detector export detector.onnx
    .venv/bin/python benchmarks/measure_detector.py --work build/detector score detector.onnx --split tune
    .venv/bin/python benchmarks/measure_detector.py --work build/detector table before.onnx detector.onnx

`score` prints recall and precision over thresholds, on the seeds to tune on; `table` writes results/detector.md and
detector.json from seeds that nothing was trained or tuned on, at the thresholds given.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from detector_frames import CANVAS, SEEDS, Frames
from machine import describe
from supervision import box_iou_batch

from reidkit.datasets.files import write_json
from reidkit.toolkit.matching import VISIBLE, match
from reidkit.toolkit.video import fit
from reidkit.toolkit.yolo_onnx import OnnxDetector

NAMES = "{0: 'person'}"
SECOND = 0.3  # intersection over union with somebody from which a false box is a second one on a person
VISIBLE_BINS = ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.99), (0.99, 1.01))
HEIGHT_BINS = ((0, 48), (48, 96), (96, 144), (144, 10_000))
RESULTS = Path(__file__).resolve().parent / "results" / "detector.md"
TEXT = """# The shipped detector

`benchmarks/measure_detector.py table`: {frames} frames of seeds {seeds}, which nothing was trained or tuned on: sports
and dance, 10 people, 4 cameras, 640x360, through H.264. Recall in percent of the people of whom at least 30 % is seen,
found with an intersection over union of 0.5; a box on somebody hardly seen is no mistake. Thresholds were chosen on
other seeds. Time is that of one processor for one frame. Trained for {minutes:.0f} minutes, in {runs} run(s) of
`benchmarks/train_detector.py`, on two cores that much other work shared: {batches} batches, {looked} looks at
{train_frames} frames, from the features of the detector before (57 minutes).
It has seen rendered people only and is no detector for real footage.

"""


def export(folder: Path, target: Path, sparse: bool) -> None:
    """The moving average of `folder`'s state as an ONNX file of dynamic size, in the layout of Ultralytics' exports."""
    import onnx
    import torch
    from detector_network import Exported
    from train_detector import INPUT, begin, prepare_ultralytics

    prepare_ultralytics(folder.resolve())
    state = begin(folder / "state.pt", None, None)
    whole = Exported(state.average.eval(), sparse).eval()
    axes = {"images": {0: "batch", 2: "height", 3: "width"}, "output0": {0: "batch", 2: "anchors"}}
    torch.onnx.export(
        whole,
        (torch.zeros(1, 3, *INPUT),),
        str(target),
        input_names=["images"],
        output_names=["output0"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(str(target))
    said = {"imgsz": str(list(INPUT)), "names": NAMES, "description": "Detector of reidkit's simulated footage"}
    for key, value in said.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(target))
    facts = {"minutes": round(state.seconds / 60, 1), "runs": state.runs - 1, "batches": state.step}
    facts |= {"looked": state.looked, "train_frames": len(Frames(folder / "train", SEEDS["train"]))}
    write_json(folder / "training.json", facts)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, {state.seconds / 60:.1f} min, {state.step} batches")


@dataclass(frozen=True)
class Found:
    """What a detector found in some frames.

    Attributes:
        boxes: a frame each [M, 5], corners in pixels of the frame and confidence.
        milliseconds: of one processor, a frame; independent of what else the machine does.
    """

    boxes: list[np.ndarray]
    milliseconds: float


def found_by(path: Path, frames: Frames, numbers: list[int], confidence: float) -> Found:
    """What the file finds in the frames `numbers`, shrunk to its input as a build's decoder does."""
    detector = OnnxDetector(path, name=path.stem, sha256="", confidence=confidence, threads=1)
    boxes, spent = [], 0.0
    for number in numbers:
        width, height = frames.sizes[number]
        image = np.ascontiguousarray(frames.pixels[number][:height, :width])
        fitted = fit(width, height, detector.input_size)
        if fitted != (width, height):
            image = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA)
        began = time.process_time()
        (people,) = detector.detect([image])
        spent += time.process_time() - began
        corners = people.xyxy * (width / fitted[0])
        boxes.append(np.concatenate([corners, people.confidence[:, None]], 1).reshape(-1, 5))
    return Found(boxes, 1000 * spent / len(numbers))


@dataclass(frozen=True)
class Outcomes:
    """What became of every person to be found, and of every box.

    Attributes:
        hit, edge, sports: bool [people]; `edge`: the box touches the frame's border. visible: [people] 0..1.
        height: [people] pixels.
        box: int [boxes] 0 right, or on somebody of whom less than `VISIBLE` is seen; 1 a second box on somebody; 2 on
            nobody.
    """

    hit: np.ndarray
    visible: np.ndarray
    height: np.ndarray
    edge: np.ndarray
    sports: np.ndarray
    box: np.ndarray

    def recall(self, which: np.ndarray | None = None) -> float:
        chosen = self.hit if which is None else self.hit[which]
        return float(chosen.mean()) if len(chosen) else float("nan")

    def share(self, kind: int) -> float:
        return float((self.box == kind).mean()) if len(self.box) else float("nan")


def outcomes(frames: Frames, numbers: list[int], found: list[np.ndarray], threshold: float) -> Outcomes:
    """Compares boxes of at least that confidence with the truth, as the build's scores do."""
    people, kinds = [np.zeros((0, 5))], [np.zeros(0, int)]
    for number, boxes in zip(numbers, found, strict=True):
        table = frames.people[number]
        mine = boxes[boxes[:, 4] >= threshold, :4]
        seen = table[:, 4] >= VISIBLE
        overlap = box_iou_batch(table[:, :4], mine) if len(table) and len(mine) else np.zeros((len(table), len(mine)))
        hit, kind = np.zeros(len(table), bool), np.full(len(mine), 2)
        for i, j in match(overlap, seen):
            hit[i], kind[j] = True, 0
        if len(table):
            kind[(kind == 2) & (overlap.max(0, initial=0.0) >= SECOND)] = 1
        width, height = frames.sizes[number]
        edge = (table[:, :2] < 1).any(1) | (table[:, 2] > width - 1) | (table[:, 3] > height - 1)
        sports = np.full(len(table), frames.kinds[number] == "sports")
        people.append(np.stack([hit, table[:, 4], table[:, 3] - table[:, 1], edge, sports], 1)[seen])
        kinds.append(kind)
    hit, visible, height, edge, sports = np.concatenate(people).T
    return Outcomes(hit > 0, visible, height, edge > 0, sports > 0, np.concatenate(kinds))


def columns(o: Outcomes) -> dict[str, float]:
    """Shares in 0..1 under the table's heads."""
    row = {"recall": o.recall(), "sports": o.recall(o.sports), "dance": o.recall(~o.sports)}
    row |= {"precision": o.share(0), "second boxes": o.share(1)}
    for low, high in VISIBLE_BINS:
        name = f"seen {low:g}-{high:g}" if high < 1 else f"seen > {low:g}"
        row[name] = o.recall((o.visible >= low) & (o.visible < high))
    row |= {"at the edge": o.recall(o.edge), "inside": o.recall(~o.edge)}
    for low, high in HEIGHT_BINS:
        name = f"{low}-{high} px" if high < 10_000 else f"from {low} px"
        row[name] = o.recall((o.height >= low) & (o.height < high))
    return row


def score(path: Path, frames: Frames, numbers: list[int]) -> None:
    """Prints the table's row at many thresholds."""
    found = found_by(path, frames, numbers, 0.1).boxes
    for threshold in np.arange(0.15, 0.66, 0.05):
        row = columns(outcomes(frames, numbers, found, threshold))
        print(f"{threshold:.2f} " + ", ".join(f"{name} {value:.3f}" for name, value in row.items()), flush=True)


def table(models: list[tuple[Path, float]], work: Path, every: int) -> None:
    """benchmarks/results/detector.md and detector.json."""
    frames = Frames(work / "test", SEEDS["test"])
    numbers = list(range(0, len(frames), every))
    rows, facts = {}, {}
    for name, (path, threshold) in zip(("before", "after"), models, strict=True):
        found = found_by(path, frames, numbers, 0.1)
        o = outcomes(frames, numbers, found.boxes, threshold)
        rows[name] = columns(o)
        size = OnnxDetector(path, name="", sha256="", confidence=0.1, threads=1).size_for(*CANVAS)
        facts[name] = {
            "threshold": threshold,
            "input": f"{size[0]}x{size[1]}",
            "file_MB": round(path.stat().st_size / 1e6, 2),
            "ms_a_frame": round(found.milliseconds, 1),
        }
    trained = json.loads((work / "training.json").read_text())
    results = {"frames": len(numbers), "people": len(o.hit), **trained, "machine": describe()}
    results |= {name: facts[name] | {k: round(v, 4) for k, v in row.items()} for name, row in rows.items()}
    write_json(RESULTS.with_suffix(".json"), results)
    counts = {name: int(n) for name, n in zip(rows["after"], numbers_of(o), strict=True)}
    lines = ["| | people | before | after |", "|---|---|---|---|"]
    for name in rows["after"]:
        cells = (f"{100 * rows[when][name]:.1f}" for when in ("before", "after"))
        lines.append(f"| {name} | {counts[name] or ''} | {' | '.join(cells)} |")
    ends = {"threshold": "threshold", "input": "input", "file, MB": "file_MB", "time a frame, ms": "ms_a_frame"}
    for name, key in ends.items():
        lines.append(f"| {name} | | {facts['before'][key]} | {facts['after'][key]} |")
    text = TEXT.format(frames=len(numbers), seeds=f"{SEEDS['test'][0]}-{SEEDS['test'][-1]}", **trained)
    RESULTS.write_text(text + "\n".join(lines) + f"\n\nMachine: {describe()}.\n")
    print(RESULTS.read_text())


def numbers_of(o: Outcomes) -> list[int]:
    """How many people stand behind each of `columns`; 0 where it counts boxes."""
    row = [len(o.hit), o.sports.sum(), (~o.sports).sum(), 0, 0]
    row += [((o.visible >= low) & (o.visible < high)).sum() for low, high in VISIBLE_BINS]
    row += [o.edge.sum(), (~o.edge).sum()]
    return row + [((o.height >= low) & (o.height < high)).sum() for low, high in HEIGHT_BINS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/detector"))
    parser.add_argument("--every", type=int, default=1, help="look at one frame in so many")
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("export", help="the training's state as an ONNX file")
    sub.add_argument("target", type=Path)
    sub.add_argument("--sparse", action="store_true", help="the head that learns one cell a person")
    sub = commands.add_parser("score", help="recall and precision over thresholds")
    sub.add_argument("model", type=Path)
    sub = commands.add_parser("table", help="the results, before and after")
    sub.add_argument("before", type=Path)
    sub.add_argument("after", type=Path)
    sub.add_argument("--thresholds", type=float, nargs=2, default=(0.4, 0.3))
    options = parser.parse_args()
    if options.command == "export":
        export(options.work, options.target, options.sparse)
    elif options.command == "score":
        frames = Frames(options.work / "tune", SEEDS["tune"])
        score(options.model, frames, list(range(0, len(frames), options.every)))
    else:
        models = list(zip((options.before, options.after), options.thresholds, strict=True))
        table(models, options.work, options.every)


if __name__ == "__main__":
    main()
