"""The whole build on made-up videos: coloured people on grey, a detector and an embedder that see colour."""

import functools
import hashlib
import json
import os
import shutil

import av
import cv2
import numpy as np
import polars as pl
import pytest
import supervision as sv

from reidkit.cli.main import main
from reidkit.datasets import LossError, ReidkitError, UsageError
from reidkit.datasets import files as durable
from reidkit.datasets.own import read_dataset
from reidkit.toolkit.build import SHEET, WORK, BuildSettings, build
from reidkit.toolkit.events import EventSettings
from reidkit.toolkit.link import LinkSettings
from reidkit.toolkit.manifest import check, summary
from reidkit.toolkit.settings import FootageSettings
from reidkit.toolkit.split import SplitSettings

SIZE, RATE, SECONDS = (240, 160), 10, 3
# The first event's people and the second's, RGB.
PEOPLE = {1: (220, 40, 40), 2: (40, 200, 60), 3: (50, 70, 220), 4: (220, 200, 40), 5: (200, 60, 200), 6: (40, 210, 210)}


def paint(people, frame, camera):
    """People walk side by side, a little differently in each camera; boxes are [x, y, w, h]."""
    image = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    boxes = {}
    for place, person in enumerate(people):
        x = 8 + 78 * place + 3 * camera + int(8 * np.sin(0.3 * frame + place))
        y = 30 + 10 * camera + 2 * place
        image[y : y + 84, x : x + 40] = PEOPLE[person]
        image[y : y + 14, x + 10 : x + 30] = 225  # a head
        image[y + 20 + frame % 7 : y + 24 + frame % 7, x : x + 40] = 30  # something that moves: no near-duplicates
        boxes[person] = (x, y, 40, 84)
    return image, boxes


def film(path, people, camera, seconds=SECONDS, truth=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 4_000_000
        for index in range(seconds * RATE):
            image, boxes = paint(people, index, camera)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
            lines += [f"{index + 1},{p},{x},{y},{w},{h},1,1,1" for p, (x, y, w, h) in boxes.items()]
        for packet in stream.encode():
            container.mux(packet)
    if truth:
        notes = path.parent / "truth" / f"{path.stem}.txt"
        notes.parent.mkdir(exist_ok=True)
        notes.write_text("\n".join(lines) + "\n")


class ColourDetector:
    """Boxes of what is strongly coloured."""

    name, sha256, input_size, confidence = "colour", "0" * 64, SIZE, 0.1

    def detect(self, images):
        found = []
        for image in images:
            strong = (image.max(2).astype(int) - image.min(2) > 60).astype(np.uint8)
            strong = cv2.morphologyEx(strong, cv2.MORPH_CLOSE, np.ones((13, 13), np.uint8))
            count, _, stats, _ = cv2.connectedComponentsWithStats(strong)
            boxes = [(x, y - 2, x + w, y + h) for x, y, w, h, area in stats[1:count] if area > 400]
            found.append(
                sv.Detections(
                    xyxy=np.array(boxes, np.float32).reshape(-1, 4),
                    confidence=np.full(len(boxes), 0.9, np.float32),
                    class_id=np.zeros(len(boxes), int),
                )
            )
        return found


class ColourEmbedder:
    """A crop's histogram of hue."""

    name, sha256 = "hue", "1" * 64

    def embed(self, images):
        rows = []
        for image in images:
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            hue = np.histogram(hsv[..., 0][hsv[..., 1] > 90], 12, (0, 180))[0].astype(np.float32) + 1.0
            rows.append(hue / np.linalg.norm(hue))
        return np.array(rows, np.float32)


def load_colour_detector(threads=None):
    return ColourDetector()


def load_colour_embedder(threads=None):
    return ColourEmbedder()


SETTINGS = BuildSettings(footage=FootageSettings(segment_seconds=2.0), split=SplitSettings())
make = functools.partial(build, load_detector=load_colour_detector, load_embedder=load_colour_embedder)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two events with three people each, two cameras; the second camera sees two of them."""
    raw = tmp_path_factory.mktemp("footage") / "raw"
    for event, people in (("gala", (1, 2, 3)), ("match", (4, 5, 6))):
        film(raw / event / "left.mp4", people, 0)
        film(raw / event / "right.mp4", people[::-1][:2], 1)
    identities = {str(p): {"shirt": f"colour {p}", "height": 170 + p} for p in PEOPLE}
    (raw / "truth.json").write_text(json.dumps({"identities": identities}))
    return raw


@pytest.fixture(scope="module")
def built(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "set"
    return out, make(raw, out, SETTINGS)


def content(out):
    """Every file that belongs to the dataset, by digest."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and WORK not in path.relative_to(out).parts
    }


