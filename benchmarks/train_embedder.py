"""Trains the embedder that ships for simulated footage (`--embedder simulated`), and writes it as ONNX.

    python benchmarks/train_embedder.py WORK -o toolkit/assets/embedder.onnx --baseline osnet_x0_25_msmt17.onnx

Footage of worlds that nobody else uses (their seeds start at 7000) is rendered into WORK, people are cut out by the
ground truth's boxes, and a small residual network learns them from single crops. Choices were made on the world HELD of
each kind; the score in benchmarks/results/embedder.json is of further worlds (TEST_SEEDS), beside that of the models
named by --baseline and of the file that is there already, which stays if the new one is no better. A second run with
the same WORK reuses footage and crops.

The ONNX file takes RGB [N, 3, 128, 64], divided by 255 and normalised by ImageNet's mean and deviation, and gives
[N, 256]; its weights are stored as float16.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from machine import describe
from torch import Tensor, nn
from torch.nn import functional

from reidkit.datasets.clips import IMAGENET_MEAN, IMAGENET_STD
from reidkit.datasets.files import atomic_path, sha256_file, write_json
from reidkit.datasets.images import decode
from reidkit.datasets.mot import read_people
from reidkit.datasets.progress import say
from reidkit.datasets.truth import TRUTH, read_truth
from reidkit.leaderboard.ranking import score
from reidkit.toolkit.embed import load_embedder, normalise, to_batch
from reidkit.toolkit.onnx_session import open_session

KINDS = ("sports", "dance")
FIRST_SEED = 7000
FPS = 5  # neighbours at a higher rate are all but the same picture
MANY, FEW = (
    16,
    2,
)  # from this world on, so many frames a second: new people teach more than further pictures of the same
HELD = 15
TEST_SEEDS = (8801, 8802)
PEOPLE, CAMERAS, SECONDS = 12, 3, 8.0
MIN_VISIBILITY, MIN_HEIGHT = 0.4, 24  # pixels
BOX_JITTER = 0.06  # of a box's side, at each of its sides: a detector's boxes are not the truth's
HEIGHT, WIDTH = 128, 64
MAX_BYTES = 3_000_000

WORLDS_A_BATCH, PEOPLE_A_BATCH = 4, 8  # of each person one crop from each camera: 96 crops
PAD = 4  # pixels that a crop is moved by at most
GAIN, CAST, OFFSET = 0.3, 0.2, 0.3  # largest change of all channels' gain, of one's, and of its offset in deviations
SCALE, MARGIN = 20.0, 0.1  # of the cosine softmax over identities
TEMPERATURE = 0.1  # of the contrast among a batch's people of one world
ATTRIBUTES = 1.0  # weight of the mean attribute loss
NOT_VISIBLE = ("event", "height_m", "gait")  # what one crop can't tell
PEAK_RATE, WEIGHT_DECAY, WARM = 3e-3, 0.05, 0.15


# Footage and crops


def simulate(folder: Path, kind: str, seed: int, fps: int) -> None:
    """Renders a world with three cameras, where it isn't there yet."""
    if (folder / TRUTH).is_file():
        return
    options = ["--kind", kind, "--people", PEOPLE, "--cameras", CAMERAS, "--seconds", SECONDS, "--fps", fps]
    command = [sys.executable, "-m", "reidkit", "simulate", folder, *options, "--seed", seed]
    subprocess.run([str(part) for part in command], check=True)


def cut_out(world: Path, crops: Path) -> None:
    """`crops/<event>-<camera>-<identity>/<frame>.jpg` for every box that is tall and visible enough."""
    if (crops / "done").is_file():
        return
    rng = np.random.default_rng(0)
    for truth in sorted(world.glob("*/truth/*.txt")):
        event, camera = truth.parent.parent.name, truth.stem
        boxes = defaultdict(list)
        for line in read_people(truth):
            if line.visibility >= MIN_VISIBILITY and line.height >= MIN_HEIGHT:
                boxes[line.frame - 1].append((line.id, line.x, line.y, line.width, line.height))
        with av.open(str(world / event / f"{camera}.mp4")) as container:
            for index, frame in enumerate(container.decode(video=0)):
                picture = frame.to_ndarray(format="bgr24")
                for identity, x, y, w, h in boxes.get(index, ()):
                    x1, x2 = np.array([x, x + w]) + w * rng.uniform(-BOX_JITTER, BOX_JITTER, 2)
                    y1, y2 = np.array([y, y + h]) + h * rng.uniform(-BOX_JITTER, BOX_JITTER, 2)
                    crop = picture[max(round(y1), 0) : round(y2), max(round(x1), 0) : round(x2)]
                    if crop.size:
                        path = crops / f"{event}-{camera}-{identity}" / f"{index:05d}.jpg"
                        path.parent.mkdir(parents=True, exist_ok=True)
                        cv2.imwrite(str(path), crop, [cv2.IMWRITE_JPEG_QUALITY, 92])
    (crops / "done").touch()


