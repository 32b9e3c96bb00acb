"""The folder that a build writes to: whether it may, that no other build does, and what in it is the build's own.

    refuse_other(out)                       # before any work
    with claim(out):                        # marked as a build and locked
        before = invalidate(out, key)       # a build with other settings is set aside before anything changes
        …
        forget_former(out)                  # when the manifest is written

What somebody else put into the folder is neither overwritten nor deleted.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..datasets import UsageError
from ..datasets.files import atomic_path, sha256_file, write_json
from ..datasets.format import (
    ASIDE,
    ATTRIBUTES,
    CAPTIONS,
    CROPS,
    DECISIONS,
    FORGOTTEN,
    FRAMES,
    MANIFEST,
    TRACKLETS,
)
from ..datasets.locks import exclusive
from ..datasets.manifest import refuse_divided_half
from ..datasets.schema import read_json
from .forget import swap

WORK = ".work"
MARK = "build.json"
WRITTEN = "written.json"
LOCK = "lock"
FORMER = "former"
# What `atomic_path` leaves when the process is killed: .NAME.PROCESS.tmp
LEFT = re.compile(r"\..+\.\d+\.tmp")


@dataclass(frozen=True)
class _Mark:
    tool: Literal["reidkit build-dataset"]


@dataclass(frozen=True)
class _Built:
    """The keys that every manifest of a build has, whatever its version; `reviewed` since decisions are carried."""

    format: int
    build: str
    fingerprint: str
    files: dict[str, str]
    reviewed: str = ""


@dataclass(frozen=True)
class _Written:
    """Name of a file -> sha256 of the contents that builds gave it, the newest last."""

    files: dict[str, list[str]] = field(default_factory=dict)


def refuse_other(out: Path) -> None:
    """Does nothing where `out` is absent, an empty folder, or that of an earlier build.

    Raises:
        UsageError: somebody was forgotten from it, a new division of it was stopped, it is a file, or it holds
            something that no build of reidkit wrote.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"'{out}' is a file; give a folder as output, new, empty, or of an earlier build.")
    if (out / FORGOTTEN).exists() or swap.pending(out):
        raise UsageError(
            f"People were taken out of '{out}' (`reidkit forget`), and a build from the footage would bring them back: "
            "nothing was kept that tells them from others. Build into another folder, and take them out there, too."
        )
    refuse_divided_half(out)
    if (out / MANIFEST).exists():
        if _read(out / MANIFEST, _Built) is None:
            raise UsageError(
                f"'{out / MANIFEST}' was not written by `reidkit build-dataset`, or is damaged. Move it away, or give "
                "a new or empty folder."
            )
        return
    if _read(out / WORK / MARK, _Mark) is not None:
        return
    inside = [path for path in out.iterdir() if path.name != WORK]
    if (out / WORK).is_dir():  # a build that was killed as it began leaves no more than its lock
        inside += [path for path in (out / WORK).iterdir() if path.name != LOCK and not LEFT.fullmatch(path.name)]
    if inside:
        first = min(str(path.relative_to(out)) for path in inside)
        raise UsageError(
            f"'{out}' holds something else ('{first}'). Give a new or empty folder, or that of an earlier build."
        )


@contextmanager
def claim(out: Path) -> Iterator[None]:
    """Makes the output folder the build's while the block runs: locked against a second build, and marked.

    Raises:
        UsageError: another build is at work in it.
        ReidkitError: it can't be written.
    """
    busy = f"Another build is at work in '{out}'. Wait for it, or choose another folder."
    with exclusive(out / WORK / LOCK, busy):
        if _read(out / WORK / MARK, _Mark) is None:
            write_json(out / WORK / MARK, {"tool": "reidkit build-dataset"})
        for folder in (out.glob("*"), (out / CROPS).glob("*"), (out / WORK).rglob("*")):
            for path in sorted(folder):
                if LEFT.fullmatch(path.name) and path.is_file():
                    path.unlink()
        yield


def log_digest(folder: Path) -> str:
    """sha256 of the review decisions in a folder; "" where there are none."""
    log = folder / DECISIONS
    return sha256_file(log) if log.is_file() and log.stat().st_size else ""


def is_current(out: Path, key: str) -> bool:
    """Whether the folder holds the build of that key, and nobody has decided anything since."""
    before = _read(out / MANIFEST, _Built)
    return before is not None and (before.build, before.reviewed) == (key, log_digest(out))


def invalidate(out: Path, key: str) -> Path | None:
    """Sets a build that isn't current aside, before anything that its manifest speaks of changes.

    Returns:
        The folder with the tables and the decisions of the earlier build, for this one to take up; None: there is none.
    """
    before = _read(out / MANIFEST, _Built)
    aside = out / WORK / FORMER
    if before is None:
        return aside if (aside / MANIFEST).is_file() else None
    # Of a dataset that was copied without its work, or built by an older reidkit, the manifest alone knows this.
    digest = before.files.get(ATTRIBUTES)
    if digest is not None and not is_own(out, ATTRIBUTES, digest):
        note_own(out, ATTRIBUTES, digest)
    if is_current(out, key):
        return out
    forget_former(out)
    for name in (TRACKLETS, FRAMES, DECISIONS, CAPTIONS, MANIFEST):  # the manifest last: the copy is whole
        if (out / name).is_file():
            with atomic_path(aside / name) as temporary:
                shutil.copyfile(out / name, temporary)
    (out / ASIDE).unlink(missing_ok=True)  # of a division that was killed when it had ended
    (out / MANIFEST).unlink()
    return aside


def forget_former(out: Path) -> None:
    """Takes away what `invalidate` set aside, the manifest first."""
    aside = out / WORK / FORMER
    if aside.is_dir():
        (aside / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(aside)


def note_own(out: Path, name: str, digest: str) -> None:
    """Remembers, before the file is written, that a build gives `name` the content of this sha256."""
    written = dict((_read(out / WORK / WRITTEN, _Written) or _Written()).files)
    # The content before stays known: a kill may come between this note and the file.
    written[name] = [*(d for d in written.get(name, ()) if d != digest), digest][-2:]
    write_json(out / WORK / WRITTEN, {"files": written})


def is_own(out: Path, name: str, digest: str | None = None) -> bool:
    """Whether a build gave the file `name` the content that it has (or that of the given sha256)."""
    if digest is None:
        if not (out / name).is_file():
            return False
        digest = sha256_file(out / name)
    written = _read(out / WORK / WRITTEN, _Written)
    return written is not None and digest in written.files.get(name, ())


def _read(path: Path, schema: type):
    """The file as `schema`, or None where it is absent, or something else."""
    try:
        return read_json(path, schema, "") if path.is_file() else None
    except UsageError:
        return None
