"""`check` on the layouts of public datasets."""

import json
import shutil

import pytest
from made_up import write_own

from reidkit.datasets import UsageError
from reidkit.toolkit.check import find_problems
from reidkit.toolkit.export.export import export


@pytest.fixture
def mars(tmp_path):
    """A folder laid out like MARS, of six people in training and four in the test set."""
    export(write_own(tmp_path, "mine", frames=3), tmp_path / "mars", "mars")
    return tmp_path / "mars"


def test_a_clean_folder_like_mars(mars):
    assert find_problems(mars) == []


def test_damage_in_a_folder_like_mars(mars):
    cut = mars / "bbox_train" / "0002" / "0002C1T0001F002.jpg"
    cut.write_bytes(cut.read_bytes()[:100])
    gone = mars / "bbox_test" / "0008" / "0008C2T0001F003.jpg"
    gone.unlink()
    for place in range(1, 4):
        shutil.copy(
            mars / "bbox_train" / "0001" / f"0001C1T0001F00{place}.jpg",
            mars / "bbox_test" / "0007" / f"0007C1T0001F00{place}.jpg",
        )
    found = {}
    for problem in find_problems(mars):
        found.setdefault(problem.check, set()).update(problem.tracklets)
    assert found == {
        "crops": {"train/0002C1T0001", "test/0008C2T0001"},
        "crops of the same bytes": {"train/0001C1T0001", "test/0007C1T0001"},
        "near-duplicates": {"train/0001C1T0001", "test/0007C1T0001"},
    }


def test_what_is_no_dataset(tmp_path):
    with pytest.raises(UsageError, match=r"has no dataset\.json"):
        find_problems(tmp_path)
    (tmp_path / "bbox_train").mkdir()
    with pytest.raises(UsageError, match="is no complete MARS"):
        find_problems(tmp_path)


def test_the_other_public_layouts_are_told_apart(tmp_path):
    mine = write_own(tmp_path, "mine", frames=3)
    export(mine, tmp_path / "mevid", "mevid")
    assert find_problems(tmp_path / "mevid") == []
    mars = tmp_path / "mars"
    export(mine, mars, "mars")
    files = sorted((mars / "bbox_test").rglob("*.jpg"))
    prid, ccvid = tmp_path / "prid" / "prid_2011" / "multi_shot", tmp_path / "ccvid"
    lines = {"train": "", "query": "", "gallery": ""}
    for number, (name, person, camera) in enumerate((n, p, c) for p, n in ((1, "train"), (2, "")) for c in (1, 2)):
        part = name or ("query" if camera == 1 else "gallery")
        folder = f"session1/{person:03d}_{camera:02d}"
        lines[part] += f"{folder} {person:03d} u0\n"
        for base in (ccvid / folder, prid / f"cam_{'ab'[camera - 1]}" / f"person_{person:04d}"):
            base.mkdir(parents=True)
            for place, file in enumerate(files[3 * number : 3 * number + 3]):
                shutil.copy(file, base / f"{place}.jpg")
    for name, text in lines.items():
        (ccvid / f"{name}.txt").write_text(text)
    splits = [{"train": ["person_0001"], "test": ["person_0002"]}] * 10
    (tmp_path / "prid" / "splits_prid2011.json").write_text(json.dumps(splits))
    for root, damaged in (
        (ccvid, ccvid / "session1/002_02/1.jpg"),
        (tmp_path / "prid", prid / "cam_b/person_0002/1.jpg"),
    ):
        assert "crops" not in {problem.check for problem in find_problems(root)}
        damaged.write_bytes(b"x")
        assert "crops" in {problem.check for problem in find_problems(root)}
