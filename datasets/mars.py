"""Reads MARS (Zheng et al., "MARS: A Video Benchmark for Large-Scale Person Re-identification", ECCV 2016).

    dataset = read_mars("data/mars")

Counts and protocols: 625 training identities in 8,298 tracklets; 12,180 test tracklets, of which 1,980 are queries.
"""

import re
from pathlib import Path

import numpy as np

from .errors import UsageError
from .matlab import read_mat
from .tables import chosen_queries, first_file, incomplete, read_names
from .tracklet import DISTRACTOR, JUNK, Frames, Kind, ReidDataset, Tracklet

LAYOUT = (
    "bbox_train/, bbox_test/ and, in info/ or beside them, train_name.txt, test_name.txt, tracks_train_info.mat, "
    "tracks_test_info.mat, query_IDX.mat"
)
CAMERAS = 6
MOST_CAMERAS = 9  # a name has one digit; `reidkit export --format mars` may use all of them
NAME = re.compile(r"(\d{4}|00-1)[\w-]+\.jpe?g")  # 0001C1T0001F001.jpg: person, camera, tracklet, frame
SAMPLED = 32  # tracklets whose first frame is looked for


def read_mars(root: Path | str) -> ReidDataset:
    """MARS below `root`.

    A table's row `[first, last, pid, camera]` is 1-based and inclusive, into the name list; pid -1 is junk, 0 a
    distractor. The gallery holds all test tracklets, the queries among them. Folders and a sample of the frames are
    looked for; a frame missing beyond those surfaces when it is read.

    Raises:
        UsageError: a folder, a table or sampled frames are missing, or tables and name lists don't fit together.
    """
    root = Path(root)
    train = _part(root, "train")
    test = _part(root, "test")
    query_path = _table_path(root, "query_IDX.mat")
    queries = read_mat(query_path, "query_IDX").ravel()
    return ReidDataset(
        name="mars",
        train=train,
        query=chosen_queries(test, queries, query_path),
        gallery=test,
        protocol="mars",
        cameras=tuple(f"c{i}" for i in range(1, max(CAMERAS, *(t.camera + 1 for t in (*train, *test))) + 1)),
        root=root,
    )


def _table_path(root: Path, name: str) -> Path:
    path = first_file(root, (f"info/{name}", name))
    if path is None:
        raise incomplete(root, "MARS", name, LAYOUT)
    return path


def _part(root: Path, split: str) -> tuple[Tracklet, ...]:
    folder = root / f"bbox_{split}"
    if not folder.is_dir():
        raise incomplete(root, "MARS", f"the folder {folder.name}", LAYOUT)
    names_path = _table_path(root, f"{split}_name.txt")
    table_path = _table_path(root, f"tracks_{split}_info.mat")
    names = read_names(names_path)
    rows = read_mat(table_path, f"track_{split}_info")
    _check(names, rows, names_path, table_path)

    there = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    wanted = {names[first - 1][:4] for first in rows[:, 0].tolist()}
    if wanted - there:
        absent = sorted(wanted - there)
        raise incomplete(root, "MARS", f"{folder.name}/{absent[0]} and {len(absent) - 1} more of its folders", LAYOUT)

    below = str(folder)
    ids = [names[first - 1][:11] for first in rows[:, 0].tolist()]  # 0001C1T0001
    seen: set[str] = set()
    tracklets = []
    for id_, (first, last, pid, camera) in zip(ids, rows.tolist(), strict=True):
        unique = id_ if id_ not in seen else f"{id_}F{names[first - 1][12:15]}"
        seen.add(unique)
        kind: Kind = "junk" if pid == JUNK else "distractor" if split == "test" and pid == DISTRACTOR else "person"
        files = tuple([f"{below}/{name[:4]}/{name}" for name in names[first - 1 : last]])
        tracklets.append(Tracklet(unique, pid, camera - 1, Frames(files), kind))
    if len(seen) != len(tracklets):
        raise UsageError(f"'{table_path}' lists a tracklet twice; fetch the tables and name lists of MARS together.")
    _look_for_frames(root, tracklets)
    return tuple(tracklets)


def _check(names: list[str], rows: np.ndarray, names_path: Path, table_path: Path) -> None:
    """Every row lies inside the name list, and its first and last image bear its pid and camera."""
    odd = next((name for name in names if not NAME.fullmatch(name)), None)
    if odd is not None:
        raise UsageError(f"'{names_path}' has '{odd[:100]}', which is no name of an image of MARS; fetch it again.")
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise UsageError(f"'{table_path}' has {rows.shape[-1]} columns, not first, last, pid, camera; fetch it again.")
    if (rows[:, 0] < 1).any() or (rows[:, 1] < rows[:, 0]).any() or (rows[:, 1] > len(names)).any():
        raise UsageError(
            f"'{table_path}' needs {rows[:, 1].max()} names and '{names_path}' has {len(names)}; fetch both again."
        )
    if (rows[:, 1] - rows[:, 0] + 1).sum() > len(names):
        raise UsageError(f"Rows of '{table_path}' share images; fetch it again.")
    low = JUNK if names_path.name == "test_name.txt" else 1
    bad = rows[(rows[:, 2] < low) | (rows[:, 3] < 1) | (rows[:, 3] > MOST_CAMERAS)]
    if len(bad):
        raise UsageError(
            f"'{table_path}' has a row of pid {bad[0, 2]} and camera {bad[0, 3]}; pids are {low} or more and cameras 1 "
            f"to {MOST_CAMERAS}, so fetch it again."
        )
    for first, last, pid, camera in rows.tolist():
        start = f"{'00-1' if pid == JUNK else f'{pid:04d}'}C{camera}"
        for name in (names[first - 1], names[last - 1]):
            if not name.startswith(start):
                raise UsageError(
                    f"'{names_path}' has '{name}' where '{table_path}' wants {start}…; they are of different releases "
                    "of MARS, so fetch both again."
                )


def _look_for_frames(root: Path, tracklets: list[Tracklet]) -> None:
    """Opening 1.2 million files would take minutes; a folder that was not unpacked shows in a sample."""
    for tracklet in tracklets[:: max(len(tracklets) // SAMPLED, 1)]:
        if not Path(tracklet.frames.files[0]).is_file():
            missing = Path(tracklet.frames.files[0]).relative_to(root)
            raise incomplete(root, "MARS", f"the frame {missing}", LAYOUT)
