"""Market-1501's layout (Zheng et al., ICCV 2015) for image re-ID, as torchreid and FastReID document it.

    bounding_box_train/0001_c1s1_000151_01.jpg     person, camera, event, frame in the source, number of the box
    bounding_box_test/                             every crop of the test set; -1 is junk, 0000 a distractor
    query/                                         one crop of each query

A query's crop is the one that is least covered and cut off, the sharpest of those. Images have no tracklets: which
crops follow each other can't be read back but by person, camera and frame.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ...datasets.progress import say
from .content import Content, Item, over, read_crops

CAMERAS, PEOPLE, FRAME, BOXES = 9, 9999, 999_999, 99
READERS = 1501, 6  # the largest person and camera that torchreid's and FastReID's readers of Market-1501 let pass


def fault(content: Content) -> str:
    """Why Market's names can't hold the dataset; "" where they can."""
    if len(content.cameras) > CAMERAS:
        return f"there are {len(content.cameras)} cameras, and a name of Market holds {CAMERAS}"
    items = content.part("train", "query", "gallery")
    reason = over(content, "a name of Market", items, people=PEOPLE, tracklets=1 << 62, frames=1 << 62)
    if reason:
        return reason
    boxes: Counter[tuple[int, int, int, int]] = Counter()
    for item in items:
        if (last := item.rows["frame"].max()) > FRAME:
            return f"tracklet '{item.id}' has frame {last}, and a name of Market holds frames up to {FRAME}"
        boxes.update((item.pid, item.camera, item.event, frame) for frame in item.rows["frame"].to_list())
    for (pid, camera, _, frame), number in boxes.most_common(1):
        if number > BOXES:
            return (
                f"frame {frame} of camera '{content.cameras[camera]}' has {number} crops of identity {pid}, and a name "
                f"of Market holds {BOXES}"
            )
    return ""


def write(content: Content, out: Path, advance: Callable[[int], None]) -> None:
    """Writes the layout into the folder `out`; `advance` is told of each tracklet's crops."""
    for folder in ("bounding_box_train", "bounding_box_test", "query"):
        (out / folder).mkdir()
    boxes: Counter[tuple[int, int, int, int]] = Counter()
    items = content.part("train", "query", "gallery")
    for item in items:
        folder = out / ("bounding_box_train" if item.role == "train" else "bounding_box_test")
        best = _best(item) if item.role == "query" else None
        for row, data in read_crops(content, item):
            key = item.pid, item.camera, item.event, row["frame"]
            boxes[key] += 1
            person = "-1" if item.kind == "junk" else f"{item.pid:04d}"
            name = f"{person}_c{item.camera + 1}s{item.event + 1}_{row['frame']:06d}_{boxes[key]:02d}.jpg"
            (folder / name).write_bytes(data)
            if row["frame"] == best:
                (out / "query" / name).write_bytes(data)
        advance(len(item.rows))
    people, cameras = max((item.pid for item in items), default=0), len(content.cameras)
    if people > READERS[0] or cameras > READERS[1]:
        say(
            f"torchreid's and FastReID's own readers of Market-1501 refuse identities above {READERS[0]} and cameras "
            f"above {READERS[1]}; this has {people} and {cameras}. Take the two assertions out of the reader."
        )


def _best(item: Item) -> int:
    """The frame of the crop that shows most of the person."""
    hidden = item.rows["occlusion"] + item.rows["truncation"]
    order = item.rows.select("frame", "sharpness").with_columns(hidden=hidden)
    return order.sort(["hidden", "sharpness", "frame"], descending=[False, True, False])["frame"][0]
