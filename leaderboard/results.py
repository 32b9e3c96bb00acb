"""The result store: one JSON file a result, `results/<bench>/<model>/<run id>.json`, only ever added to.

    save_result("results", result)
    results, problems = load_results("results")

A file that is damaged, of a newer format, or holds a figure that is no number is named in `problems` and left out.
"""

import dataclasses
import hashlib
import json
import math
import os
import platform
import re
import subprocess
import sys
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from ..datasets import ReidkitError, Tracklet
from ..datasets.files import sync_folder
from .ranking import Scores

FORMAT = 1
LIBRARIES = ("torch", "torchvision", "open_clip_torch", "numpy", "scipy", "scikit-learn", "polars")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model, tested on one bench. Figures in percent; means over `splits` where a protocol has several.

    Attributes:
        model: with its variant, `cgclip/no-cmr`.
        bench: the bench's name, or the dataset's where it was given as a path.
        sampling: how clips were taken from a tracklet at test time.
        splits: the metrics of each split; empty where there is one only.
        queries, skipped: averaged, and without a match; summed over splits.
        per_query: `{"query": tracklet id, "identity": int, "ap": percent, "rank": int, "top": [ids], "split": int}`.
        camera_pairs: `{"query_camera", "gallery_camera", "mAP", "R1", "queries"}`.
        dataset: `{"name", "fingerprint", "path", …}`.
        seconds: of training and test.
        created: UTC, ISO 8601.
    """

    model: str
    size: str
    bench: str
    protocol: str
    protocol_version: int
    sampling: str
    metric: str
    rerank: bool
    metrics: dict
    splits: list
    queries: int
    skipped: int
    per_query: list
    dataset: dict
    recipe: dict
    seed: int
    environment: dict
    command: str
    seconds: float
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    camera_pairs: list = field(default_factory=list)
    format: int = FORMAT

    @property
    def fingerprint(self) -> str:
        return self.dataset["fingerprint"]


@dataclass(frozen=True)
class Problem:
    """A file that was left out, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"'{self.path}' {self.reason}"


def run_id(result: Result) -> str:
    """`20261123T101500-s0-1f2e3d4c`: when, which seed, and the start of the sha256 over the record."""
    when = re.sub(r"[^0-9T]", "", result.created[:19])
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(result), sort_keys=True).encode()).hexdigest()[:8]
    return f"{when}-s{result.seed}-{digest}"


