"""Reads LS-VID (Li et al., "Global-Local Temporal Representations for Video Person Re-Identification", ICCV 2019).

    dataset = read_lsvid("data/ls-vid")

842 training identities in 2,831 tracklets; 11,333 test tracklets, of which 3,504 are queries; 15 cameras.
"""

import os
from collections import defaultdict
from pathlib import Path

from .errors import UsageError
from .files import lies_below
from .matlab import read_mat
from .progress import progress
from .tables import IMAGES, chosen_queries, first_file, incomplete, read_names
from .tracklet import Frames, ReidDataset, Tracklet

LAYOUT = (
    "tracklet_train/ and tracklet_test/ with one folder a person, list_sequence/list_seq_train.txt, "
    "list_sequence/list_seq_test.txt and data/info_test.mat (or test/data/info_test.mat)"
)
CAMERAS = 15


def read_lsvid(root: Path | str) -> ReidDataset:
    """LS-VID below `root`.

    A line of a list is `tracklet_train/0001/0001_0002 7`: the common start of the frames' names and the identity.
    Frames are `<person>_<tracklet>_<camera>_<frame>.jpg`, cameras counted from 1. `query` in info_test.mat holds
    1-based indices into the test list. The gallery holds all test tracklets, the queries among them.

    Raises:
        UsageError: a folder, list or table is missing or unreadable, a tracklet has no frames, or the query indices
            don't fit the test list.
    """
    root = Path(root)
    query_path = first_file(root, ("data/info_test.mat", "test/data/info_test.mat", "info/data/info_test.mat"))
    if query_path is None:
        raise incomplete(root, "LS-VID", "data/info_test.mat", LAYOUT)
    queries = read_mat(query_path, "query").ravel()
    train, test = _part(root, "train"), _part(root, "test")
    return ReidDataset(
        name="ls-vid",
        train=train,
        query=chosen_queries(test, queries, query_path),
        gallery=test,
        protocol="ls-vid",
        cameras=tuple(f"c{i}" for i in range(1, CAMERAS + 1)),
        root=root,
    )


def _part(root: Path, split: str) -> tuple[Tracklet, ...]:
    name = f"list_seq_{split}.txt"
    path = first_file(root, (f"list_sequence/{name}", f"info/list_sequence/{name}", name))
    if path is None:
        raise incomplete(root, "LS-VID", f"list_sequence/{name}", LAYOUT)
    if not (root / f"tracklet_{split}").is_dir():
        raise incomplete(root, "LS-VID", f"the folder tracklet_{split}", LAYOUT)
    listing: dict[str, dict[str, list[str]]] = {}
    tracklets = []
    lines = read_names(path)
    with progress(f"LS-VID {split}", total=len(lines), unit="tracklets") as advance:
        for number, line in enumerate(lines, start=1):
            stem, _, pid = line.rpartition(" ")
            stem = stem.strip().rstrip("_/")
            if not lies_below(stem) or not (pid.isdecimal() and len(pid) <= 9):
                raise UsageError(
                    f"Line {number} of '{path}' is '{line[:100]}', not a path and an identity; fetch it again."
                )
            tracklets.append(_tracklet(root, stem, int(pid), listing))
            advance(1)
    if len({t.id for t in tracklets}) != len(tracklets):
        raise UsageError(f"'{path}' lists a tracklet twice; fetch it again.")
    return tuple(tracklets)


def _tracklet(root: Path, stem: str, identity: int, listing: dict[str, dict[str, list[str]]]) -> Tracklet:
    folder, _, start = stem.rpartition("/")
    if folder not in listing:
        listing[folder] = _by_start(root / folder)
    names = sorted(listing[folder].get(start, ()))
    if not names:
        raise incomplete(root, "LS-VID", f"every frame {stem}_*.jpg", LAYOUT)
    cameras = {name.split("_")[2] for name in names}
    camera = cameras.pop()
    if cameras or not camera.isdecimal() or not 1 <= int(camera) <= CAMERAS:
        raise UsageError(
            f"The frames {stem}_* below '{root}' don't name one camera from 1 to {CAMERAS}; unpack LS-VID again."
        )
    files = tuple([f"{root}/{folder}/{name}" for name in names])
    return Tracklet(stem, identity, int(camera) - 1, Frames(files))


def _by_start(folder: Path) -> dict[str, list[str]]:
    """Frames' names below `folder`, by their first two fields; empty where there is no such folder."""
    found: dict[str, list[str]] = defaultdict(list)
    if folder.is_dir():
        for name in os.listdir(folder):
            parts = name.split("_")
            if len(parts) == 4 and name[0] != "." and name.lower().endswith(IMAGES):
                found["_".join(parts[:2])].append(name)
    return found
