"""`reidkit simulate`: files, ground truth, resuming, MOT annotation drawn as figures, and errors in one sentence."""

import json
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from reidkit.cli.main import main
from reidkit.datasets.mot import Line, read_lines, read_people
from reidkit.datasets.truth import read_truth
from reidkit.simulator.imitate import looks, read_sequences, video_of

SMALL = ["--people", "3", "--cameras", "2", "--seconds", "1", "--fps", "5", "--size", "160x90", "--jobs", "1"]
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"


def simulate(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["simulate", *map(str, arguments)])
    return stop.value.code or 0


def run(*arguments: object) -> int:
    try:
        main(["simulate", *map(str, arguments)])
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sim") / "raw"
    assert run(out, "--kind", "sports", "--events", 2, "--seed", 7, *SMALL) == 0
    return out


def test_layout_and_truth(footage):
    truth = json.loads((footage / "truth.json").read_text())
    assert list(truth["events"]) == ["sports01", "sports02"]
    assert sorted(truth["identities"], key=int) == [str(k) for k in range(1, 7)]
    assert truth["identities"]["4"]["event"] == "sports02"
    assert {"shoes", "hair", "build", "number", "sleeves", "gait"} <= set(truth["identities"]["1"])
    for event in truth["events"]:
        for camera in ("cam1", "cam2"):
            rows = read_people(footage / event / "truth" / f"{camera}.txt")
            assert rows
            people = set(truth["events"][event]["people"])
            for row in rows:
                assert row.frame <= 5
                assert row.id in people
                assert row.x >= 0
                assert row.y >= 0
                assert row.x + row.width <= 160.01
                assert row.y + row.height <= 90.01
                assert 0 <= row.visibility <= 1
            camera_truth = truth["calibration"][event][camera]
            assert np.array(camera_truth["R"]).shape == (3, 3)


def test_people_of_the_first_event_come_again(tmp_path):
    assert run(tmp_path / "raw", "--kind", "sports", "--events", 3, "--seed", 7, "--returning", 2, *SMALL) == 0
    truth = json.loads((tmp_path / "raw" / "truth.json").read_text())
    people = [event["people"] for event in truth["events"].values()]
    assert people == [[1, 2, 3], [1, 2, 6], [1, 2, 9]]
    assert truth["identities"]["1"]["event"] == "sports01"
    assert sorted(truth["identities"], key=int) == ["1", "2", "3", "6", "9"]
    boxes = (tmp_path / "raw" / "sports03" / "truth").glob("*.txt")
    seen = {row.id for path in boxes for row in read_people(path)}
    assert seen <= {1, 2, 9}
    assert seen & {1, 2}


def test_video_is_h264_yuv420p_at_a_constant_rate(footage):
    with av.open(str(footage / "sports01" / "cam1.mp4")) as video:
        stream = video.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 5
        times = [frame.time for frame in video.decode(stream)]
    assert times == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_boxes_lie_on_people_in_the_video(footage):
    """What moves in the picture lies mostly inside the boxes: truth and footage speak of the same frames."""
    with av.open(str(footage / "sports01" / "cam1.mp4")) as video:
        frames = [f.to_ndarray(format="gray").astype(int) for f in video.decode(video=0)]
    background = np.median(frames, axis=0)
    rows = read_lines(footage / "sports01" / "truth" / "cam1.txt")
    inside, outside = [], []
    for index, frame in enumerate(frames):
        mask = np.zeros(frame.shape, bool)
        for row in rows:
            if row.frame == index + 1:
                bottom, right = int(row.y + row.height) + 1, int(row.x + row.width) + 1
                mask[int(row.y) : bottom, int(row.x) : right] = True
        moved = np.abs(frame - background)
        inside.append(moved[mask].mean())
        outside.append(moved[~mask].mean())
    assert np.mean(inside) > 2.5 * np.mean(outside)


def test_same_arguments_same_bytes_and_processes_do_not_matter(footage, tmp_path):
    arguments = ["--kind", "sports", "--events", 2, "--seed", 7, *SMALL]
    arguments[-1] = "2"
    assert run(tmp_path / "raw", *arguments) == 0
    for path in sorted(p for p in footage.rglob("*") if p.is_file()):
        assert (tmp_path / "raw" / path.relative_to(footage)).read_bytes() == path.read_bytes(), path.name


