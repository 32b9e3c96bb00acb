"""All models against each other on one machine: what a training step and a test clip take in time and memory.

    python benchmarks/models.py                     # CPU: size tiny, and one test clip at full size
    python benchmarks/models.py --device cuda       # full size, bf16
    python benchmarks/models.py --quick --models tfclip,cgclip

Weights are made up, 625 identities and 6 cameras as on MARS; CG-CLIP has four captions an identity. A training step is
forward, losses, backward and optimiser on the recipe's batch of its own clip length, augmentation and decoding apart.
Test is `embed`. Memory is what tensors took at once, the model included: torch's own count on a GPU, on the CPU the
same counted over operations. Milliseconds are medians.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import describe
from torch import Tensor, nn

from reidkit.cgclip.captions import encode_words
from reidkit.leaderboard import complexity
from reidkit.leaderboard.tensor_memory import TensorMemory
from reidkit.training import zoo
from reidkit.training.losses import combine
from reidkit.training.optimiser import make_optimiser
from reidkit.training.recipe import Recipe

CLASSES, CAMERAS = 625, 6
COLOURS = ("red", "blue", "green", "white", "black")
# by hand from the layers' shapes and the golden files' list of entries; checked when this was written
PAPER = (
    "## Against TF-CLIP's own table",
    "",
    "In multiply-adds a frame, half of our GFLOPs. Paper: ViT-B/16 at 256x128 11.26, with all parts 12.53, 104.26 M.",
    "",
    "- The image tower: twelve blocks on 129 tokens are 11.26, attention's products included; patches and projection",
    "  add 0.13: 11.39 here.",
    "- TF-CLIP: 12.34 here, TMD's 0.95 included. The paper's 12.53 has SSP, which no test runs: another sum.",
    "- Parameters without SSP and TMD: 86.94 M in both. SSP has 9.19 M in the authors' code and here, 7.27 in the",
    "  paper's table (94.21 - 86.94); TMD with its classifier 10.53, there 10.08. So 106.67 M here. The released state",
    "  dict has 107.15 M entries with MARS' 625 classes, unused ones and running statistics among them.",
)
RESULT = Path(__file__).parent / "results" / "models.md"


def make(name: str, size: str, device: str) -> tuple[nn.Module, Recipe]:
    recipe = dataclasses.replace(zoo.recipe(name, size), pretrained="")
    model = zoo.module(name).build(recipe, CLASSES, CAMERAS)
    if hasattr(model, "bank"):
        texts = [[f"a person in a {a} shirt with {b} shoes" for b in COLOURS[:4]] for a in COLOURS]
        encoded = encode_words([texts[label % len(texts)] for label in range(CLASSES)], model.memory.shape[1])
        model.bank.fill(encoded, recipe.caption_tokens)
    return model.to(device), recipe


def timed(work: Callable[[], object], repeats: int, device: str) -> float:
    """Median milliseconds."""
    times = []
    for _ in range(repeats):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def peak(work: Callable[[], object], model: nn.Module, device: str, *there: Tensor) -> float:
    """MiB. `there`: other tensors that are there before; a GPU's count has them anyway."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) / 2**20
    with TensorMemory(model, *there) as memory:
        work()
    return memory.peak / 2**20


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def training(name: str, size: str, device: str, repeats: int) -> dict:
    model, recipe = make(name, size, device)
    optimiser = make_optimiser(model.train(), recipe)
    count = recipe.identities * recipe.tracklets
    clips = torch.randn(count, recipe.clip.frames, 3, recipe.clip.height, recipe.clip.width, device=device)
    labels = torch.arange(count, device=device) // recipe.tracklets
    cameras = torch.arange(count, device=device) % CAMERAS
    half = device.startswith("cuda") and recipe.precision == "bf16"

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            loss, _ = combine(model(clips, cameras, labels), labels, recipe)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    step()  # the optimiser's own tensors come with the first
    state = [t for held in optimiser.state.values() for t in held.values() if isinstance(t, Tensor)]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    memory = peak(step, model, device, clips, *state, *gradients)
    return {
        "batch": f"{count} x {recipe.clip.frames}",
        "train_ms": timed(step, repeats, device) / count,
        "train_mib": memory,
    }


def test(name: str, size: str, device: str, repeats: int) -> dict:
    model, recipe = make(name, size, device)
    clip = (recipe.test_frames, 3, recipe.clip.height, recipe.clip.width)
    cost = complexity.measure(model, clip, device, name=name, size=size, repeats=repeats, precision=recipe.precision)
    return {
        "T": recipe.test_frames,
        "gflops": cost.gflops,
        "parameters": cost.parameters / 1e6,
        "test_ms": cost.milliseconds,
        "test_mib": cost.memory_mib,
    }


def row(name: str, size: str, device: str, repeats: int, train: bool) -> str:
    found = test(name, size, device, repeats)
    cells = [name, f"{found['parameters']:.2f}"]
    if train:
        found |= training(name, size, device, repeats)
        cells += [found["batch"], f"{found['train_ms']:.1f}", f"{found['train_mib']:.0f}"]
    cells += [str(found["T"]), f"{found['gflops']:.2f}", f"{found['test_ms']:.1f}", f"{found['test_mib']:.0f}"]
    return f"| {' | '.join(cells)} |"


def header(train: bool) -> list[str]:
    names = ["model", "parameters, M"]
    if train:
        names += ["batch, clips x T", "train, ms a clip", "train, MiB a batch"]
    names += ["test T", "test, GFLOPs a clip", "test, ms a clip", "test, MiB a clip"]
    return [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", default=",".join(zoo.MODULES), help="names with commas")
    parser.add_argument("--repeats", type=int, help="[default: 5, on a GPU 20]")
    parser.add_argument("--threads", type=int, help="[default: torch's own]")
    parser.add_argument("--quick", action="store_true", help="one repeat; on the CPU no full size")
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    gpu = options.device.startswith("cuda")
    repeats = 1 if options.quick else options.repeats or (20 if gpu else 5)
    if gpu:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True

    # size, repeats, whether a training step is taken: a batch at full size is no work for a CPU
    parts = [("full", repeats, True)] if gpu else [("tiny", repeats, True), ("full", 3, False)]
    if options.quick:
        parts = parts[:1]
    kind = "the recipe's precision (bf16 autocast)" if gpu else "float32"
    lines = [
        "# The models against each other",
        "",
        f"Machine: {describe(options.device)}. {kind[0].upper()}{kind[1:]}, weights made up, {CLASSES} identities, "
        f"{CAMERAS} cameras.",
        f"Medians of {repeats} (3 to {repeats} where a clip takes over a second). Training: forward, losses, backward,",
        "optimiser. Test: one clip a time, from pixels to its feature; STMN's recipe takes each clip twice, with its",
        "mirror image. Memory: what tensors took at once, the model and in training the optimiser's moments included.",
        "GFLOPs count a multiply-add as two; papers count it as one.",
    ]
    for size, count, train in parts:
        recipes = [zoo.recipe(name, size) for name in options.models.split(",")]
        pixels = sorted({f"{r.clip.height}x{r.clip.width}" for r in recipes})
        lines += ["", f"## Size {size}, {' and '.join(pixels)} pixels", "", *header(train)]
        for name in options.models.split(","):
            lines.append(row(name, size, options.device, count, train))
            print(lines[-1], flush=True)
    lines += ["", *PAPER]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
