"""Trains the embedder that ships for simulated footage (`--embedder simulated`), and writes it as ONNX.

    python benchmarks/train_embedder.py WORK -o toolkit/assets/embedder.onnx

Footage of worlds that nobody else uses (their seeds start at 7000) is rendered into WORK, people are cut out by the
ground truth's boxes, and a narrow ResNet learns them. The last world of each kind is held out; the score on it goes
into benchmarks/results/embedder.json. A second run with the same WORK reuses footage and crops, and goes on with the
training.

The ONNX file takes RGB [N, 3, 128, 64], divided by 255 and normalised by ImageNet's mean and deviation, and gives
[N, 512].
"""

import argparse
import dataclasses
import json
import platform
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from reidkit.baselines import resnet50
from reidkit.datasets import Frames, ReidDataset, Tracklet
from reidkit.datasets.files import atomic_path, write_json
from reidkit.datasets.progress import say
from reidkit.leaderboard.ranking import score
from reidkit.training import loop
from reidkit.training.extraction import extract_features
from reidkit.training.parallel import start

FIRST_SEED = 7000
FPS = 5  # neighbours at a higher rate are all but the same picture
MIN_VISIBILITY, MIN_HEIGHT = 0.4, 24  # pixels
JITTER = 0.06  # of a box's side, at each of its sides: a detector's boxes are not the truth's
GAIN, SHIFT = 0.35, 0.5  # largest factor and, in deviations, offset of a channel in training
MAX_BYTES = 3_000_000

RECIPE = dataclasses.replace(
    resnet50.RECIPES["tiny"],
    backbone_width=16,
    layers=(1, 2, 2, 1),
    frames=2,
    test_frames=4,
    identities=16,
    tracklets=3,  # one from each camera
    epochs=24,
    erase=0.3,
    lr=1e-3,
    warmup_epochs=3,
)


def simulate(folder: Path, kind: str, seed: int, people: int, seconds: float) -> None:
    """Renders a world with three cameras, where it isn't there yet."""
    if (folder / "truth.json").is_file():
        return
    options = ["--kind", kind, "--people", people, "--cameras", 3, "--seconds", seconds, "--fps", FPS, "--seed", seed]
    command = [sys.executable, "-m", "reidkit", "simulate", folder, *options]
    subprocess.run([str(part) for part in command], check=True)


def cut_out(world: Path, crops: Path) -> None:
    """`crops/<event>-<camera>-<identity>/<frame>.jpg` for every box that is tall and visible enough."""
    if (crops / "done").is_file():
        return
    rng = np.random.default_rng(0)
    for truth in sorted(world.glob("*/truth/*.txt")):
        event, camera = truth.parent.parent.name, truth.stem
        boxes = defaultdict(list)
        for line in truth.read_text().splitlines():
            frame, identity, x, y, w, h, _, _, visible = (float(v) for v in line.split(","))
            if visible >= MIN_VISIBILITY and h >= MIN_HEIGHT:
                boxes[int(frame) - 1].append((int(identity), x, y, w, h))
        with av.open(str(world / event / f"{camera}.mp4")) as container:
            for index, frame in enumerate(container.decode(video=0)):
                picture = frame.to_ndarray(format="bgr24")
                for identity, x, y, w, h in boxes.get(index, ()):
                    x1, x2 = np.array([x, x + w]) + w * rng.uniform(-JITTER, JITTER, 2)
                    y1, y2 = np.array([y, y + h]) + h * rng.uniform(-JITTER, JITTER, 2)
                    crop = picture[max(round(y1), 0) : round(y2), max(round(x1), 0) : round(x2)]
                    if crop.size:
                        path = crops / f"{event}-{camera}-{identity}" / f"{index:05d}.jpg"
                        path.parent.mkdir(parents=True, exist_ok=True)
                        cv2.imwrite(str(path), crop, [cv2.IMWRITE_JPEG_QUALITY, 92])
    (crops / "done").touch()


def tracklets_of(crops: Path, offset: int, tag: str) -> list[Tracklet]:
    """One tracklet an (event, camera, identity); identities are moved by `offset` so that worlds don't collide."""
    found, cameras = [], {}
    for folder in sorted(p for p in crops.iterdir() if p.is_dir()):
        _, camera, identity = folder.name.rsplit("-", 2)
        files = tuple(str(p) for p in sorted(folder.glob("*.jpg")))
        if len(files) >= 4:
            number = cameras.setdefault(camera, len(cameras))
            found.append(Tracklet(f"{tag}/{folder.name}", offset + int(identity), number, Frames(files)))
    return found


