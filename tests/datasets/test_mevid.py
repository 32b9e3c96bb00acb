"""MEVID on a made-up tree of its documented layout."""

import shutil

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.mevid import read_mevid

# person, outfit, camera, tracklet, frames
TRAIN = [(103, 20, 424, 0, 3), (103, 20, 424, 1, 2), (103, 7, 330, 0, 4), (9, 1, 330, 0, 1)]
TEST = [(201, 3, 330, 4, 2), (201, 3, 505, 0, 3), (201, 5, 505, 1, 2), (205, 5, 505, 0, 2), (205, 5, 330, 0, 1)]
TABLES = ("train_name.txt", "test_name.txt", "track_train_info.txt", "track_test_info.txt", "query_IDX.txt")


@pytest.fixture
def root(tmp_path):
    for split, rows in (("train", TRAIN), ("test", TEST)):
        names, table = [], []
        for person, outfit, camera, tracklet, frames in rows:
            folder = tmp_path / f"bbox_{split}" / f"{person:04d}"
            folder.mkdir(parents=True, exist_ok=True)
            first = len(names)
            for frame in range(frames):
                names.append(f"{person:04d}O{outfit:03d}C{camera:03d}T{tracklet:03d}F{frame:05d}.jpg")
                (folder / names[-1]).touch()
            table.append((first, len(names) - 1, person, outfit, camera))
        (tmp_path / f"{split}_name.txt").write_text("".join(f"{name}\n" for name in names))
        lines = "".join(" ".join(f"{float(value):.18e}" for value in row) + "\n" for row in table)
        (tmp_path / f"track_{split}_info.txt").write_text(lines)
    (tmp_path / "query_IDX.txt").write_text("0.000000000000000000e+00\n3.000000000000000000e+00\n")
    return tmp_path


def told(tracklets, cameras):
    return [(t.identity, int(t.outfit), int(cameras[t.camera][1:]), len(t.frames)) for t in tracklets]


def test_tables_become_tracklets(root):
    data = read_mevid(root)
    for rows, tracklets in ((TRAIN, data.train), (TEST, data.gallery)):
        assert told(tracklets, data.cameras) == [(p, o, c, n) for p, o, c, _, n in rows]
    assert data.query == (data.gallery[0], data.gallery[3])  # from 0
    assert data.cameras == ("G330", "G424", "G505")
    assert data.protocol == "mevid"
    first = data.gallery[1]
    assert first.id == "0201O003C505T000"
    assert list(first.frames.files) == [str(root / f"bbox_test/0201/0201O003C505T000F0000{i}.jpg") for i in range(3)]


def test_the_annotation_package_unpacked_beside_the_images(root):
    here = read_mevid(root)
    (root / "mevid-v1-annotation-data").mkdir()
    for name in TABLES:
        shutil.move(root / name, root / "mevid-v1-annotation-data" / name)
    assert read_mevid(root) == here


@pytest.mark.parametrize("name", [*TABLES, "bbox_train", "bbox_test/0205"])
def test_what_is_missing_is_named_with_the_layout(root, name):
    path = root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UsageError) as error:
        read_mevid(root)
    assert name in str(error.value)
    assert "mevid-v1-annotation-data" in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("track_test_info.txt", "0 1 201 3\n", "Line 1 of .* not 5 whole numbers"),
        ("track_test_info.txt", "0 1 201 3 330.5\n", "not 5 whole numbers"),
        ("track_test_info.txt", "0 nan 201 3 330\n", "not 5 whole numbers"),
        ("track_test_info.txt", "", "is empty"),
        ("track_test_info.txt", "0 10 201 3 330\n", "names 0 to 10, counted from 0, and .* has 10"),
        ("track_test_info.txt", "1 0 201 3 330\n", "names 1 to 0"),
        ("track_test_info.txt", "0 9 201 3 330\n0 9 201 3 330\n", "share images"),
        ("track_test_info.txt", "0 1 201 4 330\n", "wants 0201O004C330T…"),
        ("query_IDX.txt", "5\n", "points at test tracklet 6 of 5"),
        ("query_IDX.txt", "1\n1\n", "more than once"),
        ("test_name.txt", "0201C1T1F1.jpg\n", "no name of an image of MEVID"),
    ],
)
def test_tables_that_do_not_fit(root, name, text, sentence):
    (root / name).write_text(text)
    with pytest.raises(UsageError, match=sentence):
        read_mevid(root)


def test_no_folder(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        read_mevid(tmp_path / "nowhere")
