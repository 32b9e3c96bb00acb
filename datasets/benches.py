"""The benches: datasets by name, or by the path of a dataset in our format.

Example:

    dataset = load_bench("mars")                   # below $REIDKIT_DATA, or data/
    dataset = load_bench("ilids-vid", split=3)
    dataset = load_bench("out/my-dataset")
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from .cards import differences, read_card
from .ccvid import read_ccvid
from .errors import UsageError, choices
from .format import MANIFEST
from .ilids import SPLITS as ILIDS_SPLITS
from .ilids import in_windows, read_ilids
from .lsvid import read_lsvid
from .manifest import read_manifest
from .mars import read_mars
from .mevid import read_mevid
from .own import folds_of, read_dataset
from .prid import SPLITS as PRID_SPLITS
from .prid import read_prid
from .progress import say
from .tracklet import ReidDataset

Reader = Callable[[Path, int], ReidDataset]

BENCHES: dict[str, Reader] = {
    "mars": lambda root, split: read_mars(root),
    "ilids-vid": lambda root, split: read_ilids(root, split),
    "ls-vid": lambda root, split: read_lsvid(root),
    "mevid": lambda root, split: read_mevid(root),
    "ccvid": lambda root, split: read_ccvid(root),
    "prid-2011": lambda root, split: read_prid(root, split),
    "sports-vreid": read_dataset,
    "dance-vreid": read_dataset,
}
# Other readings of a bench's files: allowed by name, never part of `all`. Name -> (bench of the card, reader, and what
# is made of the dataset after its counts were held against the card's).
VARIANTS: dict[str, tuple[str, Reader, Callable[[ReidDataset], ReidDataset]]] = {
    "ilids-vid-tfclip": ("ilids-vid", lambda root, split: read_ilids(root, split, swap_halves=True), in_windows),
    "ls-vid-queries": (
        "ls-vid",
        lambda root, split: read_lsvid(root),
        lambda dataset: dataclasses.replace(dataset, protocol="ls-vid-queries"),
    ),
}
SPLITS = {"ilids-vid": ILIDS_SPLITS, "prid-2011": PRID_SPLITS}  # where there are several
BUILT = ("sports-vreid", "dance-vreid")  # in our format, built by whoever wants them


def data_root() -> Path:
    """Where benches are looked for: $REIDKIT_DATA, or `data/` below the working folder."""
    return Path(os.environ.get("REIDKIT_DATA") or "data")


def bench_root(name: str, root: Path | None = None) -> Path | None:
    """The folder of a named bench; `MARS`, `LS_VID` and the like are found too. None where it is absent."""
    root = data_root() if root is None else Path(root)
    name = VARIANTS[name][0] if name in VARIANTS else name
    if os.path.isdir(root / name):  # unlike Path.is_dir, it holds for names that no file system takes
        return root / name
    if not os.path.isdir(root):
        return None
    alike = sorted(p for p in root.iterdir() if _plain(p.name) == _plain(name) and p.is_dir())
    return alike[0] if alike else None


def present(name: str, root: Path | None = None) -> Path | None:
    """The folder of a bench (or of a dataset by its path) that is there to be read; a built one's build has finished.

    None where it is absent.
    """
    named = name in BENCHES or name in VARIANTS
    folder = bench_root(name, root) if named else Path(name)
    finished = folder is not None and os.path.isfile(folder / MANIFEST)
    return folder if finished or (named and name not in BUILT) else None


def how_to_get(name: str) -> str:
    """One sentence: what to do to have the bench."""
    _known(name)
    return read_card(VARIANTS[name][0] if name in VARIANTS else name).get


def bench_splits(name: str, root: Path | None = None) -> int:
    """How many splits a result is the mean of: ten for `ilids-vid` and `prid-2011`, a dataset's folds, else one.

    Raises:
        UsageError: neither a bench nor a folder, or a dataset that can't be read.
    """
    if _is_path(name):
        return folds_of(read_manifest(name))
    _known(name)
    folder = bench_root(name, root) if name in BUILT else None
    if folder is not None:
        return folds_of(read_manifest(folder))
    return SPLITS.get(name, 1)


def load_bench(name: str, data_root: Path | None = None, split: int = 0) -> ReidDataset:
    """Reads a bench by name below `data_root` (default: `benches.data_root()`), or a dataset by its path.

    A line on stderr says where counts differ from the card's.

    Raises:
        UsageError: unknown name, absent bench (with what to do), a split that it doesn't have, or incomplete files.
    """
    if _is_path(name):
        return read_dataset(name, split)
    _known(name)
    if split and bench_splits(name, data_root) == 1:
        several = ", ".join(f"{bench} has splits 0 to {count - 1}" for bench, count in SPLITS.items())
        raise UsageError(f"'{name}' has no split {split}; {several}.")
    folder = bench_root(name, data_root)
    if folder is None:
        where = _data_root_or(data_root)
        raise UsageError(f"The bench '{name}' is not under '{where}' ($REIDKIT_DATA, or --data): {how_to_get(name)}")
    bench, reader, change = VARIANTS.get(name) or (name, BENCHES[name], lambda dataset: dataset)
    dataset = reader(folder, split)
    different = differences(dataset, read_card(bench))
    if different:
        say(f"'{folder}' is not the whole {read_card(bench).title}: {'; '.join(different)}.")
    return change(dataset)


def _data_root_or(root: Path | None) -> Path:
    return data_root() if root is None else Path(root)


def _known(name: str) -> None:
    if name not in BENCHES and name not in VARIANTS:
        raise UsageError(
            choices(name, [*BENCHES, *VARIANTS], "bench") + " The path of a dataset in our format will do too."
        )


def _is_path(name: str) -> bool:
    """A bench's name wins over a folder of that name; anything with a slash is a path, there or not."""
    if name in BENCHES or name in VARIANTS:
        return False
    return os.path.isdir(name) or "/" in name or os.sep in name


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