def save_result(root: Path | str, result: Result) -> Path:
    """Writes the result under a name that is not taken, whole or not at all; returns the path.

    Raises:
        ReidkitError: the record would not be read back (a NaN, a missing figure), or the folder can't be written.
    """
    record = dataclasses.asdict(result)
    if fault := _fault(record):
        raise ReidkitError(f"The result of '{result.model}' on '{result.bench}' {fault} It was not stored.")
    folder = Path(root) / result.bench / result.model
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    name = run_id(result)
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        for attempt in range(1000):
            path = folder / (f"{name}.json" if not attempt else f"{name}-{attempt + 1}.json")
            try:
                os.link(temporary, path)  # unlike a rename, a link never takes the place of a file
            except FileExistsError:
                continue
            sync_folder(folder)
            return path
        raise ReidkitError(f"'{folder / name}' is there a thousand times. Clear the folder of copies.")
    except OSError as error:
        raise ReidkitError(
            f"Cannot write a result to '{folder}': {error.strerror or error}. Choose a folder you may write to."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_results(root: Path | str) -> tuple[list[Result], list[Problem]]:
    """All results below `root`, oldest first, and the files that are none. A folder that isn't there holds nothing."""
    results, problems = [], []
    root = Path(root)
    for path in sorted(root.rglob("*.json")):
        parts = path.relative_to(root).parts
        if len(parts) < 3 or parts[0] == "complexity" or any(part.startswith(".") for part in parts):
            continue
        try:
            results.append(read_result(path))
        except ReidkitError as error:
            problems.append(Problem(path, str(error)))
    results.sort(key=lambda r: (r.created, r.model, r.seed))
    return results, problems


def read_result(path: Path | str) -> Result:
    """One result file.

    Raises:
        ReidkitError: what is wrong with it, as the end of a sentence that begins with its name.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ReidkitError(f"cannot be read ({getattr(error, 'strerror', None) or 'no text'}).") from None
    except (ValueError, RecursionError):
        raise ReidkitError("is no whole JSON file; it was cut or edited. Delete it and run that cell again.") from None
    if fault := _fault(record):
        raise ReidkitError(fault)
    names = {f.name for f in dataclasses.fields(Result)}
    return Result(**{k: v for k, v in record.items() if k in names})


def _fault(record: object) -> str:
    """What is wrong with a record, or ""."""
    if not isinstance(record, dict) or not isinstance(record.get("format"), int):
        return "is no result of reidkit: it has no 'format'."
    if record["format"] > FORMAT:
        return f"has format {record['format']}, newer than {FORMAT}, which this reidkit reads. Update reidkit."
    hints = typing.get_type_hints(Result)
    required = {f.name for f in dataclasses.fields(Result) if f.default_factory is dataclasses.MISSING}
    missing = sorted(required - set(record))
    if missing:
        return f"lacks {', '.join(missing)}."
    for name, kind in hints.items():
        value = record.get(name)
        wanted = (int, float) if kind is float else kind
        if name in record and (not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool)):
            return f"has {name} = {value!r:.60}, which is no {kind.__name__}."
    if where := _not_finite(record, ""):
        return f"has a figure that is no number: {where}."
    for name in ("model", "bench"):
        if not record[name] or record[name].startswith("/") or ".." in record[name].split("/"):
            return f"has {name} = {record[name]!r:.60}, which names no folder."
    if not record["metrics"]:
        return "has no metrics."
    for place, figures in [
        ("metrics", record["metrics"]),
        *((f"splits[{i}]", s) for i, s in enumerate(record["splits"])),
    ]:
        if not isinstance(figures, dict):
            return f"has {place}, which is no object."
        for key, value in figures.items():
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 100 + 1e-9:
                return f"has {place}.{key} = {value!r:.40}, which is no percentage."
    if not isinstance(record["dataset"].get("fingerprint"), str):
        return "has no dataset.fingerprint."
    for i, row in enumerate(record["per_query"]):
        if not isinstance(row, dict) or not {"query", "identity", "ap", "rank", "top"} <= set(row):
            return f"has per_query[{i}] without query, identity, ap, rank and top."
        if not isinstance(row["ap"], int | float) or not isinstance(row["rank"], int):
            return f"has per_query[{i}] whose ap or rank is no number."
    return ""


def _not_finite(value: object, place: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if where := _not_finite(item, f"{place}.{key}" if place else str(key)):
            return where
    return ""


def query_rows(scores: Scores, tracklets: Sequence[Tracklet], split: int = 0) -> list[dict]:
    """`scores.per_query` as a result holds it; row i of the scored features is `tracklets[i]`."""
    return [
        {
            "query": tracklets[q.index].id,
            "identity": tracklets[q.index].identity,
            "ap": round(q.ap, 4),
            "rank": q.rank,
            "top": [tracklets[i].id for i in q.top],
            "split": split,
        }
        for q in scores.per_query
    ]


def pair_rows(scores: Scores, split: int = 0) -> list[dict]:
    """`scores.camera_pairs` as a result holds it."""
    return [dataclasses.asdict(pair) | {"split": split} for pair in scores.camera_pairs]


def environment() -> dict:
    """Software, hardware and git commit of this machine, for a result. No host name, no user, no path."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "software": {"reidkit": _version(), "python": platform.python_version(), **versions},
        "hardware": {"system": f"{platform.system()} {platform.machine()}", "cpu": cpu_model(), **_cores(), **_gpu()},
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


def _cores() -> dict:
    affinity = getattr(os, "sched_getaffinity", None)
    return {"cores": len(affinity(0)) if affinity else os.cpu_count() or 1}


def _gpu() -> dict:
    torch: types.ModuleType | None = sys.modules.get("torch")  # where nobody loaded it, no GPU took part
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"gpu": torch.cuda.get_device_name(), "gpus": torch.cuda.device_count(), "cuda": torch.version.cuda}


def git_commit() -> str:
    """Commit of the checkout that reidkit runs from, with "+" where files differ from it; "" outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        run = {"cwd": root, "capture_output": True, "text": True, "timeout": 20}
        head = subprocess.run(["git", "rev-parse", "HEAD"], **run)
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], **run)
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else ""
