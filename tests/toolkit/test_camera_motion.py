"""The camera's motion, found again in pictures that were moved by a known one."""

import cv2
import numpy as np
import polars as pl
import pytest

from reidkit.toolkit import camera_motion
from reidkit.toolkit.camera_motion import BLOCK, STEP_COLUMNS, MotionFinder, joined, steps_table
from reidkit.toolkit.camera_path import IDENTITY, moved

SIZE = (256, 144)  # width, height
NOBODY = np.zeros((0, 4))


def world(seed: int) -> np.ndarray:
    """A picture with something to see everywhere, uint8 RGB [900, 1600, 3]."""
    rng = np.random.default_rng(seed)
    rough = [cv2.resize(rng.uniform(0, 255, (900 // n, 1600 // n, 3)), (1600, 900)) for n in (12, 40)]
    return (0.5 * rough[0] + 0.5 * rough[1]).astype(np.uint8)


def view(seen: np.ndarray, x: float, y: float, zoom: float = 1.0, angle: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """What a camera sees round (x, y) of the world, and [2, 3] that maps points of the world to its pixels."""
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    shift = np.array(SIZE) / 2 - turn @ [x, y]
    to_pixels = np.concatenate([turn, shift[:, None]], 1)
    middles = np.concatenate([turn, (shift + turn @ [0.5, 0.5] - 0.5)[:, None]], 1)
    return cv2.warpAffine(seen, middles, SIZE, flags=cv2.INTER_AREA), to_pixels


def found(images, boxes=NOBODY) -> np.ndarray:
    finder = MotionFinder()
    for image in images:
        finder.add(image, boxes)
    return finder.finish()


def between(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    whole = [np.concatenate([step, [[0, 0, 1]]]) for step in (before, after)]
    return (whole[1] @ np.linalg.inv(whole[0]))[:2]


CORNERS = np.array([[0, 0], [SIZE[0], 0], [0, SIZE[1]], SIZE], float)


def test_pan_tilt_zoom_and_roll_are_found_to_a_fraction_of_a_pixel():
    seen = world(0)
    times = np.linspace(0, 1, 30)
    views = [view(seen, 500 + 250 * t, 420 + 60 * t, 1 + 0.2 * t, 0.05 * t) for t in times]
    steps = found([image for image, _ in views])
    assert np.array_equal(steps[0], IDENTITY)
    for k in range(1, len(views)):
        truth = between(views[k - 1][1], views[k][1])
        assert np.abs(moved(steps[k], CORNERS) - moved(truth, CORNERS)).max() < 0.5


def test_a_standing_camera_s_steps_are_the_identity_and_hardly_looked_for(monkeypatch):
    rng = np.random.default_rng(1)
    image = view(world(1), 500, 400)[0].astype(int)
    images = [(image + rng.integers(-4, 5, image.shape)).clip(0, 255).astype(np.uint8) for _ in range(30)]
    looked = []
    look = camera_motion.step_between
    monkeypatch.setattr(camera_motion, "step_between", lambda *pair: looked.append(pair) or look(*pair))
    assert (found(images) == IDENTITY).all()
    assert len(looked) <= -(-30 // BLOCK)


def test_it_is_switched_on_where_the_camera_begins_to_move():
    seen = world(2)
    views = [view(seen, 500 + 4 * max(0, k - 30), 400) for k in range(50)]
    steps = found([image for image, _ in views])
    assert (steps[: 30 // BLOCK * BLOCK] == IDENTITY).all()
    assert steps[31:, 0, 2] == pytest.approx(-4, abs=0.3)


def test_people_are_masked_out():
    """Two thirds of the picture go to the right, and are somebody."""
    scenery, person = view(world(3), 500, 400)[0], world(4)
    images = []
    for k in range(13):
        image = scenery.copy()
        image[:, 80:] = view(person, 500 - 9 * k, 400)[0][:, 80:]
        images.append(image)
    box = np.array([[80.0, 0, SIZE[0], SIZE[1]]])
    assert (found(images, box) == IDENTITY).all()
    assert found(images)[1:, 0, 2] == pytest.approx(9, abs=0.5)


def test_another_shot_is_unknown_and_a_flash_is_not():
    one, other = view(world(5), 500, 400)[0], view(world(6), 900, 300)[0]
    steps = found([one] * 20 + [other] * 20)
    assert np.isnan(steps[20]).all()
    assert (np.delete(steps, 20, 0) == IDENTITY).all()
    bright = (40 + 0.8 * one.astype(float)).astype(np.uint8)
    assert (found([one] * 5 + [bright] * 5) == IDENTITY).all()


def test_where_nothing_is_seen_the_camera_is_taken_to_stand():
    assert (found([np.full((144, 256, 3), 90, np.uint8)] * 15) == IDENTITY).all()


def test_a_stretch_more_or_less_gives_the_same_steps():
    seen = world(7)
    images = [view(seen, 400 + 5 * k, 400)[0] for k in range(40)]
    whole = found(images)
    tables = []
    for first, last in ((0, 17), (17, 17), (17, 40)):
        finder = MotionFinder()
        for image in images[first:last]:
            finder.add(image, NOBODY)
        tables.append(steps_table(finder, list(range(first, last)), 1.0))
    assert all(table.schema == pl.Schema(STEP_COLUMNS) for table in tables)
    parts = joined(tables, np.arange(40))
    assert parts == pytest.approx(whole, abs=1e-12)
    double = joined([table.with_columns(pl.col("x", "y", "scale") * 2) for table in tables], np.arange(40))
    assert double == pytest.approx(whole * [1, 1, 2], abs=1e-12)


def test_a_frame_that_gave_no_picture_has_the_identity():
    finder = MotionFinder()
    image = view(world(8), 400, 400)[0]
    for _ in range(3):
        finder.add(image, NOBODY)
    steps = joined([steps_table(finder, [0, 2, 5], 1.0)], np.arange(6))
    assert (steps == IDENTITY).all()
    assert joined([steps_table(MotionFinder(), [], 1.0)], np.arange(2)).shape == (2, 2, 3)


def test_a_motion_that_leaves_the_background_as_unlike_as_it_was_is_none():
    """As the corners of shadows give under a camera that stands."""
    rng, seen = np.random.default_rng(11), world(11)
    image, beside = view(seen, 500, 400)[0], view(seen, 503, 400)[0]
    noisy = (image + rng.integers(-4, 5, image.shape)).clip(0, 255).astype(np.uint8)
    before, again, after = (camera_motion.picture_of(one, NOBODY) for one in (image, noisy, beside))
    left = np.array([[1.0, 0, -3], [0, 1, 0]])
    assert camera_motion._explains(left, before, after)
    assert not camera_motion._explains(left, before, again)
    assert not camera_motion._explains(np.array([[1.0, 0, 0.7], [0, 1, 0]]), before, again)


def test_a_swing_so_fast_that_the_ends_of_a_block_share_nothing_is_found():
    """Even where the floor looks alike everywhere, made tiny."""
    seen = np.clip(world(9).astype(int) // 8 + np.linspace(0, 200, 900).astype(int)[:, None, None], 0, 255)
    seen = seen.astype(np.uint8)
    steps = found([view(seen, 300 + 25 * k, 450)[0] for k in range(25)])
    assert steps[1:, 0, 2] == pytest.approx(-25, abs=0.5)
