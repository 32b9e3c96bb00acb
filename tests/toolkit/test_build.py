"""The whole build on made-up videos: coloured people on grey, a detector and an embedder that see colour."""

import functools
import hashlib
import os
import shutil
from dataclasses import replace

import polars as pl
import pytest
from coloured import ColourDetector, film, load_colour_detector, load_colour_embedder

from reidkit.datasets import LossError, ReidkitError, UsageError
from reidkit.datasets import files as durable
from reidkit.datasets.locks import exclusive
from reidkit.datasets.own import read_dataset
from reidkit.toolkit.build import SHEET, BuildSettings, build
from reidkit.toolkit.check import find_problems
from reidkit.toolkit.folder import WORK
from reidkit.toolkit.linking import LinkSettings
from reidkit.toolkit.manifest import summary
from reidkit.toolkit.settings import EventSettings, FootageSettings
from reidkit.toolkit.split import SplitSettings

SETTINGS = BuildSettings(footage=FootageSettings(segment_seconds=2.0))
make = functools.partial(build, load_detector=load_colour_detector, load_embedder=load_colour_embedder)


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
    assert min(scores["midf1"], scores["idf1"], scores["hota"], scores["raw_idf1"]) > 0.9
    assert min(scores["people_kept"], scores["people_kept_precision"], scores["seconds_kept"]) > 0.95
    assert all(source["scores"]["idf1"] > 0.9 for source in outcome.manifest["sources"])
    assert scores["tracklet_purity"] == 1.0
    assert scores["link_precision"] == scores["link_recall"] == scores["bcubed_recall"] == 1.0
    assert scores["identities"] == scores["true_identities"] == 6


@pytest.mark.parametrize("tracker", ["looks", "bytetrack"])
def test_every_box_found_is_kept_or_counted_with_the_reason(raw, tmp_path, tracker):
    settings = replace(SETTINGS, footage=replace(SETTINGS.footage, tracker=tracker))
    losses = make(raw, tmp_path / "out", settings).manifest["losses"]
    lost = ("ignored", "second", "weak", "untracked", "short", "cropless", "junk")
    assert losses["boxes_kept"] > 0
    assert losses["boxes"] == losses["boxes_kept"] + sum(losses.get(f"boxes_{reason}", 0) for reason in lost)


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


def test_processes_give_the_same_bytes(raw, built, tmp_path):
    make(raw, tmp_path / "set", SETTINGS, workers=2)
    assert content(tmp_path / "set") == content(built[0])


def test_one_event_makes_a_test_set_and_says_so(raw, tmp_path):
    manifest = make(raw / "gala", tmp_path / "set", SETTINGS).manifest
    assert manifest["split"]["by"] == "test"
    assert manifest["protocol"] == "video-reid"
    assert any("Test set only" in note for note in manifest["notes"])


def test_who_stands_in_two_events_is_told_and_kept_on_one_side(tmp_path):
    for event, people in (("first", (1, 2)), ("second", (2, 3)), ("third", (4, 5))):
        for number, camera in enumerate(("left", "right")):
            film(tmp_path / "raw" / event / f"{camera}.mp4", people, number, truth=False)
    out = tmp_path / "set"
    manifest = make(tmp_path / "raw", out, BuildSettings()).manifest
    assert [set(one["events"]) for one in manifest["same_person"]] == [{"first", "second"}]
    table = pl.read_parquet(out / "tracklets.parquet").filter(kind="person")
    sides = dict(table.group_by("event").agg(pl.col("split").first()).iter_rows())
    assert sides["first"] == sides["second"] != sides["third"]
    assert not any(problem.check == "same person" for problem in find_problems(out))
    # Without the third event there is nothing to divide by.
    shutil.rmtree(tmp_path / "raw" / "third")
    out = tmp_path / "two"
    manifest = make(tmp_path / "raw", out, BuildSettings()).manifest
    a, b = manifest["same_person"][0]["identities"]
    assert any(f"in train and test: {a} and {b}." in note for note in manifest["notes"])
    told = [problem.text for problem in find_problems(out) if problem.check == "same person"]
    assert len(told) == 1
    assert f"Identities {a} ('first') and {b} ('second')" in told[0]
    assert summary(out)["same_person"][0]["identities"] == (a, b)


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
    with (
        exclusive(tmp_path / "set" / WORK / "lock", "held by the test"),
        pytest.raises(UsageError, match="Another build is at work"),
    ):
        make(raw, tmp_path / "set", SETTINGS)


