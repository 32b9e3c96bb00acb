"""MOTChallenge annotations: what a line says, which lines are people, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from reidkit.datasets.errors import UsageError
from reidkit.datasets.mot import Line, read_lines, read_people, read_seqinfo, write_lines

SPORTSMOT = Path(__file__).resolve().parents[2] / ".." / "shared" / "mot" / "sportsmot"


def test_lines(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text(
        "\ufeff3, 9, 5, 6.5, 10, 20, 1, 1, 0.25\n"
        "1, 4, 0, 0, 10, 10, 0, 1, 1\n"  # not to be counted
        "1, 5, 0, 0, 10, 10, 1, 7, 1\n"  # not a pedestrian
        "\n"
        "2,0,-6,6,10,20,\r\n",  # the first six columns are enough
        encoding="utf-8",
    )
    assert read_lines(path) == [
        Line(3, 9, 5.0, 6.5, 10.0, 20.0, 1.0, 1.0, 0.25),
        Line(1, 4, 0.0, 0.0, 10.0, 10.0, counts=0.0),
        Line(1, 5, 0.0, 0.0, 10.0, 10.0, category=7.0),
        Line(2, 0, -6.0, 6.0, 10.0, 20.0),
    ]
    assert [line.id for line in read_people(path)] == [9, 0]


def test_an_empty_annotation_is_nobody(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("\n")
    assert read_people(path) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1,2,3", "it has 3 columns"),
        ("0,1,5,5,10,10,1,1,1", "frame must be a whole number from 1"),
        ("1e300,1,5,5,10,10,1,1,1", "frame must be a whole number from 1"),
        ("1.5,1,5,5,10,10,1,1,1", "frame must be a whole number from 1"),
        ("1,9223372036854775808,5,5,10,10", "id must be a whole number of at most 2"),
        ("1,1e19,5,5,10,10", "id must be a whole number of at most 2"),
        ("1,9007199254740993,5,5,10,10", "id must be a whole number of at most 2"),
        ("1,1,5,5,0,10,1,1,1", "width must be above 0"),
        ("1,1,5,5,10,-3,1,1,1", "height must be above 0"),
        ("1,1,5,5,nan,10,1,1,1", "width must be above 0"),
        ("1,1,1e300,5,10,10", "x must be a number of pixels"),
        ("one,1,5,5,10,10", "frame must be"),
        ("1,1,5,5,10,10,1,1,inf", "visibility must be a number"),
        ("1,3,5,5,10,10,1,1,1", "a second time"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, says):
    path = tmp_path / "gt.txt"
    path.write_text(f"1,3,5,5,10,10,1,1,1\n{line}\n")
    with pytest.raises(UsageError, match=says) as caught:
        read_people(path)
    assert str(path) in str(caught.value)
    if says != "a second time":
        assert "Line 2" in str(caught.value)


def test_an_annotation_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="absent"):
        read_lines(tmp_path / "absent.txt")
    (tmp_path / "gt.txt").write_bytes(b"1,2,\xff\xfe")
    with pytest.raises(UsageError, match="is no text"):
        read_lines(tmp_path / "gt.txt")


@pytest.mark.parametrize("decimals", [None, 2])
def test_what_is_written_is_read(tmp_path, decimals):
    rng = np.random.default_rng(3)
    lines = [
        Line(int(f), int(i), *(round(float(v), 2) for v in rng.uniform(1, 500, 4)), 1.0, 1.0, 0.125)
        for f, i in rng.integers(1, 1000, (50, 2))
    ]
    path = tmp_path / "gt.txt"
    write_lines(path, lines, decimals)
    assert read_lines(path) == lines


def test_how_a_line_is_written():
    line = Line(3, 7, 1.25, 2.5, 10.0, 20.0, visibility=0.5)
    assert line.text() == "3,7,1.25,2.5,10,20,1,1,0.5"
    assert line.text(2) == "3,7,1.25,2.50,10.00,20.00,1,1,0.500"


def by_the_library(path: Path) -> list[tuple]:
    """Frame, id and box of people as `trackers` reads them, by TrackEval's rule for ground truth."""
    from trackers import load_mot_file

    return sorted(
        (frame, int(data.ids[i]), *map(float, data.boxes[i]))
        for frame, data in load_mot_file(path).items()
        for i in np.flatnonzero((data.confidences != 0) & (data.classes == 1))
    )


def ours(path: Path) -> list[tuple]:
    return sorted((p.frame, p.id, p.x, p.y, p.width, p.height) for p in read_people(path))


@pytest.mark.parametrize("columns", [6, 7, 8, 9, 10])
def test_people_as_the_trackers_library_reads_them(tmp_path, columns):
    rng = np.random.default_rng(columns)
    path, rows = tmp_path / "gt.txt", []
    for frame in range(1, 30):
        for person in rng.permutation(9)[:5]:
            box = rng.uniform(1, 200, 4).round(2)
            row = [frame, person, *box, int(rng.random() < 0.8), int(rng.choice([1, 1, 1, 2, 7])), 0.5, -1]
            rows.append(",".join(str(v) for v in row[:columns]))
    path.write_text("\n".join(rows))
    assert ours(path) == by_the_library(path)
    assert 0 < len(ours(path)) <= 145


@pytest.mark.skipif(not SPORTSMOT.is_dir(), reason="no SportsMOT annotation in ../shared")
def test_real_annotations_as_the_trackers_library_reads_them():
    for path in SPORTSMOT.glob("*/gt/gt.txt"):
        assert ours(path) == by_the_library(path)


def test_seqinfo(tmp_path):
    path = tmp_path / "seqinfo.ini"
    path.write_text("[Sequence]\nname=50%_off\nimDir=img1\nframeRate=29.97\nseqLength=10\nimWidth=1280\nimheight=720\n")
    info = read_seqinfo(path)
    assert (info.images, info.fps, info.length, info.width, info.height) == ("img1", 29.97, 10, 1280, 720)
    assert info.entries["name"] == "50%_off"
    path.write_text("[Sequence]\nseqLength=\n")
    info = read_seqinfo(path)
    assert (info.images, info.fps, info.length) == ("img1", 25.0, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no section"),
        ("[Other]\nframeRate=25", "no section"),
        ("frameRate=25", "no section headers"),
        ("[Sequence]\nframeRate=fast", "frameRate is 'fast'"),
        ("[Sequence]\nframeRate=0", "frameRate is '0'"),
        ("[Sequence]\nframeRate=1e-300", "from 0.1 to 1000"),
        ("[Sequence]\nframeRate=inf", "from 0.1 to 1000"),
        ("[Sequence]\nseqLength=1e30", "seqLength is '1e30'"),
        ("[Sequence]\nseqLength=-1", "seqLength is '-1'"),
        ("[Sequence]\nimWidth=0", "imWidth is '0'"),
        ("[Sequence]\nimDir=/etc", "leads out"),
        ("[Sequence]\nimDir=a/../../b", "leads out"),
        ("[Sequence]\nimWidth=5\nimWidth=6", "already exists"),
    ],
)
def test_a_bad_seqinfo_is_one_sentence(tmp_path, text, says):
    path = tmp_path / "seqinfo.ini"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        read_seqinfo(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
