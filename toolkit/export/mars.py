"""MARS' layout: a folder of JPEGs a person, name lists, and the tables of tracklets in MATLAB's format.

    bbox_train/0001/0001C1T0001F001.jpg       person, camera, tracklet of that person and camera, frame
    info/train_name.txt                       the names in order
    info/tracks_train_info.mat                a row a tracklet: first and last name (from 1, inclusive), person, camera
    info/query_IDX.mat                        the queries: rows of the test table, from 1

The same for test. Junk is person -1 (`00-1`), a distractor person 0 (Zheng et al., ECCV 2016). Whatever reads MARS
reads this; `datasets/mars.py` does.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .content import Content, numbered, over, read_crops

CAMERAS, PEOPLE, TRACKLETS, FRAMES = 9, 9999, 9999, 999
# MATLAB's header holds a text of 116 bytes; SciPy writes the time into it, which would differ from run to run.
_HEADER = b"MATLAB 5.0 MAT-file, written by reidkit".ljust(116)


def fault(content: Content) -> str:
    """Why MARS' names can't hold the dataset; "" where they can."""
    if len(content.cameras) > CAMERAS:
        return f"there are {len(content.cameras)} cameras, and a name of MARS holds {CAMERAS}"
    items = content.part("train", "query", "gallery")
    return over(content, "a name of MARS", items, people=PEOPLE, tracklets=TRACKLETS, frames=FRAMES)


def write(content: Content, out: Path, advance: Callable[[int], None]) -> None:
    """Writes the layout into the folder `out`; `advance` is told of each tracklet's crops."""
    (out / "info").mkdir()
    for split, roles in (("train", ("train",)), ("test", ("query", "gallery"))):
        names: list[str] = []
        rows: list[tuple[int, int, int, int]] = []
        queries: list[int] = []
        (out / f"bbox_{split}").mkdir()
        for item, number in numbered(content.part(*roles)):
            person = "00-1" if item.kind == "junk" else f"{item.pid:04d}"
            folder = out / f"bbox_{split}" / person
            folder.mkdir(exist_ok=True)
            first = len(names) + 1
            for place, (_, data) in enumerate(read_crops(content, item), start=1):
                names.append(f"{person}C{item.camera + 1}T{number:04d}F{place:03d}.jpg")
                (folder / names[-1]).write_bytes(data)
            rows.append((first, len(names), item.pid, item.camera + 1))
            if item.role == "query":
                queries.append(len(rows))
            advance(len(item.rows))
        (out / "info" / f"{split}_name.txt").write_text("".join(f"{name}\n" for name in names), encoding="ascii")
        _write_mat(out / "info" / f"tracks_{split}_info.mat", f"track_{split}_info", np.array(rows).reshape(-1, 4))
        if split == "test":
            _write_mat(out / "info" / "query_IDX.mat", "query_IDX", np.array([queries]).reshape(1, -1))


def _write_mat(path: Path, key: str, table: np.ndarray) -> None:
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {key: table.astype(np.int32)})
    path.write_bytes(_HEADER + buffer.getvalue()[len(_HEADER) :])
