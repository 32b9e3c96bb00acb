"""Contact sheets: who is where, and how many pages."""

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image

from reidkit.datasets import UsageError
from reidkit.datasets.format import FRAME_COLUMNS, TRACKLET_COLUMNS
from reidkit.toolkit.crops import write_shard
from reidkit.toolkit.sheets import CROP, CROPS, GAP, LABEL, ROWS, write_sheets

RED, GREEN, BLUE = (220, 20, 20), (20, 180, 20), (20, 20, 220)


def dataset(root, rows):
    """Tracklets [(identity, camera, colour, crops)]; identity -1 is junk."""
    members, frames, tracklets = [], [], []
    for number, (identity, camera, colour, count) in enumerate(rows):
        for k in range(count):
            image = np.full((128, 63, 3), colour[::-1], np.uint8)
            members.append((f"{number}/{k}.jpg", cv2.imencode(".jpg", image)[1].tobytes()))
            frames.append({"tracklet": f"t{number}", "frame": k, "shard": "crops/x.tar"})
        tracklets.append(
            {
                "id": f"t{number}", "identity": identity, "camera": camera,
                "kind": "person" if identity > 0 else "junk",
                "event": "e", "split": "test", "role": "gallery", "frames": count, "confidence": 0.9,
            }
        )  # fmt: skip
    for row, (offset, length) in zip(frames, write_shard(root / "crops" / "x.tar", members), strict=True):
        row |= {"offset": offset, "length": length}
    return pl.DataFrame(tracklets, schema=TRACKLET_COLUMNS), pl.DataFrame(frames, schema=FRAME_COLUMNS)


def colour_at(image, row, column, crop):
    x = LABEL + column * (CROPS * CROP[0] + GAP) + crop * CROP[0] + CROP[0] // 2
    y = GAP + 26 + row * (CROP[1] + GAP) + CROP[1] // 2
    return np.array(image.getpixel((x, y)), int)


def test_rows_are_identities_and_columns_cameras(tmp_path):
    # Identity 2 in camera b has two tracklets, red and green: both are shown.
    tables = dataset(
        tmp_path, [(1, "a", RED, 9), (2, "b", RED, 9), (2, "b", GREEN, 5), (1, "b", BLUE, 2), (-1, "a", GREEN, 1)]
    )
    pages = write_sheets(tmp_path, tmp_path / "sheet.png", *tables)
    assert pages == [tmp_path / "sheet.png"]
    image = Image.open(pages[0]).convert("RGB")
    near = {"RED": RED, "GREEN": GREEN, "BLUE": BLUE}

    def seen(row, column):
        names = []
        for crop in range(CROPS):
            value = colour_at(image, row, column, crop)
            names += [name for name, colour in near.items() if abs(value - colour).max() < 25]
        return names

    assert seen(0, 0) == ["RED"] * 5
    assert seen(0, 1) == ["BLUE"] * 2
    assert seen(1, 0) == []
    assert seen(1, 1) == ["RED"] * 3 + ["GREEN"] * 2
    assert seen(2, 0) == ["GREEN"]  # junk comes last


def test_pages_and_their_leftovers(tmp_path):
    many = dataset(tmp_path, [(i + 1, "a", RED, 1) for i in range(2 * ROWS + 1)])
    pages = write_sheets(tmp_path, tmp_path / "sheet.jpg", *many)
    assert [page.name for page in pages] == ["sheet.jpg", "sheet-2.jpg", "sheet-3.jpg"]
    assert write_sheets(tmp_path, tmp_path / "sheet.jpg", *many) == pages  # its own pages are replaced
    few = dataset(tmp_path, [(1, "a", RED, 1)])
    assert len(write_sheets(tmp_path, tmp_path / "sheet.jpg", *few)) == 1
    assert sorted(path.name for path in tmp_path.glob("sheet*")) == ["sheet.jpg"]


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_pictures_of_the_user_are_neither_deleted_nor_replaced(tmp_path, ending):
    photos = [tmp_path / f"photo-{number}.{ending}" for number in (2, 3)]
    for photo in photos:
        Image.new("RGB", (8, 8), RED).save(photo)
    before = [photo.read_bytes() for photo in photos]
    few = dataset(tmp_path, [(1, "a", RED, 1)])
    assert write_sheets(tmp_path, tmp_path / f"photo.{ending}", *few) == [tmp_path / f"photo.{ending}"]
    assert [photo.read_bytes() for photo in photos] == before
    many = dataset(tmp_path, [(i + 1, "a", RED, 1) for i in range(ROWS + 1)])
    with pytest.raises(UsageError, match=rf"2 pages, and '.*photo-2\.{ending}' is there already"):
        write_sheets(tmp_path, tmp_path / f"photo.{ending}", *many)
    assert [photo.read_bytes() for photo in photos] == before
    # In a build's own folder, what bears a page's name is a page, written by an older reidkit perhaps.
    assert len(write_sheets(tmp_path, tmp_path / f"photo.{ending}", *few, own_folder=True)) == 1
    assert not any(photo.exists() for photo in photos)


def test_the_same_dataset_gives_the_same_picture(tmp_path):
    tables = dataset(tmp_path, [(1, "a", RED, 3)])
    first = write_sheets(tmp_path, tmp_path / "one.jpg", *tables)[0].read_bytes()
    assert write_sheets(tmp_path, tmp_path / "two.jpg", *tables)[0].read_bytes() == first
