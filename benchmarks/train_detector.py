"""Trains the detector that ships with reidkit on simulated frames, and writes what it scores.

    OMP_NUM_THREADS=2 .venv/bin/python benchmarks/train_detector.py --work build/detector --minutes 18

Writes toolkit/assets/detector.onnx (person is class 0; raw output [batch, 5, anchors]: centre x, centre y, width,
height in input pixels, then the score) and benchmarks/results/detector.md. Needs the extra `yolo`. The network is
Ultralytics' YOLO11 in a narrower cut, trained from random weights; held-out frames come from seeds, people and cameras
that training never saw.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
TRAIN_SEEDS = range(1000, 1046)
TEST_SEEDS = range(5000, 5010)
MODEL = """nc: 1
scales:
  n: [0.50, 0.125, 512]
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 2, C3k2, [256, False, 0.25]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 2, C3k2, [512, False, 0.25]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [-1, 2, C3k2, [512, True]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [-1, 2, C3k2, [512, True]]
  - [-1, 1, SPPF, [512, 5]]
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 6], 1, Concat, [1]]
  - [-1, 2, C3k2, [512, False]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 4], 1, Concat, [1]]
  - [-1, 2, C3k2, [256, False]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [[-1, 12], 1, Concat, [1]]
  - [-1, 2, C3k2, [512, False]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [[-1, 9], 1, Concat, [1]]
  - [-1, 2, C3k2, [512, True]]
  - [[15, 18, 21], 1, Detect, [nc]]
"""
CROP = 256  # side of a training crop, pixels
INPUT = (256, 448)  # height and width the detector runs at: 16:9 footage with hardly any border
LEAST_VISIBLE = 0.15  # people covered more than this are no target


def render(folder: Path, seeds: range, per_camera: int) -> int:
    """Frames and YOLO labels of both kinds; every seed has its own people, place, cameras. Returns the frame count."""
    from reidkit.simulator.event import KINDS, make_event

    images, labels = folder / "images", folder / "labels"
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    count = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        kind = KINDS[seed % len(KINDS)]
        size = (640, 360) if rng.random() < 0.8 else (854, 480)
        event = make_event(kind, 0, int(rng.integers(4, 13)), 3, 24, 5, size, seed)
        only = sorted(rng.choice(len(event), per_camera, replace=False).tolist())
        for frame, (pictures, truths) in zip(only, event.frames(only), strict=True):
            for camera, (picture, truth) in enumerate(zip(pictures, truths, strict=True)):
                name = f"{seed}_{camera}_{frame:04d}"
                lines = []
                for _, (x, y, w, h), visible in truth:
                    if visible >= LEAST_VISIBLE:
                        values = ((x + w / 2) / size[0], (y + h / 2) / size[1], w / size[0], h / size[1])
                        lines.append("0 " + " ".join(f"{v:.6f}" for v in values))
                cv2.imwrite(str(images / f"{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
                (labels / f"{name}.txt").write_text("\n".join(lines) + "\n")
                count += 1
    return count


def crops(folder: Path, target: Path, per_frame: int) -> int:
    """Square crops of training frames, each round one of its people: less empty floor. Returns their count."""
    (target / "images").mkdir(parents=True)
    (target / "labels").mkdir()
    rng, count = np.random.default_rng(0), 0
    for path in sorted((folder / "images").glob("*.jpg")):
        image = cv2.imread(str(path))
        height, width = image.shape[:2]
        rows = [line.split() for line in (folder / "labels" / f"{path.stem}.txt").read_text().splitlines() if line]
        boxes = np.array([[float(v) for v in row[1:]] for row in rows]).reshape(-1, 4)
        for k in range(per_frame):
            middle = boxes[rng.integers(len(boxes)), 0] * width if len(boxes) else width / 2
            left = int(np.clip(middle - height / 2 + rng.uniform(-0.4, 0.4) * height, 0, width - height))
            lines = []
            for x, y, w, h in boxes:
                x0, x1 = (x - w / 2) * width - left, (x + w / 2) * width - left
                cut0, cut1 = max(0.0, x0), min(float(height), x1)
                if cut1 - cut0 < 0.25 * (x1 - x0):
                    continue
                lines.append(f"0 {(cut0 + cut1) / 2 / height:.6f} {y:.6f} {(cut1 - cut0) / height:.6f} {h:.6f}")
            name = f"{path.stem}_{k}"
            crop = cv2.resize(image[:, left : left + height], (CROP, CROP), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(target / "images" / f"{name}.jpg"), crop, [cv2.IMWRITE_JPEG_QUALITY, 90])
            (target / "labels" / f"{name}.txt").write_text("\n".join(lines) + "\n")
            count += 1
    return count


def prepare_ultralytics(work: Path):
    """Ultralytics without network: own settings folder, no installs, and a font so that it looks for none."""
    import matplotlib

    config = work / "config"
    config.mkdir(parents=True, exist_ok=True)
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_CONFIG_DIR=str(config), WANDB_MODE="disabled")
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    for folder in (config, config / "Ultralytics"):
        folder.mkdir(exist_ok=True)
        shutil.copy(font, folder / "Arial.ttf")
    import torch
    from ultralytics import YOLO
    from ultralytics.utils import torch_utils

    # Ultralytics sets torch's threads to the number of cores less one whenever it picks the device
    torch_utils.NUM_THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
    torch.set_num_threads(torch_utils.NUM_THREADS)
    cv2.setNumThreads(1)
    return YOLO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/detector"), help="folder for frames and training runs")
    parser.add_argument("--minutes", type=float, default=18.0, help="training time; the schedule is fitted to it")
    parser.add_argument("--epochs", type=int, default=0, help="fixed number of epochs instead of a time")
    parser.add_argument("--start", type=Path, help="go on from these weights of an own earlier run")
    parser.add_argument("--trained", type=float, default=0.0, help="minutes of that earlier run, for the record")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--per-camera", type=int, default=6)
    options = parser.parse_args()
    work = options.work.resolve()
    YOLO = prepare_ultralytics(work)
    began = time.monotonic()
    counts = {}
    for split, seeds in (("train", TRAIN_SEEDS), ("test", TEST_SEEDS)):
        if (work / split).exists():
            counts[split] = len(list((work / split / "images").glob("*.jpg")))
        else:
            counts[split] = render(work / split, seeds, options.per_camera)
    if not (work / "crops").exists():
        crops(work / "train", work / "crops", 1)
    print(f"frames {counts}, {time.monotonic() - began:.0f} s", flush=True)
    (work / "data.yaml").write_text(f"path: {work}\ntrain: crops/images\nval: test/images\nnames:\n  0: person\n")
    (work / "yolo11n-narrow.yaml").write_text(MODEL)
    began = time.monotonic()
    model = YOLO(str(options.start or work / "yolo11n-narrow.yaml"), task="detect")
    schedule = {"epochs": options.epochs} if options.epochs else {"time": options.minutes / 60, "epochs": 100}
    model.train(
        data=str(work / "data.yaml"),
        imgsz=CROP,
        batch=options.batch,
        device="cpu",
        amp=False,
        plots=False,
        workers=0,
        cache="ram",
        optimizer="AdamW",
        lr0=0.002,
        warmup_epochs=1.0,
        warmup_bias_lr=0.0,
        cos_lr=True,
        close_mosaic=2,
        mosaic=0.25,
        scale=0.4,
        hsv_h=0.02,
        val=False,
        seed=0,
        project=str(work),
        name="run",
        exist_ok=True,
        verbose=False,
        **schedule,
    )
    trained = time.monotonic() - began
    best = YOLO(str(work / "run" / "weights" / "last.pt"))
    scores = best.val(
        data=str(work / "data.yaml"), imgsz=INPUT[1], batch=16, device="cpu", plots=False, workers=0, rect=True
    )
    exported = Path(best.export(format="onnx", imgsz=list(INPUT), dynamic=True, simplify=False, opset=17, device="cpu"))
    target = HERE.parent / "toolkit" / "assets" / "detector.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    clean(exported, target)
    report(target, scores, counts, trained / 60, options.trained)


def clean(exported: Path, target: Path) -> None:
    """Copies the export without the training machine's folder, which Ultralytics writes into its metadata."""
    import onnx

    model = onnx.load(str(exported))
    for entry in model.metadata_props:
        if entry.key == "description":
            entry.value = "YOLO11 in a narrow cut, trained on reidkit's simulated footage"
    onnx.save(model, str(target))


def report(target: Path, scores, counts: dict[str, int], minutes: float, before: float) -> None:
    """benchmarks/results/detector.md and detector.json."""
    import torch
    import ultralytics

    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), "?"
    )
    row = {
        "mAP50": round(float(scores.box.map50), 4),
        "mAP50-95": round(float(scores.box.map), 4),
        "precision": round(float(scores.box.mp), 4),
        "recall": round(float(scores.box.mr), 4),
        "file_MB": round(target.stat().st_size / 1e6, 2),
        "imgsz": f"{INPUT[1]}x{INPUT[0]}",
        "train_frames": counts["train"],
        "test_frames": counts["test"],
        "train_minutes": round(minutes + before, 1),
        "machine": f"{cpu}, {torch.get_num_threads()} threads",
        "software": f"torch {torch.__version__}, ultralytics {ultralytics.__version__}",
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "detector.json").write_text(json.dumps(row, indent=1) + "\n")
    heads = ("mAP50", "mAP50-95", "precision", "recall", "file_MB", "imgsz", "train_minutes")
    lines = [
        "# The shipped detector",
        "",
        "`benchmarks/train_detector.py`: narrow YOLO11, one class (person), trained from random weights on",
        f"{row['train_frames']} simulated frames (sports and dance), tested on {row['test_frames']} frames of",
        f"other seeds and people. People with less than {LEAST_VISIBLE:.0%} of their silhouette visible are",
        "no targets. `imgsz` is the size the exported file runs at; the test ran letterboxed at the same width.",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        "| " + " | ".join(str(row[h]) for h in heads) + " |",
        "",
        f"Machine: {row['machine']}. {row['software']}.",
        *(
            [f"Trained in two runs, the second (--start, {minutes:.1f} min) from the weights of the first."]
            if before
            else []
        ),
        "It has seen rendered people only and is no detector for real footage.",
    ]
    (results / "detector.md").write_text("\n".join(lines) + "\n")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
