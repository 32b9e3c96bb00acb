"""A trained model as an .onnx file, compared with PyTorch: `reidkit export-model`.

    written = write_model(open_model("cgclip", run, None, (), None, "cpu"), tracklets, Path("model.onnx"))
    written.largest                     # difference of unit-length features

The file takes `clips`, float32 [batch, frames, 3, H, W], normalised as its metadata say (`embedder_input.Exported`),
and of a model that knows cameras `cameras`, int64 [batch]. It gives `features`, float32 [batch, D], as
`ReidModel.embed` does: those of a tracklet's clips are averaged and then brought to length 1. Batch and, where the
model allows, clip length are free; both are tried.

PyTorch's tracing exporter does it: its younger one takes some ten times as long, needs one package more, and fails on
CG-CLIP with free clip length and on AP3D with non-local blocks.
"""

import dataclasses
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..datasets.errors import ReidkitError, UsageError
from ..datasets.files import write_atomic
from ..datasets.loader import evaluation_clips
from ..datasets.tracklet import Tracklet
from ..datasets.transforms import normalise
from ..training.recipe import Recipe
from ..training.record import origin_of
from ..training.trained import Opened, knows_cameras
from .embedder_input import CAMERAS, KEY, Exported
from .onnx_session import open_session

OPSET = 18
CLOSE = 1e-4  # that two features of length 1 may differ by in any of their numbers
MOST_CLIPS = 8
LENGTHS = (1, 2, 4, 8, 16)  # steps that are tried, in frames


@dataclass(frozen=True)
class Compared:
    """Clips of one length, embedded so many at once by both: the largest difference of any number of their features.

    Features are brought to length 1 first, so a difference is at most 2, and 1e-4 moves a cosine by 2e-4 at most.
    """

    clips: int
    batch: int
    frames: int
    difference: float


@dataclass(frozen=True)
class Written:
    """An exported model.

    Attributes:
        size: bytes.
        inputs: name -> shape, with names for what is free.
    """

    path: Path
    size: int
    facts: Exported
    inputs: dict[str, list[int | str]]
    compared: tuple[Compared, ...]

    @property
    def largest(self) -> float:
        """The largest difference."""
        return max(one.difference for one in self.compared)


class _Embedding(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor, cameras: Tensor) -> Tensor:
        embed = getattr(self.model, "embed")  # noqa: B009 (nn.Module declares none)
        return embed(clips, cameras).float()


class _Traceable(TorchFunctionMode):
    """Writes what the exporter doesn't know, or takes for constant, in other words that mean the same."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is Tensor.unflatten:  # its sizes would be those of the example for ever
            return _unflattened(*args, **(kwargs or {}))
        if func == Tensor.mT.__get__:
            return args[0].transpose(-2, -1)
        if func is F.adaptive_avg_pool2d:  # of a map whose size it lost sight of
            return _pooled(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _pooled(x: Tensor, output_size: tuple[int, int]) -> Tensor:
    """`F.adaptive_avg_pool2d` as two matrix products; the map's height and width are constants of the file."""
    rows, columns = (_windows(int(side), count) for side, count in zip(x.shape[2:], output_size, strict=True))
    return rows @ x @ columns.T


def _windows(side: int, count: int) -> Tensor:
    """[count, side]: row i averages the pixels from floor(i side / count) to ceil((i + 1) side / count)."""
    weights = torch.zeros(count, side)
    for i in range(count):
        start, end = i * side // count, -(-(i + 1) * side // count)
        weights[i, start:end] = 1 / (end - start)
    return weights


