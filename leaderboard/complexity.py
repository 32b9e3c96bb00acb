"""What a model costs: parameters, GFLOPs a clip, milliseconds a clip, memory. `reidkit table complexity` shows it.

    reidkit models --measure all                # writes results/complexity/<model>.json
    cost = measure(model, (8, 3, 256, 128), "cpu", name="cgclip")
    save("results", cost)                       # the same, for one model

GFLOPs are those of torch's own counter (`torch.utils.flop_counter`): a multiply and an add count as two. Papers of this
field mostly print multiply-adds under that name, so the table has them too, for one frame.
"""

import contextlib
import copy
import dataclasses
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from msgspec import Meta

from ..datasets import ReidkitError
from ..datasets.files import write_json
from ..datasets.schema import read_json
from .environment import Environment, environment
from .tables import Cell, Row, Table

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
NOTES = (
    "GFLOPs count a multiply-add as two (torch.utils.flop_counter; matrix products, attention, convolutions). "
    "Papers count it as one: their GFLOPs a frame compare with the last column.",
    "Test time, from a clip to its feature: what serves training only has parameters here but no operations. "
    "Memory: the most that tensors took at once, the model's parameters included.",
)
LONGEST = 5.0  # seconds; a slow model is repeated less, three times at least

Figure = Annotated[float, Meta(ge=0)]
Size = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """Of `embed` on one clip [1, T, 3, H, W], as at test time.

    Attributes:
        parameters: of the whole module, training-only parts included.
        gflops: 10^9 operations a clip, matrix products and convolutions; a multiply-add is two.
        milliseconds: median a clip.
        memory_mib: the most that tensors took at once, the model included.
        device: "cpu", or the GPU's name.
        precision: fp32, or bf16 under autocast.
    """

    model: str
    size: str
    clip: tuple[Size, Size, Size, Size]
    parameters: Annotated[int, Meta(ge=0)]
    gflops: Figure
    milliseconds: Figure
    memory_mib: Figure
    device: str
    environment: Environment
    precision: str = "fp32"
    format: Annotated[int, Meta(ge=1, le=FORMAT)] = FORMAT


