"""MOTChallenge's layout, which trackers are trained and scored with, and which annotation tools open.

    train/final--east/gt/gt.txt      frame,id,x,y,width,height,counts,category,visibility; the id is the identity
    train/final--east/seqinfo.ini    name, frame rate, length, size of the video

One sequence a camera of an event; where train and test share a video, each holds its own people. Frames count from 1.
Junk has counts 0 and a pedestrian's category, a distractor counts 0 and category 8; each has an id of its own above the
identities. Visibility is the share that is neither covered nor cut off.
"""

from collections.abc import Callable
from pathlib import Path

from ...datasets.mot import PEDESTRIAN, Line, write_lines
from .content import Content, Item
from .sequences import Sequence, sequences
from .sequences import fault as fault_of_boxes

DISTRACTOR = 8  # the category's number in MOT16


def fault(content: Content) -> str:
    """Why MOTChallenge can't hold the dataset; "" where it can."""
    reason = fault_of_boxes(content, "MOTChallenge")
    if reason:
        return reason
    if any(item.person and item.identity < 1 for item in content.items):
        return "a person has identity 0, and MOTChallenge's ids count from 1"
    for sequence in sequences(content):
        seen: dict[tuple[int, int], str] = {}
        for item in sequence.items:
            for frame in item.rows["frame"].to_list() if item.person else ():
                twin = seen.setdefault((item.identity, frame), item.id)
                if twin != item.id:
                    return (
                        f"tracklets '{twin}' and '{item.id}' are both identity {item.identity} in frame {frame}, and "
                        "an id stands once in a frame of MOTChallenge"
                    )
    return ""


def write(content: Content, out: Path, advance: Callable[[int], None]) -> None:
    """Writes the layout into the folder `out`; `advance` is told of each tracklet's crops."""
    ids = ids_of(content)
    for sequence in sequences(content):
        for split in ("train", "test"):
            items = [item for item in sequence.items if item.split == split]
            if not items:
                continue
            lines = sorted(line for item in items for line in _lines(item, ids[item.id]))
            folder = out / split / sequence.name
            write_lines(folder / "gt" / "gt.txt", [line for _, _, line in lines])
            (folder / "seqinfo.ini").write_text(_info(sequence), encoding="utf-8")
            advance(sum(len(item.rows) for item in items))


def ids_of(content: Content) -> dict[str, int]:
    """Tracklet -> its id: the identity; numbers above all identities for what is no person."""
    free = max((item.identity for item in content.items), default=0)
    ids = {}
    for item in content.items:
        free += not item.person
        ids[item.id] = item.identity if item.person else free
    return ids


def _lines(item: Item, id_: int) -> list[tuple[int, int, Line]]:
    lines = []
    for row in item.rows.iter_rows(named=True):
        line = Line(
            frame=row["frame"] + 1,
            id=id_,
            x=row["x1"],
            y=row["y1"],
            width=row["x2"] - row["x1"],
            height=row["y2"] - row["y1"],
            counts=1 if item.person else 0,
            category=DISTRACTOR if item.kind == "distractor" else PEDESTRIAN,
            visibility=(1 - row["occlusion"]) * (1 - row["truncation"]),
        )
        lines.append((line.frame, line.id, line))
    return lines


def _info(sequence: Sequence) -> str:
    source = sequence.source
    entries = {"name": sequence.name, "imDir": "img1", "seqLength": sequence.length, "imExt": ".jpg"}
    if sequence.fps:
        entries["frameRate"] = f"{sequence.fps:g}"
    if source is not None and source.width and source.height:
        entries |= {"imWidth": source.width, "imHeight": source.height}
    return "[Sequence]\n" + "".join(f"{name}={value}\n" for name, value in entries.items())
