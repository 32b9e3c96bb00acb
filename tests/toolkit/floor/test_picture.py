"""The picture of the floors."""

from pathlib import Path

import numpy as np
from PIL import Image

from reidkit.toolkit.floor.feet import resample
from reidkit.toolkit.floor.frame import Frame
from reidkit.toolkit.floor.picture import WIDTH, Scene, View, moment, write_picture


def scene(event) -> Scene:
    none = np.zeros(3)
    feet = resample(event.tracks)
    frame = Frame(dict(enumerate(event.floors)), 0, none, none, none, none)
    views = [View(f"cam{k}", np.zeros((72, 128, 3), np.uint8) if k else None, 1280, 720) for k in range(3)]
    return Scene("final", frame, feet, event.person, moment(feet, [0, 1, 2]), views)


def test_all_cameras_and_the_plan_are_shown(event, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "floor.jpg", [scene(event), scene(event)])
    assert path is not None
    with Image.open(path) as image:
        assert image.width > 3 * WIDTH
        assert image.height > 2 * WIDTH * 720 / 1280
        lit = np.asarray(image.convert("RGB"))[60:, 2 * WIDTH : 3 * WIDTH].std()
    assert lit > 10  # the floor's lines and the people on a black picture
    again = (tmp_path / "floor.jpg").read_bytes()
    write_picture(tmp_path / "floor.jpg", [scene(event), scene(event)])
    assert (tmp_path / "floor.jpg").read_bytes() == again


def test_where_no_floor_is_known_an_earlier_picture_goes_and_anothers_stays(event, tmp_path: Path) -> None:
    ours, other = tmp_path / "floor.jpg", tmp_path / "other.jpg"
    write_picture(ours, [scene(event)])
    Image.new("RGB", (8, 8)).save(other)
    assert write_picture(ours, []) is None
    assert write_picture(other, []) is None
    assert not ours.exists()
    assert other.exists()
    assert write_picture(tmp_path / "none.jpg", []) is None
