"""`reidkit doctor`: what is here, what is missing for each command, and the fix."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from ..datasets.cores import usable_cores
from .options import DATA, JSON
from .terminal import print_json, show, tell

State = Literal["ok", "absent", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line of the report: `needed_by` names commands, `fix` is empty where nothing is missing."""

    what: str
    state: State
    detail: str
    needed_by: str = ""
    fix: str = ""


@click.command()
@DATA
@JSON
def doctor(data: Path | None, as_json: bool) -> None:
    """Look at the machine, the libraries, the weights and the datasets.

    Exit code 1 if something is broken; what is merely absent is listed with what it is needed for.
    """
    sections = {
        "Machine": machine(),
        "Libraries": libraries(),
        "Weights": weights(),
        "Datasets": datasets(data),
    }
    if as_json:
        print_json({name: [asdict(f) for f in found] for name, found in sections.items()})
    else:
        report(sections)
    if any(f.state == "broken" for found in sections.values() for f in found):
        raise SystemExit(1)


def report(sections: dict[str, list[Finding]]) -> None:
    """Prints the findings, then what is missing with its fix."""
    from rich.text import Text

    marks = {"ok": Text("yes", "green"), "absent": Text("no", "yellow"), "broken": Text("broken", "red")}
    for title, found in sections.items():
        rows = [(marks[f.state], f.what, f.detail, f.needed_by) for f in found]
        show(("here", "what", "", "needed by"), rows, title=title)
    missing = [f for found in sections.values() for f in found if f.fix]
    if missing:
        tell("What is missing, and how to get it")
        for f in missing:
            tell(f"  {f.what}: {f.fix}")


def machine() -> list[Finding]:
    """Processor, memory, disk, GPU, ffmpeg, whether a video can be decoded, and the loops of ranking, compiled now."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    free = shutil.disk_usage(".").free / 1024**3
    found = [
        Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("processor", "ok", f"{usable_cores()} cores, {memory:.0f} GB memory, {free:.0f} GB of disk free here"),
        _probe("GPU", _gpus, "faster training; nothing needs it", ""),
        _probe("ffmpeg", _ffmpeg, "simulate", "pip install imageio-ffmpeg, or your system's ffmpeg package."),
        _probe("H.264 decoding", _decoder, "build-dataset", "pip install av"),
        _probe("ranking loops", _loops, "a fast first ranking", "set NUMBA_CACHE_DIR to a folder that can be written."),
    ]
    return found


def _probe(what: str, look: Callable[[], str], needed_by: str, fix: str) -> Finding:
    try:
        detail = look()
    except Exception as error:  # a probe reports, whatever breaks
        return Finding(what, "broken", f"{type(error).__name__}: {error}", needed_by, fix)
    return Finding(what, "ok", detail, needed_by) if detail else Finding(what, "absent", "", needed_by, fix)


def _gpus() -> str:
    import torch

    if not torch.cuda.is_available():
        return ""
    names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return ", ".join(f"{gpu.name} {gpu.total_memory / 1024**3:.0f} GB" for gpu in names)


def _ffmpeg() -> str:
    system = shutil.which("ffmpeg")
    if system:
        return system
    import imageio_ffmpeg

    return f"imageio-ffmpeg's {imageio_ffmpeg.get_ffmpeg_version()}"


def _decoder() -> str:
    import av

    av.codec.Codec("h264", "r")
    return f"PyAV {av.__version__}"


def _loops() -> str:
    from ..leaderboard.warm import warm

    folder = warm()
    return f"compiled, in {folder}" if folder else ""


def libraries() -> list[Finding]:
    """The libraries commands stand on, and the extras."""
    found = [
        Finding(name, "ok", version) if (version := _version(name)) else Finding(name, "broken", "", "", "make install")
        for name in ("torch", "torchvision", "open_clip_torch", "onnxruntime", "supervision", "trackers", "polars")
    ]
    extras = (
        ("ultralytics", "build-dataset --detector NAME.pt (AGPL-3.0)", "pip install 'reidkit[yolo]'"),
        ("transformers", "caption --captioner transformers", "pip install 'reidkit[captions]'"),
        ("onnx", "export-model", "pip install 'reidkit[onnx]'"),
        ("h5py", "run --bench ls-vid, whose query table is a MATLAB 7.3 file", "pip install 'reidkit[lsvid]'"),
    )
    for name, needed_by, fix in extras:
        version = _version(name)
        found.append(Finding(name, "ok" if version else "absent", version, needed_by, "" if version else fix))
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def weights() -> list[Finding]:
    """Weights of the table of `reidkit weights`: those that ship, those that are here, and those of the defaults."""
    from ..training import weights as known
    from .weights import state_of

    found = []
    for entry in known.table().values():
        row = state_of(entry)
        match row["state"]:
            case "ships" | "here":
                found.append(Finding(entry.name, "ok", row["path"], entry.needed_by))
            case "other":
                fix = f"it is not the release; move it away, then `{row['get']}`."
                found.append(Finding(entry.name, "broken", row["path"], entry.needed_by, fix))
            case "absent" if entry.owner == "package":
                found.append(Finding(entry.name, "broken", "", entry.needed_by, "Install reidkit again."))
            case "absent" if entry.default:
                found.append(Finding(entry.name, "absent", row["size"], entry.needed_by, f"`{row['get']}`"))
    return found


def datasets(data: Path | None) -> list[Finding]:
    """The benches under the data folder."""
    from ..datasets.benches import BENCHES, data_root, how_to_get, present

    root = data or data_root()
    return [
        Finding(name, "ok", str(path), "run --bench all")
        if (path := present(name, root))
        else Finding(name, "absent", f"not under {root}", "run --bench all", how_to_get(name))
        for name in BENCHES
    ]
