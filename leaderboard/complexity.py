"""What a model costs: parameters, GFLOPs a clip, milliseconds a clip, memory. `reidkit table complexity` shows it.

    cost = measure(model, (8, 3, 256, 128), "cpu", name="cgclip")
    save("results", cost)                       # results/complexity/cgclip.json

GFLOPs are those of torch's own counter (`torch.utils.flop_counter`): a multiply and an add count as two.
"""

import dataclasses
import json
import math
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from ..datasets.files import write_json
from .results import environment
from .tables import Cell, Row, Table

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """Of `embed` on one clip [1, T, 3, H, W], as at test time.

    Attributes:
        parameters: of the whole module, training-only parts included.
        gflops: 10^9 operations a clip.
        milliseconds: median a clip.
        memory_mib: on a GPU the peak of allocated memory, on the CPU what the process grew by to its peak (a lower
            bound: memory it already had is used again).
    """

    model: str
    size: str
    clip: list
    parameters: int
    gflops: float
    milliseconds: float
    memory_mib: float
    device: str
    environment: dict
    format: int = FORMAT


def measure(
    model: object, clip_shape: tuple[int, int, int, int], device: str = "cpu", *, name: str = "", size: str = "full",
    repeats: int = 10,
) -> Complexity:  # fmt: skip
    """Measures `model.embed(clips, cameras)` on a clip of `clip_shape` [T, 3, H, W]. The model is put on `device`."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    on_gpu = str(device).startswith("cuda")
    model = model.to(device).eval()
    clip = torch.zeros(1, *clip_shape, device=device)
    camera = torch.zeros(1, dtype=torch.int64, device=device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    before = _peak_mib()
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            model.embed(clip, camera)
        times = []
        for _ in range(repeats):
            if on_gpu:
                torch.cuda.synchronize()
            started = time.perf_counter()
            model.embed(clip, camera)
            if on_gpu:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
    memory = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else _peak_mib() - before
    return Complexity(
        model=name or type(model).__name__,
        size=size,
        clip=list(clip_shape),
        parameters=sum(p.numel() for p in model.parameters()),
        gflops=counter.get_total_flops() / 1e9,
        milliseconds=1e3 * sorted(times)[len(times) // 2],
        memory_mib=memory,
        device=torch.cuda.get_device_name() if on_gpu else "cpu",
        environment=environment(),
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def save(root: Path | str, cost: Complexity) -> Path:
    """Writes `results/complexity/<model>.json` (`<model>-<size>.json` where the size is not full)."""
    name = cost.model + ("" if cost.size == "full" else f"-{cost.size}")
    path = Path(root) / "complexity" / f"{name}.json"
    write_json(path, dataclasses.asdict(cost))
    return path


def load(root: Path | str) -> tuple[list[Complexity], list[str]]:
    """All stored figures, and what is wrong with the files that are left out."""
    costs, problems = [], []
    for path in sorted((Path(root) / "complexity").rglob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            cost = Complexity(**{f.name: record[f.name] for f in dataclasses.fields(Complexity)})
            numbers = (cost.parameters, cost.gflops, cost.milliseconds, cost.memory_mib)
            good = cost.format <= FORMAT and all(math.isfinite(n) and n >= 0 for n in numbers)
            good = good and len(cost.clip) == 4 and isinstance(cost.model, str)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            good = False
        if good:
            costs.append(cost)
        else:
            problems.append(f"Left out: '{path}' is damaged, of a newer format, or holds a figure that is no number.")
    return costs, problems


def table(root: Path | str) -> list[Table]:
    """The complexity table; one a device, as milliseconds on two devices are no column."""
    costs, problems = load(root)
    devices = sorted({_machine(c) for c in costs})
    columns = (("", "M parameters"), ("", "GFLOPs a clip"), ("", "ms a clip"), ("", "memory, MiB"), ("", "T"))
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
            )
            rows.append(Row(label, cells))
        notes = (f"One clip a time on {device}.",) if device else ("No model was measured yet.",)
        tables.append(Table("Complexity", columns, tuple(rows), notes, tuple(problems)))
        problems = []
    return tables


def _machine(cost: Complexity) -> str:
    if cost.device != "cpu":
        return cost.device
    hardware = cost.environment.get("hardware", {})
    return f"{hardware.get('cpu', 'a CPU')}, {hardware.get('cores', '?')} cores"
