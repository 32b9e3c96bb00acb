"""Reads MEVID (Davila et al., "MEVID: Multi-view Extended Videos with Identities for Video Person Re-Identification",
WACV 2023).

    dataset = read_mevid("data/mevid")

158 people in 598 outfits: 104 train in 6,338 tracklets, 54 test in 1,754; 33 cameras.
"""

import os
import re
from pathlib import Path

import numpy as np

from .errors import UsageError
from .tables import chosen_queries, first_file, incomplete, read_names, read_numbers
from .tracklet import DISTRACTOR, Frames, ReidDataset, Tracklet

LAYOUT = (
    "bbox_train/, bbox_test/ with one folder a person and, beside them or in mevid-v1-annotation-data/, "
    "train_name.txt, test_name.txt, track_train_info.txt, track_test_info.txt, query_IDX.txt"
)
PACKAGE = "mevid-v1-annotation-data"
NAME = re.compile(r"\d{4}O\d{3}C\d{3}T\d{3}F\d{5}\.jpg")  # person, outfit, camera, tracklet, frame


def is_mevid(root: Path) -> bool:
    """Whether a folder with `bbox_train` is laid out like MEVID, whose tables are text, and not like MARS."""
    return _table(root, "track_train_info.txt") is not None


def read_mevid(root: Path | str) -> ReidDataset:
    """MEVID below `root`.

    A row of a table is the first and last line of the name list (from 0, inclusive), person, outfit and camera.
    `query_IDX.txt` holds rows of `track_test_info.txt`, from 0. The gallery holds all test tracklets, the queries among
    them; its protocols leave these out. Person 0 is a distractor, as `reidkit export --format mevid` writes it. Folders
    and the first frame of each person are looked for; a frame missing beyond those surfaces when it is read.

    Raises:
        UsageError: a folder, a table or a looked-for frame is missing, or tables and name lists don't fit together.
    """
    root = Path(root)
    numbers, places = {}, {}
    for name, columns in (("track_train_info.txt", 5), ("track_test_info.txt", 5), ("query_IDX.txt", 1)):
        places[name] = _needed(root, name)
        numbers[name] = read_numbers(places[name], columns)
    tables = {split: numbers[f"track_{split}_info.txt"] for split in ("train", "test")}
    cameras = sorted({int(camera) for rows in tables.values() for camera in rows[:, 4]})
    train, test = (_part(root, split, rows, cameras) for split, rows in tables.items())
    return ReidDataset(
        name="mevid",
        train=tuple(t for t in train if t.kind == "person"),
        query=chosen_queries(test, numbers["query_IDX.txt"].ravel() + 1, places["query_IDX.txt"]),
        gallery=test,
        protocol="mevid",
        cameras=tuple(f"G{camera}" for camera in cameras),
        root=root,
    )


def _table(root: Path, name: str) -> Path | None:
    return first_file(root, (name, f"{PACKAGE}/{name}", f"{PACKAGE}/{PACKAGE}/{name}"))


def _needed(root: Path, name: str) -> Path:
    path = _table(root, name)
    if path is None:
        raise incomplete(root, "MEVID", name, LAYOUT)
    return path


def _part(root: Path, split: str, rows: np.ndarray, cameras: list[int]) -> tuple[Tracklet, ...]:
    folder = root / f"bbox_{split}"
    if not folder.is_dir():
        raise incomplete(root, "MEVID", f"the folder {folder.name}", LAYOUT)
    names_path, table_path = _needed(root, f"{split}_name.txt"), _needed(root, f"track_{split}_info.txt")
    names = read_names(names_path)
    _check(names, rows, names_path, table_path)
    index = {camera: place for place, camera in enumerate(cameras)}
    tracklets, seen = [], set()
    for first, last, person, outfit, camera in rows.tolist():
        files = tuple([f"{folder}/{person:04d}/{name}" for name in names[first : last + 1]])
        kind = "distractor" if person == DISTRACTOR else "person"
        id_ = names[first].partition("F")[0]  # 0201O003C330T004
        id_ = names[first].partition(".")[0] if id_ in seen else id_
        seen.add(id_)
        tracklets.append(Tracklet(id_, person, index[camera], Frames(files), kind, outfit=str(outfit)))
    if len(seen) != len(tracklets):
        raise UsageError(f"'{table_path}' lists a tracklet twice; fetch the tables and name lists of MEVID together.")
    for tracklet in {t.identity: t for t in tracklets}.values():
        if not os.path.isfile(tracklet.frames.files[0]):
            missing = Path(tracklet.frames.files[0]).relative_to(root)
            raise incomplete(root, "MEVID", f"the frame {missing}", LAYOUT)
    return tuple(tracklets)


def _check(names: list[str], rows: np.ndarray, names_path: Path, table_path: Path) -> None:
    """Every row lies inside the name list, and its first and last image bear its person, outfit and camera."""
    odd = next((name for name in names if not NAME.fullmatch(name)), None)
    if odd is not None:
        raise UsageError(f"'{names_path}' has '{odd[:100]}', which is no name of an image of MEVID; fetch it again.")
    outside = rows[(rows[:, 0] < 0) | (rows[:, 1] < rows[:, 0]) | (rows[:, 1] >= len(names))]
    if len(outside):
        raise UsageError(
            f"'{table_path}' has a tracklet of the names {outside[0, 0]} to {outside[0, 1]}, counted from 0, and "
            f"'{names_path}' has {len(names)}; fetch both again."
        )
    if (rows[:, 1] - rows[:, 0] + 1).sum() > len(names):
        raise UsageError(f"Rows of '{table_path}' share images; fetch it again.")
    for first, last, person, outfit, camera in rows.tolist():
        start = f"{person:04d}O{outfit:03d}C{camera:03d}T"
        for name in (names[first], names[last]):
            if not name.startswith(start):
                raise UsageError(
                    f"'{names_path}' has '{name}' where '{table_path}' wants {start}…; they are of different releases "
                    "of MEVID, so fetch both again."
                )