def world(work: Path, kind: str, number: int, seed: int, fps: int) -> Path:
    """Folder of the world's crops; rendered and cut out where need be."""
    folder = work / f"{kind}-{number}"
    crops = work / f"{kind}-{number}-crops"
    simulate(folder, kind, seed, fps)
    cut_out(folder, crops)
    return crops


def training_world(work: Path, kind: str, number: int) -> Path:
    """`world` of one of the numbered worlds that training sees."""
    fps = FEW if number >= MANY else FPS
    return world(work, kind, number, FIRST_SEED + 100 * KINDS.index(kind) + number, fps)


def tracks_of(crops: Path) -> dict[tuple[int, str], list[Path]]:
    """(identity, camera) -> its crops in the order of time."""
    found = {}
    for folder in sorted(p for p in crops.iterdir() if p.is_dir()):
        _, camera, identity = folder.name.rsplit("-", 2)
        found[int(identity), camera] = sorted(folder.glob("*.jpg"))
    return found


class TrainingSet:
    """All crops of the training worlds in memory.

    Attributes:
        images: uint8 RGB [N, 128, 64, 3].
        worlds: of each world, of each of its identities (a class number), of each camera: rows of `images`.
        targets: int64 [Y, A], an identity's class in each attribute; -1 where its kind has no such attribute.
        sizes: classes of each attribute.
    """

    def __init__(self, work: Path, folders: list[Path]) -> None:
        images, self.worlds, described = [], [], []
        for crops in folders:
            truth = read_truth(work / crops.name.removesuffix("-crops") / TRUTH)
            people: dict[int, list[list[int]]] = defaultdict(list)
            for (identity, _), paths in tracks_of(crops).items():
                rows = []
                for path in paths:
                    image = decode(path.read_bytes())
                    shrinks = image.shape[0] > HEIGHT and image.shape[1] > WIDTH
                    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
                    rows.append(len(images))
                    images.append(cv2.resize(image, (WIDTH, HEIGHT), interpolation=how))
                people[identity].append(rows)
            members = {}
            for identity, cameras in people.items():
                members[len(described)] = cameras
                described.append(visible(truth.identities[str(identity)]))
            self.worlds.append(members)
        self.images = torch.from_numpy(np.stack(images))
        names = sorted({name for person in described for name in person})
        values = [sorted({person[name] for person in described if name in person}) for name in names]
        self.sizes = [len(v) for v in values]
        rows = [[v.index(p[n]) if n in p else -1 for n, v in zip(names, values, strict=True)] for p in described]
        self.targets = torch.tensor(rows)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images uint8 [B, 3, 128, 64], identities [B], worlds [B]: people of a few worlds, so that kits don't tell."""
        rows, identities, worlds = [], [], []
        for chosen in rng.choice(len(self.worlds), WORLDS_A_BATCH, replace=False):
            members = self.worlds[chosen]
            for identity in rng.choice(sorted(members), min(PEOPLE_A_BATCH, len(members)), replace=False):
                for camera in members[identity]:
                    rows.append(camera[rng.integers(len(camera))])
                    identities.append(int(identity))
                    worlds.append(int(chosen))
        images = self.images[torch.tensor(rows)].permute(0, 3, 1, 2)
        return images, torch.tensor(identities), torch.tensor(worlds)


def visible(person: dict) -> dict[str, str]:
    """The attributes that a picture shows; a number is two digits."""
    shown = {name: str(value) for name, value in person.items() if name not in NOT_VISIBLE}
    if "number" in shown:
        number = shown.pop("number").rjust(2)
        shown["tens"], shown["ones"] = number[0], number[1]
    return shown


