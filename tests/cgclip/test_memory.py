"""`thin`: which frames the first memory is made of."""

import pytest

from reidkit.cgclip.memory import thin
from reidkit.datasets import Tracklet
from reidkit.datasets.tracklet import Frames


def files(count: int) -> Tracklet:
    return Tracklet("t", 0, 0, Frames(tuple(str(i) for i in range(count))))


@pytest.mark.parametrize(
    ("length", "count", "kept"),
    [
        (10, 2, ("2", "7")),  # the middles of two halves
        (5, 4, ("0", "1", "3", "4")),
        (3, 3, ("0", "1", "2")),
        (3, 4, ("0", "1", "2")),  # no more frames than wanted
        (3, 0, ("0", "1", "2")),  # 0: all
        (9, 1, ("4",)),
    ],
)
def test_thin_spreads(length: int, count: int, kept: tuple[str, ...]) -> None:
    assert thin(files(length), count).frames.files == kept


def test_thin_keeps_offset_and_length_together() -> None:
    shard = Tracklet("t", 3, 1, Frames(("s.tar",), tuple(range(0, 100, 10)), tuple(range(1, 11))))
    few = thin(shard, 2)
    assert few.frames == Frames(("s.tar",), (20, 70), (3, 8))
    assert (few.id, few.identity, few.camera) == ("t", 3, 1)
