"""Software, hardware and git commit of this machine, as a result holds them: `environment()`."""

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from ..datasets.cores import usable_cores

LIBRARIES = ("torch", "torchvision", "open_clip_torch", "numpy", "scipy", "scikit-learn", "polars")


class Environment(TypedDict, total=False):
    """What computed a figure. `hardware` holds system, cpu, cores, and where a GPU took part gpu, gpus and cuda."""

    software: dict[str, str]
    hardware: dict[str, str | int | None]
    commit: str


def environment() -> Environment:
    """Of this process. No host name, no user, no path."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.machine()}"
    return {
        "software": {"reidkit": _version(), "python": platform.python_version(), **versions},
        "hardware": {"system": system, "cpu": cpu_model(), "cores": usable_cores(), **_gpu()},
        "commit": git_commit(),
    }


def _version() -> str:
    try:
        return metadata.version("reidkit")
    except metadata.PackageNotFoundError:
        return "unknown"


def cpu_model() -> str:
    """The processor's name, as the system gives it."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or "unknown"


def _gpu() -> dict[str, str | int | None]:
    torch = sys.modules.get("torch")  # where nobody loaded it, no GPU took part
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"gpu": torch.cuda.get_device_name(), "gpus": torch.cuda.device_count(), "cuda": torch.version.cuda}


def git_commit() -> str:
    """Commit of the checkout that reidkit runs from, with "+" where files differ from it; "" outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20)

    try:
        head, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else ""