def augment(images: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] -> float, normalised; moved, and lit and cast by a camera of its own."""
    count = len(images)
    floats = functional.pad(images.float() / 255, (PAD,) * 4, mode="replicate")
    moves = torch.randint(0, 2 * PAD + 1, (count, 2)).tolist()
    floats = torch.stack([f[:, y : y + HEIGHT, x : x + WIDTH] for f, (y, x) in zip(floats, moves, strict=True)])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    gain = 1 + GAIN * uniform(count, 1) + CAST * uniform(count, 3)
    return ((floats * gain - mean) / std + OFFSET * uniform(count, 3)).contiguous(memory_format=torch.channels_last)


def uniform(count: int, channels: int) -> Tensor:
    """[count, channels, 1, 1] in -1..1."""
    return 2 * torch.rand(count, channels, 1, 1) - 1


# Network


class HalfInstanceNorm(nn.Module):
    """Instance norm for the first half of the channels, batch norm for the others (IBN-a; Pan et al. 2018).

    A camera's exposure and cast scale and move whole maps, which instance norm undoes. Written out, as PyTorch's own is
    several times slower on channels-last maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.half = channels // 2
        self.gain = nn.Parameter(torch.ones(self.half, 1, 1))
        self.bias = nn.Parameter(torch.zeros(self.half, 1, 1))
        self.batch = nn.BatchNorm2d(channels - self.half)

    def forward(self, maps: Tensor) -> Tensor:
        first, second = maps.split([self.half, maps.shape[1] - self.half], 1)
        moved = first - first.mean((2, 3), keepdim=True)
        scale = torch.rsqrt((moved * moved).mean((2, 3), keepdim=True) + 1e-5)
        return torch.cat([moved * (scale * self.gain) + self.bias, self.batch(second)], 1)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int, instance: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = HalfInstanceNorm(outputs) if instance else nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        hidden = functional.relu(self.first_norm(self.first(maps)))
        return functional.relu(self.second_norm(self.second(hidden)) + self.shortcut(maps))


class Embedder(nn.Module):
    """[N, 3, 128, 64] -> [N, 256]. Four stripes are pooled one by one: shoes, socks and hair each have their height."""

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 32, 7, 4, 3, bias=False),
            HalfInstanceNorm(32),
            nn.ReLU(),
            Block(32, 32, 1, instance=True),
            Block(32, 64, 2, instance=True),
            Block(64, 64, 1, instance=True),
            Block(64, 128, 2, instance=False),
            Block(128, 128, 1, instance=False),
        )
        self.head = nn.Linear(4 * 128, features, bias=False)
        self.norm = nn.BatchNorm1d(features)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.trunk(images)
        # [N, 128, 8, 4] -> four stripes, two rows each
        stripes = maps.reshape(-1, 128, 4, 8).mean(3)
        return self.norm(self.head(stripes.flatten(1)))


class Heads(nn.Module):
    """What training asks of an embedding; not shipped."""

    def __init__(self, features: int, identities: int, sizes: list[int]) -> None:
        super().__init__()
        self.identities = nn.Parameter(0.05 * torch.randn(identities, features))
        self.attributes = nn.ModuleList(nn.Linear(features, size) for size in sizes)

    def forward(self, features: Tensor, labels: Tensor, worlds: Tensor, targets: Tensor) -> list[Tensor]:
        """Losses over identities, among the batch's people, over attributes (targets [B, A])."""
        unit = functional.normalize(features)
        cosine = unit @ functional.normalize(self.identities).T
        cosine = cosine - MARGIN * functional.one_hot(labels, cosine.shape[1])
        identity = functional.cross_entropy(SCALE * cosine, labels, label_smoothing=0.05)
        told = [
            functional.cross_entropy(h(features), t, ignore_index=-1)
            for h, t in zip(self.attributes, targets.T, strict=True)
            if (t >= 0).any()
        ]
        return [identity, contrast(unit, labels, worlds), torch.stack(told).mean()]


def contrast(unit: Tensor, labels: Tensor, worlds: Tensor) -> Tensor:
    """Supervised contrast (Khosla et al. 2020, equation 2), each crop against those of its own world."""
    itself = torch.eye(len(unit), dtype=torch.bool)
    others = (worlds[:, None] == worlds) & ~itself
    same = (labels[:, None] == labels) & ~itself
    logits = (unit @ unit.T / TEMPERATURE).masked_fill(~others, -torch.inf)
    logs = logits - logits.logsumexp(1, keepdim=True)
    rows = same.any(1)
    return -(logs.masked_fill(~same, 0).sum(1) / same.sum(1).clamp(min=1))[rows].mean()