def test_stopped_run_goes_on_with_the_same_command(footage, tmp_path):
    out = tmp_path / "raw"
    shutil.copytree(footage, out)
    (out / "truth.json").unlink()
    (out / "sports02" / "truth" / "cam2.txt").unlink()
    kept = (out / "sports01" / "cam1.mp4").stat().st_mtime_ns
    assert run(out, "--kind", "sports", "--events", 2, "--seed", 7, *SMALL) == 0
    assert (out / "sports01" / "cam1.mp4").stat().st_mtime_ns == kept
    for name in ("truth.json", "sports02/truth/cam2.txt", "sports02/cam2.mp4"):
        assert (out / name).read_bytes() == (footage / name).read_bytes()


def test_json_is_one_object(tmp_path, capsys):
    assert run(tmp_path / "raw", "--kind", "dance", *SMALL, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["events"] == 1
    assert told["people"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--people", "0"], "--people is 0"),
        (["--people", "41"], "1 to 40"),
        (["--cameras", "0"], "--cameras is 0"),
        (["--events", "0"], "--events is 0"),
        (["--seconds", "0"], "--seconds is 0"),
        (["--fps", "0"], "--fps is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--jobs", "0"], "0 is not in the range x>=1"),
        (["--kind", "dence"], "'dence' is not one of 'sports', 'dance'"),
        (["--size", "640"], "WIDTHxHEIGHT"),
        (["--size", "641x360"], "even"),
        (["--size", "32x32"], "64x64"),
        (["--frames", "3"], "--from-mot"),  # there is nothing to cut
        (["--shared-ids"], "--from-mot"),
        (["--returning", "9"], "--returning is 9; it can be 0 to 8"),
        (["--returning", "1", "--from-mot", "."], "--returning goes with simulated events"),
        (["--from-mot", "nowhere"], "'nowhere' is no folder"),
    ],
)
def test_bad_arguments(arguments, words, tmp_path, capsys):
    assert simulate(tmp_path / "raw", *arguments) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "raw").exists()


def test_folder_with_other_things_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert simulate(tmp_path, *SMALL) == 2
    assert "is not empty (not from this command)" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_folder_of_another_seed_is_refused(footage, capsys):
    assert simulate(footage, "--kind", "sports", "--events", 2, "--seed", 8, *SMALL) == 2
    assert "with other settings" in capsys.readouterr().err


def test_unwritable_output(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert simulate(tmp_path / "file" / "raw", *SMALL) == 1
    assert "Cannot write" in capsys.readouterr().err
    assert simulate(tmp_path / "file", *SMALL) == 2
    assert "is a file" in capsys.readouterr().err


def make_sequence(root: Path, name: str, rows: list[str], length: int = 4) -> None:
    folder = root / name
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={name}\nimDir=img1\nframeRate=25\nseqLength={length}\nimWidth=160\nimHeight=90\nimExt=.jpg\n"
    )


@pytest.fixture
def clips(tmp_path) -> Path:
    """Two clips of one video and one of another; ids begin anew in each, as SportsMOT numbers them."""
    rows = [f"{f}, 0, {20 + f}, 30, 16, 40, 1, 1, 1" for f in range(1, 5)]
    make_sequence(tmp_path / "in", "v_a_c001", [*rows, "2, 5, 100, 20, 20, 50, 1, 1, 1"])
    make_sequence(tmp_path / "in", "v_a_c002", [*rows, "3, 1001, 100, 20, 20, 50, 1, 1, 1"])
    make_sequence(tmp_path / "in", "v_b_c001", [*rows, "4, 1, 100, 20, 20, 50, 1, 1, 1"])
    return tmp_path / "in"


