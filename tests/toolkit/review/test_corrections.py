"""Corrected files read back: what was changed in them, and nothing else, becomes decisions."""

import re
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.decisions import read_decisions
from reidkit.datasets.mot import Line, read_lines, write_lines
from reidkit.datasets.own import frame_table, reviewed_tables, tracklet_table
from reidkit.datasets.replay import follow
from reidkit.toolkit.export.export import export
from reidkit.toolkit.review.corrections import import_corrections

# id, identity, kind, camera, event, role; identity 5 was split in two by the builder, 6 is two people
ROWS = (
    ("a", 3, "person", "north", "final", "train"),
    ("b", 3, "person", "east", "final", "train"),
    ("d", 5, "person", "west", "heat", "query"),
    ("e", 5, "person", "east", "heat", "query"),
    ("x", 7, "person", "west", "heat", "gallery"),
    ("f", 6, "person", "east", "heat", "query"),
    ("g", 6, "person", "west", "heat", "query"),
    ("k", 6, "person", "west", "heat", "gallery"),
    ("h", -1, "junk", "east", "heat", "gallery"),
)


@pytest.fixture
def root(remake) -> Path:
    """x and k come later than d and g, who may so be the same people."""
    root = remake(ROWS, frames=9)
    later = pl.when(pl.col("tracklet").is_in(["x", "k"])).then(pl.col("frame") + 60).otherwise("frame")
    pl.read_parquet(root / "frames.parquet").with_columns(frame=later).write_parquet(root / "frames.parquet")
    return root


def who(root):
    return dict(reviewed_tables(root)[0].select("id", "identity").iter_rows())


def groups(root):
    """The people as sets of tracklets, and what is nobody's."""
    found = {}
    for id_, identity in who(root).items():
        found.setdefault(identity, set()).add(id_)
    return found.pop(-1, set()), sorted(map(sorted, found.values()))


@pytest.mark.parametrize("format_", ["mot", "cvat"])
def test_what_was_not_corrected_decides_nothing(root, tmp_path, format_):
    export(root, tmp_path / "out", format_)
    found = import_corrections(root, tmp_path / "out", same_ids=True)
    assert (list(found.decisions), found.tracklets, found.moved) == ([], 9, [])
    assert not (root / "decisions.jsonl").exists() or not read_decisions(root)


def rewrite(folder, change):
    """Every line of every gt.txt through `change(sequence, id, frame)`: the new id, or None to remove it."""
    for gt in folder.rglob("gt.txt"):
        lines = []
        for line in read_lines(gt):
            id_ = change(gt.parents[1].name, line.id, line.frame - 1)
            if id_ is not None:
                lines.append(type(line)(line.frame, id_, line.x + 1.5, line.y, line.width, line.height, line.counts))
        write_lines(gt, lines)


def test_ids_of_ours_corrected_in_motchallenge(root, tmp_path):
    """7 is 5, k is somebody new whom the file calls 20, f is removed, and e changes from 5 to 21 at its fifth crop."""
    export(root, tmp_path / "out", "mot")
    turn = reviewed_tables(root)[1].filter(tracklet="e")["frame"][4]

    def change(sequence, id_, frame):
        if sequence == "heat--west":
            return 5 if id_ == 7 else 20 if id_ == 6 and frame >= 85 else id_
        if sequence == "heat--east":
            return None if id_ == 6 else 21 if id_ == 5 and frame >= turn else id_
        return id_

    rewrite(tmp_path / "out", change)
    found = import_corrections(root, tmp_path / "out", same_ids=True)
    assert who(root) == {
        "a": 3, "b": 3, "d": 5, "e": 5, f"e~{turn}": 21, "x": 5, "f": -1, "g": 6, "k": 20, "h": -1
    }  # fmt: skip
    kinds = {(d.do, d.tracklets) for d in found.decisions}
    assert {("split", ("e",)), ("junk", ("f",)), ("identity", ("k",))} <= kinds
    assert any(do == "merge" and "x" in ids for do, ids in kinds)
    assert {d.by for d in read_decisions(root)} == {"import out"}
    before = (root / "decisions.jsonl").read_bytes()
    assert list(import_corrections(root, tmp_path / "out", same_ids=True).decisions) == []
    assert (root / "decisions.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("ids", "people"),
    [
        ({"d": 901, "x": 901, "g": 903, "k": 903}, [["a", "b"], ["d", "e", "x"], ["f", "g", "k"]]),
        ({"d": 901, "x": 902, "g": 903, "k": 901}, [["a", "b"], ["d", "e", "k"], ["f", "g"], ["x"]]),
    ],
)
def test_ids_of_another_tool_say_who_is_who_in_their_own_file(root, tmp_path, ids, people):
    """Numbered by another tool; what the other cameras saw stays with whoever keeps the identity."""
    gt = tmp_path / "theirs" / "heat--west" / "gt" / "gt.txt"
    rows = reviewed_tables(root)[1].filter(pl.col("tracklet").is_in(list(ids))).iter_rows(named=True)
    box = ("x1", "y1", "x2", "y2")
    sized = [(row["tracklet"], row["frame"], *[row[side] for side in box]) for row in rows]
    write_lines(gt, [Line(frame + 1, ids[id_], x, y, x2 - x, y2 - y) for id_, frame, x, y, x2, y2 in sized])
    import_corrections(root, gt)
    assert groups(root) == ({"h"}, people)


