"""WebDataset: tar shards that training reads from front to back, a sample a tracklet.

    train-000000.tar    00000007.json          what is known of the tracklet, and a row for each crop
                        00000007.0000.jpg      the crops in time order
    test-000000.tar     likewise; `role` in the JSON says which are queries

Names, numbers and texts stand in the JSON as they are, so that nothing is too long or too many.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .content import Content, Item, divided, read_crops, record

PLACE = ("tracklet", "shard", "offset", "length")  # columns that say where a crop lies in our own format
SHARD = 500_000_000  # bytes after which a shard is closed


def fault(content: Content) -> str:
    """Nothing: it holds every dataset."""
    return ""


def write(content: Content, out: Path, advance: Callable[[int], None], shard_bytes: int = SHARD) -> None:
    """Writes the shards into the folder `out`; `advance` is told of each tracklet's crops."""
    number = 0
    for split in ("train", "test"):
        parts = divided((item for item in content.items if item.split == split), shard_bytes)
        for shard, part in enumerate(parts):
            with tarfile.open(out / f"{split}-{shard:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for item in part:
                    for ending, data in _files(content, item):
                        member = tarfile.TarInfo(f"{number:08d}.{ending}")  # without time and user: the same bytes
                        member.size = len(data)
                        tar.addfile(member, io.BytesIO(data))
                    number += 1
                    advance(len(item.rows))


def _files(content: Content, item: Item) -> Iterator[tuple[str, bytes]]:
    crops = list(read_crops(content, item))
    frames = [{name: value for name, value in row.items() if name not in PLACE} for row, _ in crops]
    facts = json.dumps({**record(content, item), "frames": frames}, ensure_ascii=False)
    yield "json", facts.encode(errors="backslashreplace")
    for place, (_, data) in enumerate(crops):
        yield f"{place:04d}.jpg", data
