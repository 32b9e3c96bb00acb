"""Files of a folder exchanged all at once: whoever kills it and runs it again comes to the same end.

    with staged(root) as new:                       # an empty folder beside the files, for what is to take their place
        write(new / "frames.parquet")
    commit(root, Plan(replace=("frames.parquet", "dataset.json"), remove=("floor.jpg",)))
    finish(root)                                    # after a kill: what was begun

Until the plan is written nothing has changed, and what lies in the staging folder is thrown away. From then on the plan
is carried out to its end, now or by the next call; as its first step dataset.json goes, and it comes back as the last.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ...datasets.errors import UsageError
from ...datasets.files import lies_below, sync_folder, write_json
from ...datasets.format import FORGETTING, FORGETTING_PLAN, MANIFEST
from ...datasets.schema import read_json

NEW = "new"
FIX = "Copy the dataset again, or build it again."


@dataclass(frozen=True)
class Plan:
    """What is to happen; names are those of files and folders below the dataset's.

    Attributes:
        replace: staged files that take their places, dataset.json among them.
        remove: what goes.
        done: whom this forgets, for the one who runs the same command again; gone with the plan.
    """

    replace: tuple[str, ...]
    remove: tuple[str, ...]
    done: tuple[int, ...] = ()


def pending(root: Path) -> bool:
    """Whether a plan was begun and not ended."""
    return (root / FORGETTING_PLAN).exists()


def discard(root: Path) -> bool:
    """Throws away what a kill left before there was a plan; whether there was anything."""
    there = (root / FORGETTING).exists() and not pending(root)
    if there:
        shutil.rmtree(root / FORGETTING)
    return there


@contextmanager
def staged(root: Path) -> Iterator[Path]:
    """An empty folder for new files, on the file system of the dataset; thrown away where the block fails."""
    new = root / FORGETTING / NEW
    shutil.rmtree(root / FORGETTING, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(root / FORGETTING, ignore_errors=True)
        raise


def commit(root: Path, plan: Plan) -> None:
    """Writes the plan, after which there is no way back, and carries it out."""
    for name in plan.replace:
        with open(root / FORGETTING / NEW / name, "rb+") as file:
            os.fsync(file.fileno())
    write_json(root / FORGETTING_PLAN, asdict(plan))
    finish(root)


def finish(root: Path) -> tuple[int, ...]:
    """Carries out what is left of the plan; returns whom it forgets.

    Raises:
        UsageError: the plan can't be read, or names a file outside the folder.
    """
    home = root / FORGETTING
    plan = read_json(root / FORGETTING_PLAN, Plan, FIX)
    for name in (*plan.replace, *plan.remove):
        if not lies_below(name):
            raise UsageError(
                f"'{root / FORGETTING_PLAN}' names {ascii(name)[:100]}, which is no file of the dataset. {FIX}"
            )
    if (home / NEW / MANIFEST).exists():
        (root / MANIFEST).unlink(missing_ok=True)
        sync_folder(root)
    for name in plan.remove:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    touched = {root}
    for name in sorted(plan.replace, key=lambda name: name == MANIFEST):
        new = home / NEW / name
        if new.exists():
            if name == MANIFEST:
                for folder in sorted(touched):
                    sync_folder(folder)
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(new, root / name)
            touched.add((root / name).parent)
    sync_folder(root)
    shutil.rmtree(home / NEW, ignore_errors=True)
    (root / FORGETTING_PLAN).unlink()
    shutil.rmtree(home, ignore_errors=True)
    return plan.done