def test_figures_fill_the_annotated_boxes(clips, tmp_path):
    """Boxes are where figures are, and every clip has people of its own."""
    out = tmp_path / "out"
    assert run(out, "--from-mot", clips, "--frames", 3) == 0
    truth = read_truth(out / "truth.json")
    assert sorted(truth.identities) == ["1", "2", "3", "4", "5"]
    assert truth.annotated_ids == {
        "v_a_c001": {"0": 1, "5": 2},
        "v_a_c002": {"0": 3, "1001": 4},
        "v_b_c001": {"0": 5},  # the other one comes in the fourth frame
    }
    assert truth.events["v_a"].sequences == ("v_a_c001", "v_a_c002")
    assert truth.events["v_a"].people == (1, 2, 3, 4)
    assert "every sequence has people of its own" in truth.note
    for name in ("v_a_c001", "v_a_c002", "v_b_c001"):
        assert len(list((out / name / "img1").glob("*.jpg"))) == 3
        assert "seqLength=3" in (out / name / "seqinfo.ini").read_text()
    copied = read_lines(out / "v_a_c001" / "gt" / "gt.txt")
    assert [(line.frame, line.id) for line in copied] == [(1, 1), (2, 1), (3, 1), (2, 2)]
    assert copied[3] == Line(2, 2, 100.0, 20.0, 20.0, 50.0)
    with_person, without = (cv2.imread(str(out / "v_a_c001" / "img1" / f"{k:06d}.jpg")).astype(int) for k in (2, 3))
    changed = np.abs(with_person - without).max(-1) > 60
    changed[:, :60] = False  # the other person walks there
    rows_hit, columns_hit = np.nonzero(changed)
    assert rows_hit.min() >= 17
    assert rows_hit.max() <= 77  # the shadow reaches below the feet
    assert columns_hit.min() >= 96
    assert columns_hit.max() <= 124
    assert changed[20:70, 100:120].mean() > 0.2


@pytest.mark.parametrize("shared", [False, True])
def test_no_two_people_of_an_annotation_get_one_id(clips, shared):
    """Id 1001 of one clip and id 1 of another stay two people; an id goes on in the next clip where that is said."""
    sequences = read_sequences(clips)
    people = looks(sequences, seed=3, shared_ids=shared)
    meant = {}
    for sequence in sequences:
        place = sequence.video if shared else sequence.name
        for annotated, person in people[sequence.name].items():
            meant.setdefault(person.id, set()).add((place, annotated))
    assert all(len(those) == 1 for those in meant.values())
    assert sorted(meant) == list(range(1, len(meant) + 1))
    assert len(meant) == (5 if shared else 6)
    assert (people["v_a_c001"][0] == people["v_a_c002"][0]) is shared


def test_shared_ids_are_said_in_the_truth(clips, tmp_path):
    out = tmp_path / "out"
    assert run(out, "--from-mot", clips, "--frames", 1, "--shared-ids") == 0
    truth = read_truth(out / "truth.json")
    assert truth.annotated_ids == {"v_a_c001": {"0": 1}, "v_a_c002": {"0": 1}, "v_b_c001": {"0": 2}}
    assert "one person in all clips" in truth.note
    assert "annotated" not in str(truth.identities)  # what template captions tell of a person


def test_sequences_of_one_name_are_refused(clips, tmp_path, capsys):
    shutil.copytree(clips / "v_a_c001", clips / "val" / "v_a_c001")
    assert simulate(tmp_path / "out", "--from-mot", clips) == 2
    assert "2 sequences" in capsys.readouterr().err


def test_mot_folder_without_sequences_or_with_a_broken_one(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert simulate(tmp_path / "out", "--from-mot", tmp_path / "in") == 2
    assert "No `<sequence>/gt/gt.txt`" in capsys.readouterr().err
    make_sequence(tmp_path / "in", "v_a_c001", ["1,1,0,0,9,9,1,1,1"])
    (tmp_path / "in" / "v_a_c001" / "seqinfo.ini").write_text("[Sequence]\nname=x\n")
    assert simulate(tmp_path / "out", "--from-mot", tmp_path / "in") == 2
    assert "seqLength" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "video"), [("v_abc_c003", "v_abc"), ("dancetrack0001", "dancetrack0001")])
def test_video_of(name, video):
    assert video_of(name) == video


def test_real_sportsmot_annotation_parses():
    folder = SHARED / "mot" / "sportsmot"
    if not folder.is_dir():
        pytest.skip("the real SportsMOT annotation (../shared/mot/sportsmot) is not here")
    sequences = read_sequences(folder, 10)
    assert len(sequences) == 6
    for sequence in sequences:
        assert sequence.boxes.shape[0] == 10
        assert (~np.isnan(sequence.boxes[..., 0])).sum() == len(sequence.lines)