def test_a_log_of_decisions_that_can_not_be_read_is_not_built_over(raw, built, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(built[0], out)
    (out / "decisions.jsonl").write_text('{"do": "merge"}\n')
    with pytest.raises(UsageError, match=r"Line 1 of '.*decisions.jsonl' can't be used"):
        make(raw, out, BuildSettings())
    assert (out / "dataset.json").is_file()
    assert (out / "decisions.jsonl").read_text() == '{"do": "merge"}\n'


def test_nobody_in_the_footage(tmp_path):
    film(tmp_path / "raw" / "empty.mp4", (), 0, truth=False)
    with pytest.raises(ReidkitError, match="Nobody could be followed"):
        make(tmp_path / "raw", tmp_path / "set", SETTINGS)
    assert not (tmp_path / "set" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "../elsewhere"}, "can't be the name of a dataset"),
        ({"name": ".hidden"}, "can't be the name of a dataset"),
        ({"protocol": "mars"}, "'protocol', which takes one of auto, video-reid, single-camera-views"),
        ({"max_loss": -0.1}, "'-0.1' is no value for the build setting 'max_loss'"),
        ({"max_loss": float("nan")}, "'nan' is no value for the build setting 'max_loss'"),
    ],
)
def test_settings_out_of_range(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        BuildSettings(**wrong)


def no_work(threads=None):
    raise AssertionError("a model was loaded for a build that can't be")


@pytest.mark.parametrize(
    ("folder", "out", "options", "sentence"),
    [
        ("gala", "set", {"split": SplitSettings(by="event")}, r"one event only \('gala'\)"),
        (".", ".set", {}, r"'\.set' can't be the name of a dataset"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(raw, tmp_path, folder, out, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        build(raw / folder, tmp_path / out, BuildSettings(**options), no_work, no_work)
    assert not (tmp_path / out).exists()


def test_people_in_one_of_two_events_only(raw, tmp_path):
    shutil.copytree(raw / "gala", tmp_path / "raw" / "gala")
    film(tmp_path / "raw" / "empty" / "left.mp4", (), 0)
    with pytest.raises(UsageError, match=r"one event only \('gala'\)"):
        make(tmp_path / "raw", tmp_path / "set", BuildSettings(split=SplitSettings(by="event")))


@pytest.mark.parametrize("copy", ["match/left.mp4", "gala/middle.mp4"], ids=["two events", "two cameras"])
def test_footage_given_twice_is_refused_by_name(raw, tmp_path, copy):
    shutil.copytree(raw, tmp_path / "raw")
    shutil.copy(raw / "gala" / "left.mp4", tmp_path / "raw" / copy)
    with pytest.raises(UsageError, match=rf"gala/left\.mp4' and '.*{copy}' are the same footage"):
        make(tmp_path / "raw", tmp_path / "set", SETTINGS)
    assert not (tmp_path / "set").exists()


def test_the_key_holds_all_that_decides_the_dataset(raw, built, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    keys = {built[1].manifest["build"]}
    people = tmp_path / "raw" / "truth.json"
    people.write_text(people.read_text().replace("colour 1", "colour one"))
    keys.add(make(tmp_path / "raw", tmp_path / "people", SETTINGS).manifest["build"])
    (tmp_path / "raw" / "reidkit.toml").write_text("single_camera = true")
    views = make(tmp_path / "raw", tmp_path / "views", SETTINGS).manifest
    assert views["protocol"] == "single-camera-views"
    assert len({*keys, views["build"]}) == 3


def test_an_unreadable_file_of_people_is_refused_before_any_work(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    (tmp_path / "raw" / "truth.json").write_text('{"identities": ["Ann", "Bob"]}')
    with pytest.raises(UsageError, match=r"truth\.json' can't be used.*identities.*Mend that file"):
        build(tmp_path / "raw", tmp_path / "set", SETTINGS, no_work, no_work)


def test_an_unreadable_annotation_is_refused_before_any_work(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    (tmp_path / "raw" / "gala" / "truth" / "left.txt").write_text("1,1,0,0,10,20\n1,two,0,0,10,20\n")
    with pytest.raises(UsageError, match="Line 2 of"):
        build(tmp_path / "raw", tmp_path / "set", SETTINGS, no_work, no_work)


def test_attributes_of_the_user_outlive_every_build(raw, tmp_path):
    out, plain = tmp_path / "set", tmp_path / "raw"
    shutil.copytree(raw, plain)
    (plain / "truth.json").unlink()
    make(plain, out, SETTINGS)
    mine = "identity,shirt\n1,green\n"
    (out / "attributes.csv").write_text(mine)
    for settings in (SETTINGS, BuildSettings()):  # the same again, and other settings
        manifest = make(plain, out, settings).manifest
        assert (out / "attributes.csv").read_text() == mine
        assert any("attributes.csv is not of this build" in note for note in manifest["notes"])
        assert "attributes.csv" not in manifest["files"]
    assert (
        make(raw, out, SETTINGS).manifest["files"].keys().isdisjoint({"attributes.csv"})
    )  # also where people are known
    assert (out / "attributes.csv").read_text() == mine


def test_attributes_of_the_build_follow_the_footage(raw, tmp_path):
    out, plain = tmp_path / "set", tmp_path / "raw"
    assert "attributes.csv" in make(raw, out, SETTINGS).manifest["files"]
    (out / ".work" / "written.json").unlink()  # as an older reidkit, or a copy without its work, leaves the dataset
    shutil.copytree(raw, plain)
    people = plain / "truth.json"
    people.write_text(people.read_text().replace("colour 1", "colour one"))
    make(plain, out, SETTINGS)
    assert "colour one" in (out / "attributes.csv").read_text()
    people.unlink()
    assert "attributes.csv" not in make(plain, out, SETTINGS).manifest["files"]
    assert not (out / "attributes.csv").exists()


def test_loss_above_the_allowed(built):
    outcome = built[1]
    assert outcome.lost == 0
    outcome.raise_for_loss(0.0)
    with pytest.raises(LossError, match=r"20.0% of the frames could not be decoded and --max-loss allows 5.0%"):
        type(outcome)(outcome.manifest, 0.2, []).raise_for_loss(0.05)
