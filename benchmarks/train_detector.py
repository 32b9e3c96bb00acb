"""Trains the detector that ships with reidkit on simulated frames, over as many runs as it takes.

    .venv/bin/python benchmarks/detector_frames.py --work build/detector --split train     # and tune, and test
    OMP_WAIT_POLICY=passive .venv/bin/python benchmarks/train_detector.py --work build/detector --minutes 100
    .venv/bin/python benchmarks/measure_detector.py --work build/detector                  # writes asset and results

A run that was stopped goes on with the same command: weights, their moving average, the optimiser and the time trained
lie in `state.pt`, written every three minutes. `--minutes` are those of all runs together, and the schedule is fitted
to them. Frames rendered since the last run are taken up. `--start` takes the features of an earlier export.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from detector_frames import BACKGROUND, SEEDS, Frames
from detector_network import Network, detection_loss
from torch import distributed

from reidkit.datasets.files import atomic_path
from reidkit.datasets.prefetch import prefetch

INPUT = (320, 544)  # height and width that the network is trained at
RATE, LAST_RATE, DECAY = 1.5e-3, 0.02, 0.05  # AdamW; the last rate is a share of the first
WARM_UP = 100  # steps
AVERAGE = 0.998  # of the weights' moving average, once it has run for a while
COUNTED, LEARNT = ("seconds", "step", "looked", "runs"), ("network", "average", "optimiser")
EVERY = 180.0  # seconds between two states on disk


@dataclass
class State:
    """All that a run hands to the next one.

    Attributes:
        seconds: trained so far in all runs. step: batches so far. looked: frames in these, of all workers. runs: how
            often it began.
    """

    network: Network
    average: Network
    optimiser: torch.optim.Optimizer
    seconds: float = 0.0
    step: int = 0
    looked: int = 0
    runs: int = 0

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        held = {name: getattr(self, name) for name in COUNTED}
        held |= {name: getattr(self, name).state_dict() for name in LEARNT}
        with atomic_path(path) as temporary:
            torch.save(held, temporary)


def prepare_ultralytics(work: Path) -> None:
    """Ultralytics without network: own settings folder, no installs, and a font so that it looks for none."""
    import matplotlib

    config = work / "config"
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_CONFIG_DIR=str(config), WANDB_MODE="disabled")
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    for folder in (config, config / "Ultralytics"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(font, folder / "Arial.ttf")


def begin(path: Path, start: Path | None, images: torch.Tensor) -> State:
    """The state at `path`, or a new one with the features of the export `start`, settled on `images`."""
    torch.manual_seed(0)
    network, average = (Network(path.parent).to(memory_format=torch.channels_last) for _ in range(2))
    if start is not None and not path.exists():
        network.start_from(start, images)
    average.load_state_dict(network.state_dict())
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    state = State(network, average, torch.optim.AdamW(groups, lr=RATE))
    if path.exists():
        held = torch.load(path, weights_only=True)
        for name in LEARNT:
            getattr(state, name).load_state_dict(held[name])
        for name in COUNTED:
            setattr(state, name, held[name])
    state.runs += 1
    return state


def sample(frames: Frames, number: int, rng: np.random.Generator, shape: tuple[int, int]) -> tuple:
    """One frame, changed at random: mirrored, larger or smaller, other colours. Half of them keep their size.

    Returns:
        uint8 [H, W, 3]; float32 [M, 5] corners in pixels and visibility. People that a crop cuts through get
        visibility 0.01: their box would be another one than the simulator's.
    """
    (height, width), (wide, high) = shape, frames.sizes[number]
    image, people = frames.pixels[number][:high, :wide], frames.people[number].copy()
    scale = min(width / wide, height / high)
    left = top = 0.0
    if rng.random() < 0.5:
        scale *= float(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))
        left, top = (
            float(rng.uniform(min(0, room), max(0, room))) for room in (width - wide * scale, height - high * scale)
        )
        matrix = np.array([[scale, 0, left + 0.5 * scale - 0.5], [0, scale, top + 0.5 * scale - 0.5]])
        border = (BACKGROUND,) * 3
        image = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=border)
    else:
        small = cv2.resize(image, (round(wide * scale), round(high * scale)), interpolation=cv2.INTER_AREA)
        image = np.full((height, width, 3), BACKGROUND, np.uint8)
        image[: small.shape[0], : small.shape[1]] = small
    people[:, :4] = people[:, :4] * scale + np.array([left, top, left, top], np.float32)
    whole = people[:, :4].copy()
    people[:, 0:4:2] = people[:, 0:4:2].clip(0, width)
    people[:, 1:4:2] = people[:, 1:4:2].clip(0, height)
    area, full = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (people, whole))
    people[area < 0.93 * full, 4] = 0.01
    people = people[area > 0.02 * full]
    if rng.random() < 0.5:
        image = image[:, ::-1]
        people[:, [0, 2]] = width - people[:, [2, 0]]
    gain = rng.uniform(0.75, 1.3) * rng.uniform(0.92, 1.08, 3)
    gamma = float(np.exp(rng.uniform(-0.25, 0.25)))
    table = (255 * ((np.arange(256) / 255.0)[:, None] ** gamma * gain)).clip(0, 255).astype(np.uint8)
    return cv2.LUT(np.ascontiguousarray(image), table[:, None]), people


def batches(
    frames: Frames, size: int, step: int, worker: int, shape: tuple[int, int]
) -> Iterator[tuple[torch.Tensor, ...]]:
    """For ever (images [B, 3, H, W], people [B, M, 4], visible [B, M], below 0 for padding), from batch `step` on."""
    cv2.setNumThreads(1)
    while True:
        rng = np.random.default_rng([7, worker, step])
        step += 1
        chosen = [sample(frames, int(n), rng, shape) for n in rng.integers(0, len(frames), size)]
        most = max(1, *(len(people) for _, people in chosen))
        table = np.zeros((size, most, 5), np.float32)
        table[..., 4] = -1
        for row, (_, found) in zip(table, chosen, strict=True):
            row[: len(found)] = found
        images = torch.from_numpy(np.stack([image for image, _ in chosen])).permute(0, 3, 1, 2).float() / 255
        people = torch.from_numpy(table)
        yield images, people[..., :4], people[..., 4]


def train(
    folder: Path,
    frames: Frames,
    minutes: float,
    start: Path | None = None,
    *,
    batch: int = 8,
    shape: tuple[int, int] = INPUT,
    worker: int = 0,
    workers: int = 1,
    every: float = EVERY,
    clock: Callable[[], float] = time.monotonic,
) -> State:
    """Trains until all runs together have taken `minutes`.

    Args:
        start: see `Network.start_from`; of the first run only.
        batch: frames of each worker. shape: height and width that they are given in.
        worker, workers: the gradients of all are averaged, and the first one keeps the state.
        every: seconds between two states on disk. clock: seconds.
    """
    path = folder / "state.pt"
    state = begin(path, start, next(batches(frames, batch, 0, worker, shape))[0])
    if workers > 1:
        distributed.barrier()  # nobody writes before everybody has read
    state.network.train()
    parameters = list(state.network.parameters())
    last = saved = clock()
    losses: list[float] = []
    for images, people, visible in prefetch(batches(frames, batch, state.step, worker, shape)):
        share = state.seconds / (60 * minutes)
        if share >= 1:
            break
        rate = RATE * (LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * share)) / 2)
        for group in state.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (state.step + 1) / WARM_UP)
        dense, sparse = state.network(images.contiguous(memory_format=torch.channels_last))
        loss = detection_loss(dense, sparse, people, visible, *shape)
        state.optimiser.zero_grad()
        loss.backward()
        now = clock()
        state.seconds += now - last
        last = now
        if workers > 1:
            state.seconds = mean_gradients(parameters, state.seconds, workers)
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        state.optimiser.step()
        state.step += 1
        state.looked += batch * workers
        if worker:
            continue
        losses.append(float(loss.detach()))
        follow(state.average, state.network, min(AVERAGE, state.step / (state.step + 20)))
        if now - saved >= every:
            state.save(path)
            speed = len(losses) * batch * workers / (now - saved)
            done = f"{state.seconds / 60:.1f} min, {state.step} batches, {speed:.1f} frames/s"
            print(f"{done}, loss {np.mean(losses):.3f}", flush=True)
            losses, saved = [], now
    if not worker:
        state.save(path)
    return state


def mean_gradients(parameters: list[torch.nn.Parameter], seconds: float, workers: int) -> float:
    """Every worker gets the mean gradient, and the mean of `seconds`, so that all stop at the same step."""
    flat = torch.cat([p.grad.flatten() for p in parameters] + [torch.tensor([seconds])])
    distributed.all_reduce(flat)
    flat /= workers
    at = 0
    for p in parameters:
        p.grad.copy_(flat[at : at + p.numel()].view_as(p.grad))
        at += p.numel()
    return float(flat[-1])


@torch.no_grad()
def follow(average: Network, network: Network, keep: float) -> None:
    """Moves `average` towards `network`, whole numbers (of batches seen) at once."""
    for mine, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.dtype.is_floating_point:
            mine.lerp_(new, 1 - keep)
        else:
            mine.copy_(new)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/detector"), help="folder of the frames and the state")
    parser.add_argument("--minutes", type=float, default=100.0, help="of all runs together")
    parser.add_argument(
        "--start", type=Path, help="an earlier export of this network, whose features the first run takes"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes of one thread each that share their gradients"
    )
    options = parser.parse_args()
    prepare_ultralytics(options.work.resolve())
    torch.set_num_threads(1)
    store, worker = os.environ.get("DETECTOR_STORE"), int(os.environ.get("DETECTOR_WORKER", 0))
    if options.workers > 1:
        meeting = distributed.TCPStore("127.0.0.1", int(store or 0), is_master=store is None, wait_for_workers=False)
        if store is None:
            for number in range(1, options.workers):
                added = {"DETECTOR_STORE": str(meeting.port), "DETECTOR_WORKER": str(number)}
                subprocess.Popen([sys.executable, *sys.argv], env=os.environ | added, start_new_session=True)
        distributed.init_process_group("gloo", store=meeting, rank=worker, world_size=options.workers)
    frames = Frames(options.work / "train", SEEDS["train"])
    print(f"{len(frames)} frames", flush=True)
    state = train(options.work, frames, options.minutes, options.start, worker=worker, workers=options.workers)
    print(f"{state.seconds / 60:.1f} minutes in {state.runs} runs, {state.step} batches, {state.looked} frames")


if __name__ == "__main__":
    main()