def test_one_id_twice_in_a_frame_is_refused(root, tmp_path):
    (tmp_path / "heat--west.txt").write_text("1,4,1,1,9,9\n1,4,20,1,9,9\n")
    with pytest.raises(UsageError, match="frame 0 of heat--west twice"):
        import_corrections(root, tmp_path / "heat--west.txt")


def test_tracks_corrected_in_cvat(root, tmp_path):
    """A label set to junk, an identity's number and a name typed in, key boxes thinned by the tool, a track added."""
    export(root, tmp_path / "out", "cvat")
    for name in ("heat--west", "heat--east"):
        path = tmp_path / "out" / f"{name}.xml"
        tree = ElementTree.parse(path)
        for track in tree.getroot().iter("track"):
            boxes = list(track.iter("box"))
            said = {a.get("name"): a.text for a in boxes[0].iter("attribute")}
            for box in boxes[1:-2]:
                track.remove(box)  # linear in between, as the fixture's people walk
            if said["tracklet"] == "k":
                track.set("label", "junk")
            new = {"x": "5", "g": "Anna", "f": "Anna"}.get(said["tracklet"])
            for attribute in track.iter("attribute"):
                if attribute.get("name") == "identity" and new:
                    attribute.text = new
        tree.write(path)
    found = import_corrections(root, tmp_path / "out")
    assert who(root) == {"a": 3, "b": 3, "d": 5, "e": 5, "x": 5, "f": 6, "g": 6, "k": -1, "h": -1}
    assert found.moved == []
    assert follow(tracklet_table(root), frame_table(root), read_decisions(root))[0].names == {6: "Anna"}


def test_a_table_of_identities(root, tmp_path):
    table = tmp_path / "who.csv"
    table.write_text("tracklet,identity\nx,5\nk,junk\nh,6\ng,Berta\nf,\n")
    import_corrections(root, table)
    after = who(root)
    assert (after["x"], after["k"], after["f"]) == (5, -1, -1)
    assert after["h"] == 6
    assert after["g"] not in (3, 5, 6, 7, -1)


def test_people_of_both_sides_test_and_dry_runs_write_nothing(root, tmp_path):
    table = tmp_path / "who.csv"
    table.write_text("tracklet,identity\nd,3\n")
    found = import_corrections(root, table, dry_run=True)
    assert found.moved == [3]  # of event 'final', which goes to the test set as a whole
    assert len(found.decisions) == 1
    assert not (root / "decisions.jsonl").exists()


CVAT = "<annotations><version>1.1</version><track id='0' label='person'>{}</track></annotations>"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("who.csv", "tracklet,person\na,1\n", "the columns must be tracklet and identity"),
        ("who.csv", "tracklet,identity\nzz,1\n", "has tracklet 'zz' (1 such), which isn't in the dataset"),
        ("who.csv", "tracklet,identity\na,1\na,2\n", "more than once"),
        ("who.csv", "", "has no rows"),
        ("unknown.xml", CVAT.format(""), "Nothing says which camera"),
        ("heat--west.xml", "<annotations><track", "is no XML"),
        ("heat--west.xml", "<html></html>", "is no annotation of CVAT"),
        ("heat--west.xml", CVAT.format("<box frame='1' xtl='a'/>"), "has a box"),
        ("heat--west.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]>" + CVAT.format("&b;"), "is no XML that can be used"),
        ("heat--west.txt", "1,1,a,2,3,4", "which is no MOT line"),
    ],
)
def test_files_that_cannot_be_read(root, tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=re.escape(reason)):
        import_corrections(root, tmp_path / name)
    assert not (root / "decisions.jsonl").exists()


def test_a_camera_that_is_not_there(root, tmp_path):
    (tmp_path / "gt.txt").write_text("1,1,1,1,1,1")
    with pytest.raises(UsageError, match="There is no camera 'south' of event 'heat'"):
        import_corrections(root, tmp_path / "gt.txt", place=("heat", "south"))