def test_people_are_linked_and_scored(built):
    out, outcome = built
    table = pl.read_parquet(out / "tracklets.parquet")
    people = table.filter(kind="person")
    # One identity is one true person, and the other way round.
    assert people.group_by("identity").agg(pl.col("truth").n_unique())["truth"].max() == 1
    assert people.group_by("truth").agg(pl.col("identity").n_unique())["identity"].max() == 1
    assert sorted(people["truth"].unique()) == [1, 2, 3, 4, 5, 6]
    scores = outcome.manifest["scores"]
    assert scores["detection_recall"] > 0.95
    assert scores["detection_precision"] > 0.95
    assert scores["idf1"] > 0.9
    assert scores["tracklet_purity"] == 1.0
    assert scores["link_precision"] == scores["link_recall"] == scores["bcubed_recall"] == 1.0
    assert scores["identities"] == scores["true_identities"] == 6


def test_events_are_divided_and_queries_have_matches(built):
    out, outcome = built
    dataset = read_dataset(out)
    assert {t.event for t in dataset.train}.isdisjoint({t.event for t in dataset.test})
    assert len(dataset.identities) == 3
    # Two of the three were seen by both cameras, each camera asks once.
    assert len({(t.identity, t.camera) for t in dataset.query}) == len(dataset.query) == 4
    assert dataset.fingerprint == outcome.manifest["fingerprint"]
    assert outcome.manifest["split"]["by"] == "event"


def test_tracklets_end_at_their_shard(built):
    # Segments are two seconds long, the take three: every person walks on into the second shard, as another tracklet.
    out, _ = built
    frames = pl.read_parquet(out / "frames.parquet")
    assert frames["shard"].n_unique() == 8
    assert frames.group_by("tracklet").agg(pl.col("shard").n_unique())["shard"].max() == 1


def test_attributes_follow_the_true_identity(built):
    out, _ = built
    table = pl.read_parquet(out / "tracklets.parquet").filter(kind="person")
    truth = dict(table.select("identity", "truth").iter_rows())
    attributes = pl.read_csv(out / "attributes.csv")
    assert attributes.columns == ["identity", "height", "shirt"]
    assert {row[0]: row[2] for row in attributes.iter_rows()} == {i: f"colour {t}" for i, t in truth.items()}


def test_summary_counts(built):
    out, _ = built
    facts = summary(out)
    assert facts["identities"] == 6
    assert facts["cameras"] == 2
    assert facts["crops"] == len(pl.read_parquet(out / "frames.parquet"))
    assert sum(sum(seen.values()) for seen in facts["by_identity"].values()) == facts["tracklets"] - facts["junk"]
    assert facts["by_identity"]["1"].keys() <= {"left", "right"}


def test_the_same_again_changes_nothing(raw, built):
    out, outcome = built
    before = content(out)
    assert {"dataset.json", "tracklets.parquet", "frames.parquet", "attributes.csv", SHEET} < before.keys()
    again = make(raw, out, SETTINGS)
    assert content(out) == before
    assert again.manifest == outcome.manifest


