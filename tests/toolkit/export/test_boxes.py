"""MOTChallenge and CVAT: boxes, identities, cameras and splits read back are the dataset's; the pixels stay there."""

from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.mot import read_lines, read_people, read_seqinfo
from reidkit.toolkit.export.export import export


def boxes(item):
    """Frame from 0 -> x1, y1, x2, y2."""
    return {row["frame"]: (row["x1"], row["y1"], row["x2"], row["y2"]) for row in item.rows.iter_rows(named=True)}


def test_motchallenge(small, content, tmp_path):
    done = export(small, tmp_path / "out", "mot")
    assert done.counts["tracklets"] == 9
    found = {}
    for gt in sorted((tmp_path / "out").rglob("gt.txt")):
        split, name = gt.parts[-4:-2]
        info = read_seqinfo(gt.parents[1] / "seqinfo.ini")
        assert (info.fps, info.length, info.width, info.height) == (25.0, 300, 640, 360)
        assert len(read_people(gt)) == sum(line.person for line in read_lines(gt))  # nobody twice in a frame
        for line in read_lines(gt):
            key = split, *name.split("--"), line.id, line.counts, line.category
            box = (line.x, line.y, line.x + line.width, line.y + line.height)
            found.setdefault(key, {})[line.frame - 1] = box, line.visibility
    nobody = {"junk": (0, 1), "distractor": (0, 8)}
    wanted = {}
    for item in content.items:
        counts, category = nobody.get(item.kind, (1, 1))
        id_ = item.identity if item.person else {"junk": 9, "distractor": 10}[item.kind]  # above the largest, 8
        key = item.split, content.events[item.event], content.cameras[item.camera], id_, counts, category
        wanted[key] = boxes(item)
    assert found.keys() == wanted.keys()
    for key, here in wanted.items():
        assert found[key].keys() == here.keys()
        for frame, (box, visibility) in found[key].items():
            assert box == pytest.approx(here[frame], abs=1e-3)
            assert visibility == pytest.approx(1 - frame % 5 / 10, abs=1e-6)


def test_one_identity_twice_in_a_frame_goes_to_cvat(remake, tmp_path):
    rows = [(id_, 7, "person", "north", "final", "gallery") for id_ in "ab"]
    with pytest.raises(UsageError, match=r"tracklets 'a' and 'b' are both identity 7 in frame 25.*--format cvat"):
        export(remake(rows), tmp_path / "out", "mot")


@pytest.mark.parametrize(
    ("camera", "flat", "reason"),
    [("a/b", False, "'final--a/b' can't be the name of a sequence"), ("north", True, "has no box in frame 25")],
)
@pytest.mark.parametrize("format_", ["mot", "cvat"])
def test_what_files_of_boxes_cannot_hold(remake, tmp_path, camera, flat, reason, format_):
    root = remake([("a", 7, "person", "north", "final", "gallery")])
    table = pl.read_parquet(root / "tracklets.parquet").with_columns(camera=pl.lit(camera))
    table.write_parquet(root / "tracklets.parquet")
    if flat:
        pl.read_parquet(root / "frames.parquet").with_columns(x2="x1").write_parquet(root / "frames.parquet")
    with pytest.raises(UsageError, match=f"{reason}.*--format webdataset"):
        export(root, tmp_path / "out", format_)


def read_cvat(path: Path):
    """Tracks as CVAT's documentation has them: (label, attributes, frame -> box while it is not outside)."""
    root = ElementTree.parse(path).getroot()
    assert root.findtext("version") == "1.1"
    for track in root.iter("track"):
        here, attributes = {}, {}
        for box in track.iter("box"):
            attributes = {a.get("name"): a.text or "" for a in box.iter("attribute")}
            if box.get("outside") == "0":
                here[int(box.get("frame"))] = tuple(float(box.get(s)) for s in ("xtl", "ytl", "xbr", "ybr"))
        yield track.get("label"), attributes, here


def test_cvat(small, content, tmp_path):
    export(small, tmp_path / "out", "cvat")
    found = defaultdict(list)
    for path in (tmp_path / "out").glob("*.xml"):
        event, camera = path.stem.split("--")
        task = ElementTree.parse(path).getroot().find("meta/task")
        assert task.findtext("name") == f"{event}/{camera}"
        assert task.findtext("size") == "300"
        assert {label.findtext("name") for label in task.iter("label")} == {"person", "junk", "distractor"}
        for label, attributes, here in read_cvat(path):
            found[attributes["tracklet"]] = [event, camera, label, attributes["split"], attributes["role"], here]
            found[attributes["tracklet"]].append(attributes["identity"])
    assert len(found) == len(content.items)
    for item in content.items:
        event, camera, label, split, role, here, identity = found[item.id]
        assert (event, camera) == (content.events[item.event], content.cameras[item.camera])
        assert (label, split, role) == (item.kind, item.split, item.role)
        assert identity == (str(item.identity) if item.person else "")
        assert here.keys() == boxes(item).keys()
        assert all(here[frame] == pytest.approx(box, abs=1e-3) for frame, box in boxes(item).items())


def test_a_track_ends_behind_its_last_crop(small, tmp_path):
    export(small, tmp_path / "out", "cvat")
    for path in (tmp_path / "out").glob("*.xml"):
        for track in ElementTree.parse(path).getroot().iter("track"):
            marks = [(int(box.get("frame")), box.get("outside"), box.get("keyframe")) for box in track.iter("box")]
            assert marks == [(n, "0", "1") for n in range(25, 38, 3)] + [(38, "1", "1")]
