"""Crops: what is covered, cut, small or repeated; and the tar shards they lie in."""

import io
import tarfile

import cv2
import numpy as np
import polars as pl
import pytest

from reidkit.toolkit.crops import (
    add_occlusion,
    choose,
    crop_quality,
    cut,
    difference,
    encode,
    occlusion,
    sharpness,
    thumbnail,
    truncation,
    write_shard,
)
from reidkit.toolkit.track import TRACK_COLUMNS


def occlusion_by_pixels(boxes: np.ndarray) -> list[float]:
    """The same in plain loops, for boxes with whole numbers: pixels that any nearer box covers."""
    shares = []
    for x1, y1, x2, y2 in boxes.astype(int):
        covered = 0
        for x in range(x1, x2):
            for y in range(y1, y2):
                covered += any(
                    b > y2 and left <= x < right and top <= y < b for left, top, right, b in boxes.astype(int)
                )
        shares.append(covered / ((x2 - x1) * (y2 - y1)))
    return shares


@pytest.mark.parametrize("seed", range(8))
def test_occlusion_against_pixels(seed):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 20, (7, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 20, (7, 2))], axis=1).astype(float)
    assert occlusion(boxes) == pytest.approx(occlusion_by_pixels(boxes))


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([[0, 0, 10, 10]], [0.0]),
        # the lower one stands nearer
        ([[0, 0, 10, 10], [5, 0, 15, 12]], [0.5, 0.0]),
        # equal lower edges: nobody is known to stand nearer
        ([[0, 0, 10, 10], [5, 0, 15, 10]], [0.0, 0.0]),
        # two cover the same half: it counts once
        ([[0, 0, 10, 10], [5, 0, 15, 12], [5, 0, 15, 13]], [0.5, 1.0, 0.0]),
        ([], []),
    ],
)
def test_occlusion(boxes, expected):
    assert occlusion(np.array(boxes, float)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("box", "expected"),
    [((0, 0, 10, 10), 0.0), ((-5, 0, 5, 10), 0.5), ((95, 45, 105, 55), 0.75), ((200, 0, 210, 10), 1.0)],
)
def test_truncation(box, expected):
    assert truncation(np.array([box], float), 100, 50)[0] == pytest.approx(expected)


def tracks(rows: list[tuple]) -> pl.DataFrame:
    """(frame, track, x1, y1, x2, y2) at 10 frames a second."""
    full = [(frame, frame / 10, track, *box, 0.9, None) for frame, track, *box in rows]
    return pl.DataFrame(full, schema=TRACK_COLUMNS, orient="row")


def test_judging_looks_at_one_frame_at_a_time_and_keeps_the_order():
    table = add_occlusion(tracks([(1, 2, 5, 0, 15, 12), (0, 1, 0, 0, 10, 10), (1, 1, 0, 0, 10, 10)]), 100, 11)
    assert table["frame"].to_list() == [1, 0, 1]
    assert table["occlusion"].to_list() == pytest.approx([0.0, 0.0, 0.5])
    assert table["truncation"].to_list() == pytest.approx([1 / 12, 0.0, 0.0])


def test_choosing_the_best_box_of_each_stride():
    rows = [(frame, 1, 0, 0, 20, 60) for frame in range(12)] + [(2, 2, 0, 0, 20, 30)]
    rows += [(frame, 3, 5, 0, 25, 80) for frame in (0, 1, 2, 5, 6)]  # stands before 1
    chosen, small = choose(add_occlusion(tracks(rows), 100, 100), min_height=48, stride=0.4)
    assert small == 1
    assert chosen.filter(pl.col("track") == 1)["frame"].to_list() == [3, 4, 8]
    assert chosen.filter(pl.col("track") == 3)["frame"].to_list() == [0, 5]
    everything, _ = choose(add_occlusion(tracks(rows), 100, 100), min_height=0, stride=0.0)
    assert len(everything) == len(rows)


def test_cutting_clips_to_the_frame():
    image = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    assert np.array_equal(cut(image, (2.6, 3.2, 9.1, 8.0)), image[3:8, 2:10])
    assert cut(image, (-5, -5, 4, 4)).shape == (4, 4, 3)
    assert cut(image, (25, 15, 90, 90)).shape == (5, 5, 3)
    assert cut(image, (29.5, 0, 50, 10)) is None  # one column is no crop
    assert cut(image, (40, 40, 50, 50)) is None


def test_sharpness_falls_with_blur_and_hardly_with_size():
    rng = np.random.default_rng(1)
    drawn = cv2.resize(rng.integers(0, 255, (32, 16, 3), dtype=np.uint8), (64, 128), interpolation=cv2.INTER_NEAREST)
    blurred = cv2.GaussianBlur(drawn, (0, 0), 3)
    twice = cv2.resize(drawn, (128, 256), interpolation=cv2.INTER_NEAREST)
    assert sharpness(drawn) > 5 * sharpness(blurred)
    assert sharpness(twice) == pytest.approx(sharpness(drawn), rel=0.01)
    assert sharpness(np.full((64, 32, 3), 90, np.uint8)) == 0.0


def test_thumbnails_tell_repetition_from_motion():
    still = np.random.default_rng(0).integers(0, 255, (120, 50, 3), dtype=np.uint8)
    noisy = np.clip(still.astype(int) + np.random.default_rng(1).integers(-3, 4, still.shape), 0, 255).astype(np.uint8)
    assert difference(thumbnail(still), thumbnail(still)) == 0.0
    assert difference(thumbnail(still), thumbnail(noisy)) < 1.0
    assert difference(thumbnail(still), thumbnail(255 - still)) > 10.0


@pytest.mark.parametrize("worse", ["sharpness", "occlusion", "truncation", "confidence", "y2"])
def test_quality_lies_in_0_to_1_and_each_fault_lowers_it(worse):
    good = {"sharpness": 900.0, "occlusion": 0.0, "truncation": 0.0, "confidence": 0.9, "y1": 0.0, "y2": 100.0}
    faults = {"sharpness": 20.0, "occlusion": 0.6, "truncation": 0.5, "confidence": 0.4, "y2": 40.0}
    both = crop_quality(pl.DataFrame([good, good | {worse: faults[worse]}]))
    assert 0 < both[1] < both[0] <= 1
    assert crop_quality(pl.DataFrame([good | {"occlusion": 1.0}]))[0] == 0.0


def test_a_shard_is_a_plain_tar_with_known_places(tmp_path):
    members = [("00001/000002.jpg", b"x" * 700), ("00001/000007.jpg", b""), ("00002/000002.jpg", b"y" * 512)]
    path = tmp_path / "crops" / "a.tar"
    places = write_shard(path, members)
    data = path.read_bytes()
    assert [data[at : at + size] for at, size in places] == [content for _, content in members]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [(m.name, m.mtime, m.uid, m.gid, m.uname) for m in tar] == [(name, 0, 0, 0, "") for name, _ in members]
        assert tar.extractfile("00001/000002.jpg").read() == b"x" * 700
    write_shard(tmp_path / "b.tar", members)
    assert (tmp_path / "b.tar").read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == ["a.tar"]  # no temporary file left


def test_jpeg_keeps_the_colour():
    crop = np.full((40, 20, 3), (200, 60, 20), np.uint8)
    back = cv2.cvtColor(cv2.imdecode(np.frombuffer(encode(crop, 92), np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(back.astype(int) - crop).max() < 6