def test_killed_at_any_write_and_run_again_ends_in_the_same_bytes(raw, tmp_path, monkeypatch):
    raw = raw / "gala"
    replace, calls = os.replace, 0

    def counted(limit):
        def fake(source, target):
            nonlocal calls
            calls += 1
            if calls == limit:
                raise KeyboardInterrupt
            replace(source, target)

        return fake

    monkeypatch.setattr(durable.os, "replace", counted(-1))
    make(raw, tmp_path / "count" / "set", SETTINGS)
    total, out = calls, tmp_path / "killed" / "set"
    expected = content(tmp_path / "count" / "set")
    assert total > 20
    # The first write, two in the middle of the sources' stages, and each of the last: tables, sheet, manifest.
    for limit in [1, total // 3, 2 * total // 3, *range(total - 3, total + 1)]:
        shutil.rmtree(out, ignore_errors=True)
        calls = 0
        monkeypatch.setattr(durable.os, "replace", counted(limit))
        with pytest.raises(KeyboardInterrupt):
            make(raw, out, SETTINGS)
        assert not (out / "dataset.json").exists()
        monkeypatch.setattr(durable.os, "replace", replace)
        if (out / "crops").is_dir():
            (out / "crops" / ".half.tar.123.tmp").write_bytes(b"what a kill leaves")
        make(raw, out, SETTINGS)
        assert content(out) == expected, f"killed at write {limit} of {total}"


def test_other_settings_redo_what_depends_on_them(raw, tmp_path, monkeypatch):
    out = tmp_path / "set"
    make(raw, out, SETTINGS)
    detected = []
    monkeypatch.setattr(ColourDetector, "detect", lambda self, images: detected.append(1))
    other = BuildSettings(
        footage=SETTINGS.footage, event=EventSettings(link=LinkSettings(people=3)), split=SplitSettings(test_share=1.0)
    )
    assert make(raw, out, other).manifest["split"]["by"] == "test"
    assert not detected  # detections were taken up


def test_processes_give_the_same_bytes(raw, built, tmp_path, monkeypatch):
    # Spawned processes find this module's detector by its name.
    monkeypatch.setattr("reidkit.toolkit.build._extract_in_pool", serial_pool)
    make(raw, tmp_path / "set", SETTINGS, workers=2)
    assert content(tmp_path / "set") == content(built[0])


def serial_pool(takes, settings, load_detector, out, workers):
    """What the pool's processes do, in the opposite order and in this process."""
    from reidkit.toolkit.build import _extract_alone

    for take in reversed(takes):
        _extract_alone(take, settings.footage, load_detector, 1, out)


def test_one_event_makes_a_test_set_and_says_so(raw, tmp_path):
    manifest = make(raw / "gala", tmp_path / "set", SETTINGS).manifest
    assert manifest["split"]["by"] == "test"
    assert manifest["protocol"] == "video-reid"
    assert any("Test set only" in note for note in manifest["notes"])


def test_one_camera_is_divided_into_views(tmp_path):
    film(tmp_path / "raw" / "solo.mp4", (1, 2), 0, seconds=6, truth=False)
    manifest = make(tmp_path / "raw", tmp_path / "set", BuildSettings()).manifest
    assert manifest["protocol"] == "single-camera-views"
    table = pl.read_parquet(tmp_path / "set" / "tracklets.parquet")
    assert sorted(table["camera"].unique()) == ["solo@1", "solo@2"]
    # Cut in the middle of the take, each person is still one.
    assert table.filter(kind="person").group_by("identity").agg(pl.col("camera").n_unique())["camera"].to_list() == [
        2,
        2,
    ]
    assert len(table.filter(role="query")) == 4
    assert table["truth"].null_count() == len(table)
    assert manifest["scores"] is None


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda out: (out / "frames.parquet").unlink(), "missing"),
        (lambda out: (out / "tracklets.parquet").write_bytes(b"PAR1"), "other bytes"),
        (lambda out: next((out / "crops").glob("*.tar")).unlink(), "missing"),
        (lambda out: flip(next((out / "crops").glob("*.tar"))), "can't be decoded"),
        (lambda out: recount(out), "The manifest counts"),
        (lambda out: leak(out), "in train and test"),
    ],
    ids=["no frames", "no table", "no shard", "damaged crop", "other counts", "leak"],
)
def test_check_finds_damage(built, tmp_path, break_it, sentence):
    out = tmp_path / "set"
    shutil.copytree(built[0], out)
    assert check(out) == []
    break_it(out)
    assert any(sentence in problem for problem in check(out)), check(out)


def flip(path):
    data = bytearray(path.read_bytes())
    data[512:520] = b"no image"  # the first JPEG's head
    path.write_bytes(bytes(data))


def recount(out):
    manifest = json.loads((out / "dataset.json").read_text())
    manifest["counts"]["identities"] += 1
    (out / "dataset.json").write_text(json.dumps(manifest))


def leak(out):
    table = pl.read_parquet(out / "tracklets.parquet")
    event = table.filter(split="test", kind="person")["identity"][0]
    table = table.with_columns(
        identity=pl.when((pl.col("split") == "train") & (pl.col("kind") == "person"))
        .then(pl.lit(event))
        .otherwise(pl.col("identity"))
    )
    table.write_parquet(out / "tracklets.parquet")


