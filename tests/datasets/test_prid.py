"""PRID-2011 on a made-up tree of its documented layout."""

import json
import shutil

import numpy as np
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.prid import read_prid

PEOPLE = [f"person_{number:04d}" for number in (1, 3, 7, 200)]
FEW, UNSHARED = "person_0002", "person_0201"  # too few images in one camera; seen by both, but not of the first 200


@pytest.fixture
def root(tmp_path):
    for camera in ("cam_a", "cam_b"):
        for person in (*PEOPLE, FEW, UNSHARED, f"person_03{camera[-1] == 'a':02d}"):
            folder = tmp_path / "prid_2011" / "multi_shot" / camera / person
            folder.mkdir(parents=True)
            for frame in range(20 if (person, camera) == (FEW, "cam_b") else 21):
                (folder / f"{frame + 1:04d}.png").touch()
    order = [np.random.RandomState(k).permutation(4).tolist() for k in range(10)]
    splits = [{"train": [PEOPLE[i] for i in o[:2]], "test": [PEOPLE[i] for i in o[2:]]} for o in order]
    (tmp_path / "splits_prid2011.json").write_text(json.dumps(splits))
    return tmp_path


def people(tracklets):
    return {t.id.partition("/")[2] for t in tracklets}


@pytest.mark.parametrize("split", range(10))
def test_the_splits_of_the_file(root, split):
    data, wanted = read_prid(root, split), json.loads((root / "splits_prid2011.json").read_text())[split]
    assert people(data.train) == set(wanted["train"])
    assert people(data.query) == people(data.gallery) == set(wanted["test"])
    assert {t.camera for t in data.query} == {0}
    assert {t.camera for t in data.gallery} == {1}
    assert len(data.train) == 4
    assert data.protocol == "prid-2011"
    assert {t.id[6:]: t.identity for t in data.query} == {p: int(p[7:]) for p in wanted["test"]}
    assert all(len(t.frames) == 21 for t in data.test)


def test_without_the_file_halves_of_those_with_enough_images_are_drawn(root):
    (root / "splits_prid2011.json").unlink()
    data = [read_prid(root, k) for k in range(10)]
    assert {d.protocol for d in data} == {"prid-2011-seeded"}
    for one in data:
        assert people(one.train) | people(one.query) == set(PEOPLE)
        assert len(one.query) == len(one.gallery) == 2
        assert not people(one.train) & people(one.query)
    assert len({d.fingerprint for d in data}) > 2
    assert data[3].fingerprint == read_prid(root, 3).fingerprint


@pytest.mark.parametrize(
    ("gone", "named"),
    [("prid_2011", "multi_shot"), ("prid_2011/multi_shot/cam_b", "multi_shot/cam_b")],
)
def test_what_is_missing_is_named_with_the_layout(root, gone, named):
    shutil.rmtree(root / gone)
    with pytest.raises(UsageError) as error:
        read_prid(root)
    assert named in str(error.value)
    assert "person_NNNN" in str(error.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s[:9], "has 9 splits, not 10"),
        (lambda s: [*s[:9], {"train": s[9]["train"], "test": s[9]["train"]}], "Split 9 of .* names a person twice"),
        (lambda s: [{"train": ["../x"], "test": ["person_0001"]}, *s[1:]], "can't be used"),
        (lambda s: [{"train": []}], "can't be used"),
    ],
)
def test_splits_that_are_none(root, change, sentence):
    path = root / "splits_prid2011.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UsageError, match=sentence):
        read_prid(root)


def test_other_errors(root):
    for split in (-1, 10):
        with pytest.raises(UsageError, match="0 to 9"):
            read_prid(root, split)
    shutil.rmtree(root / "prid_2011/multi_shot/cam_a/person_0007")
    with pytest.raises(UsageError, match="holds no images"):
        [read_prid(root, split) for split in range(10)]
    with pytest.raises(UsageError, match="There is no folder"):
        read_prid(root / "nowhere")
