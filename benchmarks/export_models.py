"""Every model as ONNX beside PyTorch: largest difference, size of the file, milliseconds a clip.

    python benchmarks/export_models.py                    # full size; writes results/onnx.md
    python benchmarks/export_models.py --size tiny --models tfclip,stmn -o /tmp/onnx.md

Weights are made up, and what starts at zero doesn't stay there, so that every part counts. Clips are crops of simulated
people. Milliseconds are medians of one clip of the recipe's test length at a time, both on the same number of threads.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from machine import describe
from torch import nn

from reidkit.cli.export_model import render_people
from reidkit.datasets import Tracklet
from reidkit.datasets.folder import read_folder
from reidkit.toolkit.embedder_input import CAMERAS
from reidkit.toolkit.export_model import CLOSE, clips_of, exported, facts_of
from reidkit.toolkit.onnx_session import open_session
from reidkit.training import zoo
from reidkit.training.model import build
from reidkit.training.recipe import Recipe
from reidkit.training.trained import knows_cameras

CLASSES, FILMED_BY = 625, 6
RESULT = Path(__file__).parent / "results" / "onnx.md"


def made_up(name: str, size: str) -> tuple[nn.Module, Recipe]:
    """The model in test mode; what starts at zero gets small numbers."""
    recipe = dataclasses.replace(zoo.recipe(name, size), pretrained="")
    torch.manual_seed(0)
    model = build(zoo.module(name), recipe, CLASSES, FILMED_BY)
    for parameter in model.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.02)
    return model.eval(), recipe


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Median, after one that isn't counted."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def row(name: str, size: str, tracklets: tuple[Tracklet, ...], repeats: int) -> str:
    """The model's line of the table."""
    model, recipe = made_up(name, size)
    cameras = knows_cameras(zoo.module(name), recipe)
    started = time.perf_counter()
    data, facts, compared = exported(model, recipe, facts_of(model, recipe, name, size), tracklets, cameras=cameras)
    seconds = time.perf_counter() - started
    clips, who = next(clips_of(tracklets, recipe, recipe.test_frames, 1))
    session = open_session(data, torch.get_num_threads(), gpu=False)
    feed = {"clips": clips.numpy(), CAMERAS: who.numpy()}
    feed = {one.name: feed[one.name] for one in session.get_inputs()}
    with torch.inference_mode():
        embed = getattr(model, "embed")  # noqa: B009 (nn.Module declares none)
        in_torch = milliseconds(lambda: embed(clips, who), repeats)
    in_onnx = milliseconds(lambda: session.run(None, feed), repeats)
    step = facts.frame_step
    length = "any" if step == 1 else f"multiples of {step}" if step else f"{facts.frames} alone"
    tried = ", ".join(str(frames) for frames in sorted({one.frames for one in compared}))
    worst = max(one.difference for one in compared)
    cells = [name, str(facts.frames), length, tried, f"{worst:.1e}", f"{len(data) / 1e6:.1f}"]
    return f"| {' | '.join([*cells, f'{in_torch:.0f}', f'{in_onnx:.0f}', f'{seconds:.0f}'])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(zoo.MODULES), help="names with commas")
    parser.add_argument("--size", default="full")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    names = ["model", "T", "clip length", "lengths tried", "largest difference", "MB"]
    names += ["PyTorch, ms", "ONNX Runtime, ms", "export, s"]
    lines = [
        "# Models as ONNX",
        "",
        f"Machine: {describe()}, ONNX Runtime {onnxruntime.__version__}.",
        f"Size {options.size}, float32, weights made up: `python benchmarks/export_models.py --size {options.size}`.",
        "",
        "The difference is that of any number of two features brought to length 1, over clips of simulated people,",
        f"one and three at a time; {CLOSE:g} is allowed.",
        f"Milliseconds are medians of {options.repeats}, one clip of T frames at a time, pixels given; STMN's recipe",
        "takes a clip twice, with its mirror image, here it is once. The last column: exporting and comparing.",
        "",
        f"| {' | '.join(names)} |",
        "|" + "---|" * len(names),
    ]
    with tempfile.TemporaryDirectory() as folder:
        render_people(Path(folder))
        tracklets = read_folder(folder)
        for name in options.models.split(","):
            lines.append(row(name, options.size, tracklets, options.repeats))
            print(lines[-1], flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