def test_folder_of_something_else_is_refused(raw, tmp_path):
    (tmp_path / "thesis.tex").write_text("\\section{One}")
    with pytest.raises(UsageError, match=r"holds something else \('thesis.tex'\)"):
        make(raw, tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_output_inside_the_footage_is_refused(raw):
    with pytest.raises(UsageError, match="lies in the footage's folder"):
        make(raw, raw / "out", SETTINGS)
    assert not (raw / "out").exists()


def test_output_that_is_a_file_or_cannot_be_made(raw, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="is a file"):
        make(raw, file, SETTINGS)
    with pytest.raises(ReidkitError, match="Cannot write"):
        make(raw, file / "below", SETTINGS)


def test_second_build_in_one_folder_is_refused(raw, tmp_path):
    import fcntl

    (tmp_path / "set" / WORK).mkdir(parents=True)
    with open(tmp_path / "set" / WORK / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="Another build is at work"):
            make(raw, tmp_path / "set", SETTINGS)


def test_review_decisions_are_not_built_over(raw, built, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(built[0], out)
    (out / "decisions.jsonl").write_text('{"do": "merge"}\n')
    make(raw, out, SETTINGS)  # the same build: fine
    with pytest.raises(UsageError, match="review decisions"):
        make(raw, out, BuildSettings())
    assert (out / "dataset.json").is_file()


def test_nobody_in_the_footage(tmp_path):
    film(tmp_path / "raw" / "empty.mp4", (), 0, truth=False)
    with pytest.raises(ReidkitError, match="Nobody could be followed"):
        make(tmp_path / "raw", tmp_path / "set", SETTINGS)
    assert not (tmp_path / "set" / "dataset.json").exists()


def test_loss_above_the_allowed(built):
    outcome = built[1]
    assert outcome.lost == 0
    outcome.raise_for_loss(0.0)
    with pytest.raises(LossError, match=r"20.0% of the frames could not be decoded and --max-loss allows 5.0%"):
        type(outcome)(outcome.manifest, 0.2, []).raise_for_loss(0.05)


def test_inspect_prints_one_object(built, tmp_path, capsys):
    main(["inspect", str(built[0]), "--json", "--sheet", str(tmp_path / "sheet.png")])
    facts = json.loads(capsys.readouterr().out)
    assert {"tracklets", "identities", "cameras", "crops", "by_identity"} <= facts.keys()
    assert facts["identities"] == len(facts["by_identity"]) == 6
    assert facts["sheets"] == [str(tmp_path / "sheet.png")]
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["inspect", "SET"], 0, ""),
        (["check", "SET"], 0, ""),
        (["inspect", "nowhere"], 2, "There is no folder 'nowhere'"),
        (["inspect", "SET", "--sheet", "sheet.gif"], 2, "end it with .jpg or .png"),
        (["check", "DAMAGED"], 1, "has 1 problem"),
        (["build-dataset", "EMPTY", "-o", "OUT"], 2, "No videos in"),
        (["build-dataset", "RAW", "-o", "OUT", "--detector", "nothing"], 2, "Unknown detector 'nothing'"),
        (["build-dataset", "RAW", "-o", "OUT", "--split", "half"], 2, "'half' is not one of"),
        (["build-dataset", "RAW", "-o", "OUT", "--tracker", "sort"], 2, "'sort' is not one of"),
        (["build-dataset", "RAW", "-o", "OUT", "--protocol", "mars"], 2, "'mars' is not one of"),
        (["build-dataset", "RAW", "-o", "OUT", "--workers", "0"], 2, "0 is not in the range"),
        (["build-dataset", "RAW", "-o", "OUT", "--max-loss", "2"], 2, "--max-loss 2"),
    ],
)
def test_commands_and_their_exit_codes(raw, built, tmp_path, capsys, arguments, code, sentence):
    damaged, empty = tmp_path / "damaged", tmp_path / "empty"
    if "DAMAGED" in arguments:
        shutil.copytree(built[0], damaged)
        recount(damaged)
    empty.mkdir()
    names = {"SET": built[0], "DAMAGED": damaged, "EMPTY": empty, "RAW": raw, "OUT": tmp_path / "out"}
    ended = 0
    try:
        main([str(names.get(word, word)) for word in arguments])
    except SystemExit as stop:
        ended = stop.code
    assert ended == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # what is refused leaves nothing behind