def gigaflops(model: "nn.Module", clip_shape: tuple[int, int, int, int], device: str = "meta") -> float:
    """10^9 operations of `model.embed` on one clip [T, 3, H, W]; on the meta device nothing is computed.

    Raises:
        RuntimeError, NotImplementedError: torch's, on the meta device where `embed` reads a value.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    clip, camera = _input(clip_shape, device)
    # The counter hooks the gradient function of every input that requires a gradient. A view of a parameter that was
    # made under `no_grad` requires one and has no such function; hence no parameter may require one here.
    with torch.no_grad(), _frozen(model), FlopCounterMode(display=False) as counter:
        _embed(model, clip, camera)
    return counter.get_total_flops() / 1e9


def measure(
    model: "nn.Module", clip_shape: tuple[int, int, int, int], device: str = "cpu", *, name: str = "",
    size: str = "full", repeats: int = 10, precision: str = "fp32",
) -> Complexity:  # fmt: skip
    """Measures `model.embed(clips, cameras)` on one clip. The model is put on `device`, in test mode.

    Args:
        clip_shape: [T, 3, H, W].
        name, size: what the figures are stored as.
        repeats: timings, of which the median is taken; fewer where they take over five seconds.
        precision: "bf16" under autocast on a GPU; elsewhere everything is fp32.
    """
    import torch

    from .tensor_memory import TensorMemory

    on_gpu = str(device).startswith("cuda")
    model = model.to(device).eval()
    clip, camera = _input(clip_shape, device)
    # fused kernels of a device (oneDNN's and cuDNN's LSTM) are not all known to the counter; on shapes nothing is fused
    try:
        operations = gigaflops(copy.deepcopy(model).to("meta"), clip_shape)
    except (RuntimeError, NotImplementedError):  # its `embed` reads values
        operations = gigaflops(model, clip_shape, device)
    with torch.inference_mode():
        _embed(model, clip, camera)  # warms up
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    casting = torch.autocast("cuda", torch.bfloat16, enabled=on_gpu and precision == "bf16")
    with torch.inference_mode(), casting:
        if on_gpu:
            _embed(model, clip, camera)
            memory = torch.cuda.max_memory_allocated(device)
        else:
            with TensorMemory(model, clip, camera) as watched:
                _embed(model, clip, camera)
            memory = watched.peak
        times: list[float] = []
        while len(times) < repeats and (len(times) < 3 or sum(times) < LONGEST):
            if on_gpu:
                torch.cuda.synchronize()
            started = time.perf_counter()
            _embed(model, clip, camera)
            if on_gpu:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
    return Complexity(
        model=name or type(model).__name__,
        size=size,
        clip=clip_shape,
        parameters=sum(p.numel() for p in model.parameters()),
        gflops=operations,
        milliseconds=1e3 * sorted(times)[len(times) // 2],
        memory_mib=memory / 2**20,
        device=torch.cuda.get_device_name(device) if on_gpu else "cpu",
        environment=environment(),
        precision=precision if on_gpu else "fp32",
    )


def _embed(model: "nn.Module", clip: "Tensor", camera: "Tensor") -> "Tensor":
    return cast(Any, model).embed(clip, camera)


def _input(clip_shape: tuple[int, int, int, int], device: str) -> "tuple[Tensor, Tensor]":
    import torch

    return torch.zeros(1, *clip_shape, device=device), torch.zeros(1, dtype=torch.int64, device=device)


@contextlib.contextmanager
def _frozen(model: "nn.Module") -> Iterator[None]:
    """No parameter requires a gradient inside."""
    required = [p for p in model.parameters() if p.requires_grad]
    for parameter in required:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in required:
            parameter.requires_grad_(True)


def save(root: Path | str, cost: Complexity) -> Path:
    """Writes `results/complexity/<model>[-<size>][-<GPU>].json`: the size where it is not full, the GPU if on one.

    An older measurement of the same is replaced.

    Raises:
        ReidkitError: the folder can't be written.
    """
    name = cost.model + ("" if cost.size == "full" else f"-{cost.size}")
    name += "" if cost.device == "cpu" else "-" + re.sub(r"[^a-z0-9]+", "-", cost.device.lower()).strip("-")
    path = Path(root) / "complexity" / f"{name}.json"
    write_json(path, dataclasses.asdict(cost))
    return path


def load(root: Path | str) -> tuple[list[Complexity], list[str]]:
    """All stored figures, and a sentence for each file that is left out: cut, of a newer format, or out of range."""
    costs, problems = [], []
    for path in sorted((Path(root) / "complexity").rglob("*.json")):
        try:
            costs.append(read_json(path, Complexity, "Measure that model again (`reidkit models --measure`)."))
        except ReidkitError as error:
            problems.append(f"Left out: {error}")
    return costs, problems


def table(root: Path | str) -> list[Table]:
    """The complexity table; one a device, as milliseconds on two devices are no column."""
    costs, problems = load(root)
    devices = sorted({_machine(c) for c in costs})
    columns = (("", "M parameters"), ("", "GFLOPs a clip"), ("", "ms a clip"), ("", "memory, MiB"), ("", "T"))
    columns += (("", "G multiply-adds a frame"),)
    tables = []
    for device in devices or [""]:
        rows = []
        for c in (c for c in costs if _machine(c) == device):
            label = c.model + (f" ({c.size})" if c.size != "full" else "") + f" {c.clip[2]}x{c.clip[3]}"
            cells = (
                Cell(c.parameters / 1e6, digits=2),
                Cell(c.gflops, digits=2),
                Cell(c.milliseconds),
                Cell(c.memory_mib, digits=0),
                Cell(c.clip[0], digits=0),
                Cell(c.gflops / 2 / c.clip[0], digits=2),
            )
            rows.append(Row(label, cells))
        notes = (f"One clip a time on {device}.", *NOTES)
        if not device:
            notes = ("No model was measured yet: `reidkit models --measure all` does it.",)
        tables.append(Table("Complexity", columns, tuple(rows), notes, tuple(problems)))
        problems = []
    return tables


def _machine(cost: Complexity) -> str:
    if cost.device != "cpu":
        return f"{cost.device}, {cost.precision}"
    hardware = cost.environment.get("hardware", {})
    return f"{hardware.get('cpu', 'a CPU')}, {hardware.get('cores', '?')} cores, {cost.precision}"