def _unflattened(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    dim %= x.dim()
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def write_model(opened: Opened, tracklets: Sequence[Tracklet], output: Path) -> Written:
    """Exports a model that lies on the CPU, compares it on clips of `tracklets`, and writes it.

    Raises:
        UsageError: the package `onnx` is not installed, or there are no tracklets.
        ReidkitError: the model can't be exported, or the file's features differ by more than `CLOSE`; nothing is
            written then.
    """
    if not tracklets:
        raise UsageError("There are no tracklets to compare on. Name others with --clips.")
    facts = facts_of(opened.model, opened.recipe, opened.title, opened.size)
    facts = msgspec.structs.replace(
        facts,
        weights=opened.weights.name,
        weights_sha256=origin_of(opened.weights).sha256,
        trained_on=opened.trained_on,
    )
    cameras = knows_cameras(opened.module, opened.recipe)
    data, facts, compared = exported(opened.model, opened.recipe, facts, tracklets, cameras=cameras)
    write_atomic(output, data)
    inputs = {one.name: list(one.shape) for one in open_session(data, gpu=False).get_inputs()}
    return Written(output, len(data), facts, inputs, compared)


def facts_of(model: nn.Module, recipe: Recipe, title: str, size: str) -> Exported:
    """What the file will say of the model, but for its weights."""
    return Exported(
        layout="NTCHW",
        height=recipe.clip.height,
        width=recipe.clip.width,
        mean=recipe.clip.mean,
        deviation=recipe.clip.std,
        frames=recipe.test_frames,
        frame_step=frame_step(model, recipe),
        model=title,
        size=size,
    )


def exported(
    model: nn.Module, recipe: Recipe, facts: Exported, tracklets: Sequence[Tracklet], *, cameras: bool
) -> tuple[bytes, Exported, tuple[Compared, ...]]:
    """The file's bytes, what it says of itself, and how near it came.

    Where clips of other lengths come out otherwise than in PyTorch, the length is fixed; the facts then say so.

    Raises:
        UsageError, ReidkitError: as `write_model`.
    """
    for attempt in (facts, msgspec.structs.replace(facts, frame_step=0)):
        data = to_onnx(model, recipe, attempt, next(clips_of(tracklets, recipe, recipe.test_frames)), cameras=cameras)
        try:
            compared = tuple(_compare(data, model, recipe, attempt, tracklets))
        except _Refused as error:
            compared, reason = (), str(error)
        else:
            worst = max(compared, key=lambda one: one.difference)
            if worst.difference <= CLOSE:
                return data, attempt, compared
            reason = f"features of clips of {worst.frames} frames differ by {worst.difference:.1e}"
        if not attempt.frame_step:
            break
    raise ReidkitError(
        f"'{facts.model}' as ONNX doesn't give what PyTorch gives ({reason}); {CLOSE:g} is allowed. Nothing is written."
    )


class _Refused(Exception):
    """ONNX Runtime ended in an error."""


def to_onnx(
    model: nn.Module, recipe: Recipe, facts: Exported, example: tuple[Tensor, Tensor], *, cameras: bool
) -> bytes:
    """The traced model with its metadata.

    Args:
        facts: `frame_step` says whether the clip length is free.
        example: clips [B, T, 3, H, W], normalised, and cameras [B].

    Raises:
        UsageError: the package `onnx` is not installed.
        ReidkitError: the exporter lacks an operator of the model.
    """
    try:
        import onnx
    except ImportError:
        raise UsageError("Exporting needs the package onnx: pip install 'reidkit[onnx]'.") from None
    names = ["clips", CAMERAS][: 1 + cameras]
    free = {"clips": {0: "batch", **({1: "frames"} if facts.frame_step else {})}, CAMERAS: {0: "batch"}}
    buffer = io.BytesIO()
    try:
        with _quiet(), torch.inference_mode(False), torch.no_grad(), _Traceable():
            torch.onnx.export(
                _Embedding(model).eval(),
                (example[0], example[1]),
                buffer,  # type: ignore[arg-type]
                input_names=["clips", CAMERAS],
                output_names=["features"],
                dynamic_axes={name: free[name] for name in names} | {"features": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:  # the exporter has no common base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ReidkitError(f"'{facts.model}' can't be exported as ONNX: {reason[:300]}.") from None
    made = onnx.load_model_from_string(buffer.getvalue())
    onnx.helper.set_model_props(made, {KEY: msgspec.json.encode(facts).decode()})
    made.producer_name = "reidkit"
    return made.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, which comparing makes good for, and the graph that it prints on failing."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)  # it prints past Python
    os.dup2(nowhere, 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
        logger.setLevel(level)


def frame_step(model: nn.Module, recipe: Recipe) -> int:
    """The fewest frames of which the model takes clips, and clips twice and three times as long; 0 where it takes clips
    of `test_frames` alone."""
    return next((step for step in LENGTHS if all(_takes(model, recipe, k * step) for k in (1, 2, 3))), 0)


def _takes(model: nn.Module, recipe: Recipe, frames: int) -> bool:
    clip = torch.zeros(1, frames, 3, recipe.clip.height, recipe.clip.width)
    try:
        with torch.inference_mode():
            _Embedding(model).eval()(clip, torch.zeros(1, dtype=torch.int64))
    except (RuntimeError, ValueError, IndexError):
        return False
    return True


def clips_of(
    tracklets: Sequence[Tracklet], recipe: Recipe, frames: int, batch: int = 2
) -> Iterator[tuple[Tensor, Tensor]]:
    """Clips [b, frames, 3, H, W], normalised, and cameras [b], of at most `MOST_CLIPS` tracklets from all over."""
    chosen = tracklets[:: -(-len(tracklets) // MOST_CLIPS)]
    spec = dataclasses.replace(recipe.clip, frames=frames)
    for clips, cameras, _ in evaluation_clips(chosen, spec, sampling="spread", batch_clips=batch, workers=0):
        yield normalise(clips, recipe.clip), cameras


def _compare(
    data: bytes, model: nn.Module, recipe: Recipe, facts: Exported, tracklets: Sequence[Tracklet]
) -> Iterator[Compared]:
    session = open_session(data, gpu=False)
    names = [one.name for one in session.get_inputs()]
    T = recipe.test_frames
    lengths = dict.fromkeys((T, facts.frame_step, 3 * facts.frame_step) if facts.frame_step else (T,))
    for frames, batch in [(T, 1), *((length, 3) for length in lengths)]:
        worst, count = 0.0, 0
        for clips, cameras in clips_of(tracklets, recipe, frames, batch):
            feed = {"clips": clips.numpy(), CAMERAS: cameras.numpy()}
            try:
                found = session.run(None, {name: feed[name] for name in names})[0]
            except Exception as error:  # ONNX Runtime's errors have no common base
                raise _Refused(f"ONNX Runtime refuses clips of {frames} frames: {str(error)[-200:]}") from None
            with torch.inference_mode():
                wanted = _Embedding(model).eval()(clips, cameras)
            if found.shape != wanted.shape or not np.isfinite(found).all():
                raise _Refused(f"its features of clips of {frames} frames are {list(found.shape)} or not finite")
            far = F.normalize(torch.from_numpy(found), dim=1) - F.normalize(wanted, dim=1)
            worst, count = max(worst, float(far.abs().max())), count + len(clips)
        yield Compared(count, batch, frames, worst)