def footage(work: Path, worlds: int, people: int, seconds: float) -> ReidDataset:
    """All worlds of both kinds; the last of each kind is the test set, one query an (identity, camera)."""
    train, test = [], []
    for k, kind in enumerate(("sports", "dance")):
        for world in range(worlds):
            tag = f"{kind}-{world}"
            simulate(work / tag, kind, FIRST_SEED + 100 * k + world, people, seconds)
            cut_out(work / tag, work / f"{tag}-crops")
            say(f"{tag}: cut out")
            part = test if world == worlds - 1 else train
            part.extend(tracklets_of(work / f"{tag}-crops", 10_000 * (k * worlds + world + 1), tag))
    first = {(t.identity, t.camera): t for t in reversed(test)}
    query = tuple(t for t in test if first[t.identity, t.camera] is t)
    return ReidDataset("simulated", tuple(train), query, tuple(test), "video-reid", root=work)


class Jittered(resnet50.Resnet50):
    """Trains on clips with their own colour cast and exposure: what a camera adds is not what tells people apart."""

    def forward(self, clips, cameras, labels):
        shape = (len(clips), 1, 3, 1, 1)
        gain = 1 + GAIN * (2 * torch.rand(shape, device=clips.device) - 1)
        shift = SHIFT * (2 * torch.rand(shape, device=clips.device) - 1)
        return super().forward(clips * gain + shift, cameras, labels)


class OneImage(torch.nn.Module):
    """The embedder as ONNX users call it: [N, 3, 128, 64] -> [N, D]."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.neck.norm(self.model.backbone(images).mean((2, 3)))


def export(model: torch.nn.Module, path: Path) -> float:
    """Writes the ONNX file and returns the largest difference to PyTorch on random input."""
    import onnxruntime

    wrapped = OneImage(model.to("cpu", memory_format=torch.contiguous_format)).eval()
    images = torch.randn(3, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    with atomic_path(path) as temporary:
        # the TorchScript exporter needs no further package
        names = {"input_names": ["images"], "output_names": ["features"]}
        rows = {"images": {0: "N"}, "features": {0: "N"}}
        torch.onnx.export(wrapped, (images,), str(temporary), dynamo=False, dynamic_axes=rows, **names)
        size = temporary.stat().st_size
        if size > MAX_BYTES:
            raise SystemExit(f"the embedder has {size} bytes, more than {MAX_BYTES}")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"images": images.numpy()})[0]
    with torch.inference_mode():
        difference = float(np.abs(theirs - wrapped(images).numpy()).max())
    if difference > 1e-3:
        raise SystemExit(f"ONNX and PyTorch differ by {difference}")
    return difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("toolkit/assets/embedder.onnx"))
    parser.add_argument("--worlds", type=int, default=16, help="of each kind; the last is held out")
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    dataset = footage(arguments.work, arguments.worlds, arguments.people, arguments.seconds)
    recipe = dataclasses.replace(RECIPE, epochs=arguments.epochs)
    here = start(arguments.device)
    loop.seed_everything(recipe.seed, 0, 0)
    model = Jittered(recipe, len(dataset.identities)).to(here.device)
    folder = arguments.work / f"run-{arguments.worlds}-{arguments.people}-{recipe.epochs}"
    folder.mkdir(exist_ok=True)
    loop.train(model, dataset, recipe, folder, here, workers=2, title="embedder")
    features = extract_features(model, dataset.test, recipe, here.device, workers=2)
    queries = {t.id for t in dataset.query}
    scores = score(
        features,
        np.array([t.identity for t in dataset.test]),
        np.array([t.camera for t in dataset.test]),
        np.array([t.id in queries for t in dataset.test]),
        "video-reid",
    )
    difference = export(model, arguments.output)
    seconds = sum(line["seconds"] for line in loop.read_log(folder / loop.LOG))
    summary = {
        "train": {"identities": len(dataset.identities), "tracklets": len(dataset.train)},
        "held_out": {
            "identities": len({t.identity for t in dataset.test}),
            "tracklets": len(dataset.test),
            "queries": scores.queries,
            "skipped": scores.skipped,
            "mAP": round(float(scores.mAP), 2),
            "R1": round(float(scores.cmc[1]), 2),
        },
        "bytes": arguments.output.stat().st_size,
        "onnx_difference": difference,
        "training_seconds": round(seconds, 1),
        "machine": {"python": platform.python_version(), "torch": torch.__version__, "device": str(here.device)},
    }
    write_json(Path(__file__).parent / "results" / "embedder.json", summary)
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
