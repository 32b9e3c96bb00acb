"""iLIDS-VID on a made-up tree of six people."""

import shutil

import numpy as np
import pytest
from scipy.io import savemat

from reidkit.datasets import UsageError
from reidkit.datasets.ilids import in_windows, read_ilids

PEOPLE = ["person002", "person009", "person010", "person100", "person101", "person300"]
ORDERS = np.array([np.random.RandomState(k).permutation(6) + 1 for k in range(10)])


@pytest.fixture
def root(tmp_path):
    for camera in ("cam1", "cam2"):
        for i, person in enumerate(PEOPLE):
            folder = tmp_path / "i-LIDS-VID" / "sequences" / camera / person
            folder.mkdir(parents=True)
            for frame in range(i + 2):
                (folder / f"{camera}_{person}_{frame:05d}.png").touch()
            (folder / "Thumbs.db").touch()
    splits = tmp_path / "train-test people splits"
    splits.mkdir()
    savemat(splits / "train_test_splits_ilidsvid.mat", {"ls_set": ORDERS.astype(np.uint16)})
    return tmp_path


def people(tracklets):
    return {t.id.partition("/")[2] for t in tracklets}


@pytest.mark.parametrize("split", range(10))
def test_the_first_half_of_a_row_tests_and_the_second_trains(root, split):
    data = read_ilids(root, split)
    test = {PEOPLE[i - 1] for i in ORDERS[split][:3]}
    assert people(data.query) == people(data.gallery) == test
    assert people(data.train) == set(PEOPLE) - test
    assert {t.camera for t in data.query} == {0}
    assert {t.camera for t in data.gallery} == {1}
    assert len(data.train) == 6
    assert data.protocol == "ilids-vid"
    # the same person has the same identity in both cameras
    assert {t.id[5:]: t.identity for t in data.query} == {t.id[5:]: t.identity for t in data.gallery}


def test_frames_are_the_sorted_images(root):
    tracklet = next(t for t in (*read_ilids(root).train, *read_ilids(root).gallery) if t.id == "cam2/person010")
    assert len(tracklet.frames) == 4
    assert list(tracklet.frames.files) == sorted(tracklet.frames.files)


def test_windows_of_swapped_halves(root):
    plain, swapped = read_ilids(root, 2), read_ilids(root, 2, swap_halves=True)
    assert people(swapped.query) == people(plain.train)
    assert people(swapped.train) == people(plain.query)
    folder = root / "i-LIDS-VID" / "sequences" / "cam1" / PEOPLE[ORDERS[2][-1] - 1]
    for frame in range(100, 119):  # 19 more than there are
        (folder / f"{frame}.png").touch()
    whole = read_ilids(root, 2, swap_halves=True)
    cut = in_windows(whole)
    assert cut.protocol == "ilids-vid-tfclip"
    assert cut.train == whole.train
    for before, after in ((whole.query, cut.query), (whole.gallery, cut.gallery[len(cut.query) :])):
        windows = []
        for tracklet in before:
            files, start = tracklet.frames.files, 0
            while start == 0 or start + 8 <= len(files):
                windows.append((f"{tracklet.id}/{start}", tracklet.identity, tracklet.camera, files[start : start + 8]))
                start += 4
        assert [(t.id, t.identity, t.camera, t.frames.files) for t in after] == windows
    assert cut.gallery[: len(cut.query)] == cut.query
    assert len(cut.query) > 3


def test_without_the_splits_file_the_splits_are_seeded(root):
    shutil.rmtree(root / "train-test people splits")
    data = [read_ilids(root, k) for k in range(10)]
    assert {d.protocol for d in data} == {"ilids-vid-seeded"}
    assert len({d.fingerprint for d in data}) > 5
    assert data[3].fingerprint == read_ilids(root, 3).fingerprint
    assert all(len(d.query) == len(d.gallery) == 3 and len(d.train) == 6 for d in data)
    assert read_ilids(root, 3, swap_halves=True).protocol == "ilids-vid-seeded"


def test_sequences_directly_in_the_root(root):
    expected = len(read_ilids(root).train)
    shutil.move(root / "i-LIDS-VID" / "sequences", root / "sequences")
    assert len(read_ilids(root).train) == expected


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("i-LIDS-VID", "sequences"),
        ("i-LIDS-VID/sequences/cam2", "sequences/cam2"),
        ("i-LIDS-VID/sequences/cam2/person009", "'person009' in one"),
    ],
)
def test_what_is_missing_is_named_with_the_layout(root, gone, named):
    shutil.rmtree(root / gone)
    with pytest.raises(UsageError) as error:
        read_ilids(root)
    assert named in str(error.value)
    assert "personNNN" in str(error.value)


def test_other_errors(root):
    for split in (-1, 10):
        with pytest.raises(UsageError, match="0 to 9"):
            read_ilids(root, split)
    for camera in ("cam1", "cam2"):
        shutil.rmtree(root / "i-LIDS-VID/sequences" / camera / "person002")
    with pytest.raises(UsageError, match="5 person folders"):
        read_ilids(root)
    with pytest.raises(UsageError, match="There is no folder"):
        read_ilids(root / "nowhere")


def test_an_empty_person_folder(root):
    folder = root / "i-LIDS-VID/sequences/cam1/person002"
    for path in folder.glob("*.png"):
        path.unlink()
    with pytest.raises(UsageError, match="holds no images"):
        [read_ilids(root, split) for split in range(10)]