def train(data: TrainingSet, steps: int, peak: float, report=None) -> Embedder:
    """One cycle of AdamW: the rate rises for the first steps, then falls to nothing by a cosine."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Embedder().to(memory_format=torch.channels_last).train()
    heads = Heads(model.norm.num_features, len(data.targets), data.sizes)
    parameters = [*model.parameters(), *heads.parameters()]
    decayed = [p for p in parameters if p.ndim > 1]
    groups = [{"params": decayed}, {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=peak, weight_decay=WEIGHT_DECAY)
    started, recent = time.perf_counter(), []
    for step in range(steps):
        done = step / steps
        rate = peak * (done / WARM if done < WARM else (1 + math.cos(math.pi * (done - WARM) / (1 - WARM))) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, labels, worlds = data.batch(rng)
        losses = heads(model(augment(images)), labels, worlds, data.targets[labels])
        loss = losses[0] + losses[1] + ATTRIBUTES * losses[2]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        recent.append([x.item() for x in losses])
        if (step + 1) % 50 == 0 or step + 1 == steps:
            means, spent = " ".join(f"{x:.3f}" for x in np.mean(recent, 0)), time.perf_counter() - started
            say(f"step {step + 1}/{steps}, {spent:.0f} s: identity, contrast, attributes {means}")
            recent.clear()
        if report and (step + 1) % 500 == 0:
            report(model)
    return model.eval()


# Export and score


def export(model: Embedder, path: Path) -> float:
    """Writes the ONNX file, weights as float16, and returns the largest difference of a unit embedding to PyTorch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = model.to("cpu", memory_format=torch.contiguous_format).eval()
    images = torch.randn(3, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    with atomic_path(path) as temporary:
        # the TorchScript exporter needs no further package
        names = {"input_names": ["images"], "output_names": ["features"]}
        rows = {"images": {0: "N"}, "features": {0: "N"}}
        torch.onnx.export(model, (images,), str(temporary), dynamo=False, dynamic_axes=rows, **names)
        proto = onnx.load(str(temporary))
        graph, casts = proto.graph, []
        for weight in graph.initializer:
            values = numpy_helper.to_array(weight)
            if values.dtype == np.float32 and values.size >= 1024:
                half = numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half")
                # ONNX Runtime folds the cast when it loads the file
                casts.append(helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))
                weight.CopyFrom(half)
        nodes = [*casts, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        onnx.checker.check_model(proto)
        onnx.save(proto, str(temporary))
        size = temporary.stat().st_size
        if size > MAX_BYTES:
            raise SystemExit(f"the embedder has {size} bytes, more than {MAX_BYTES}")
    session = open_session(path, gpu=False)
    theirs = session.run(None, {"images": images.numpy()})[0]
    with torch.inference_mode():
        difference = float(np.abs(normalise(theirs) - normalise(model(images).numpy())).max())
    if difference > 5e-3:
        raise SystemExit(f"ONNX and PyTorch differ by {difference}")
    return difference


class InMemory:
    """A model in training, as `evaluate` asks for it."""

    def __init__(self, model: Embedder) -> None:
        self.model = model

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        self.model.eval()
        with torch.inference_mode():
            features = self.model(torch.from_numpy(to_batch(images, HEIGHT, WIDTH, IMAGENET_MEAN, IMAGENET_STD)))
        self.model.train()
        return normalise(features.numpy())


def evaluate(embedder, crops: Path, every: int = 6) -> dict[str, float]:
    """mAP and Rank-1 among one world's (identity, camera) tracks, each the mean of every sixth crop.

    `centred`: with each camera's mean taken off before, as a colour cast shared by all of a camera's tracks allows.
    """
    features, identities, cameras = [], [], []
    names: list[str] = []
    for (identity, camera), paths in tracks_of(crops).items():
        images = [decode(p.read_bytes()) for p in paths[::every]]
        features.append(np.asarray(embedder.embed(images)).mean(0))
        if camera not in names:
            names.append(camera)
        identities.append(identity)
        cameras.append(names.index(camera))
    plain, identities, cameras = normalise(np.stack(features)), np.array(identities), np.array(cameras)
    centred = plain.copy()
    for camera in range(len(names)):
        centred[cameras == camera] -= centred[cameras == camera].mean(0)
    found = {"tracks": len(plain)}
    for name, rows in (("", plain), ("centred_", normalise(centred))):
        result = score(rows, identities, cameras, np.ones(len(rows), bool), "video-reid")
        found[f"{name}mAP"] = round(float(result.mAP), 1)
        found[f"{name}R1"] = round(float(result.cmc[1]), 1)
    return found


def table(models: dict[str, Path], tests: dict[str, Path]) -> list[dict]:
    """A row a model: the scores of every test world and their means."""
    rows = []
    for name, path in models.items():
        embedder = load_embedder(path)
        worlds = {tag: evaluate(embedder, crops) for tag, crops in tests.items()}
        keys = ("mAP", "R1", "centred_mAP", "centred_R1")
        mean = {key: round(float(np.mean([found[key] for found in worlds.values()])), 1) for key in keys}
        size, digest = path.stat().st_size, sha256_file(path)
        rows.append({"model": name, "bytes": size, "sha256": digest, "mean": mean, "worlds": worlds})
        say(f"{name}: {json.dumps(mean)}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("toolkit/assets/embedder.onnx"))
    parser.add_argument("--worlds", type=int, default=40, help="of each kind, for training; one of them is held out")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rate", type=float, default=PEAK_RATE)
    parser.add_argument("--baseline", type=Path, nargs="*", default=[], help="ONNX models to compare with")
    parser.add_argument("--trained", action="store_true", help="export and score WORK/embedder.pt, without training")
    parser.add_argument("--probe", action="store_true", help="score the held-out worlds only, and write nothing")
    arguments = parser.parse_args()

    work = arguments.work
    folders = {(kind, n): training_world(work, kind, n) for kind in KINDS for n in range(arguments.worlds)}
    held = {kind: folders.pop((kind, HELD)) for kind in KINDS if (kind, HELD) in folders}

    def report(model: Embedder) -> dict:
        found = {kind: evaluate(InMemory(model), crops) for kind, crops in held.items()}
        say(json.dumps(found))
        return found

    stored = work / "embedder.pt"
    if not arguments.trained:
        data = TrainingSet(work, list(folders.values()))
        say(f"{len(data.images)} crops of {len(data.targets)} people")
        started = time.perf_counter()
        model = train(data, arguments.steps, arguments.rate, report)
        facts = {"crops": len(data.images), "people": len(data.targets), "worlds": len(folders)}
        facts |= {"steps": arguments.steps, "peak_rate": arguments.rate}
        facts["seconds"] = round(time.perf_counter() - started, 1)
        if arguments.probe:
            report(model)
            return
        torch.save({"weights": model.state_dict(), "facts": facts}, stored)
    model, loaded = Embedder(), torch.load(stored, weights_only=True)
    model.load_state_dict(loaded["weights"])
    chosen_on = report(model)
    new = work / "embedder.onnx"
    difference = export(model, new)

    tests = {f"{kind}-{seed}": world(work, kind, seed, seed, FPS) for kind in KINDS for seed in TEST_SEEDS}
    models = {"new": new} | {path.stem: path for path in arguments.baseline}
    if arguments.output.is_file():
        models["replaced"] = arguments.output
    rows = table(models, tests)
    by_name = {row["model"]: row["mean"] for row in rows}
    note = "'new' is what this run made, 'replaced' the file before it; the others are for testing only and don't ship"
    better = all(by_name["new"][key] > by_name.get("replaced", {}).get(key, -1) for key in ("mAP", "centred_mAP"))
    summary = {
        "training": loaded["facts"],
        "held_out_for_choices": chosen_on,
        "test": {
            "note": note,
            "seeds": TEST_SEEDS,
            "tracks": "one an (identity, camera): the mean of every sixth crop",
            "models": rows,
        },
        "kept": "new" if better else "replaced",
        "onnx_difference": difference,
        "machine": describe(),
    }
    print(json.dumps(summary, indent=1))
    if not better:
        raise SystemExit("The new embedder is no better than the file that is there, which stays.")
    with atomic_path(arguments.output) as temporary:
        temporary.write_bytes(new.read_bytes())
    write_json(Path(__file__).parent / "results" / "embedder.json", summary)


if __name__ == "__main__":
    main()
