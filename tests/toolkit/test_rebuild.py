"""A build over a reviewed one: what people decided holds, under new names and numbers, and what can't is named."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from coloured import ColourEmbedder, film, load_colour_detector, load_colour_embedder
from decided import decide

from reidkit.datasets import UsageError
from reidkit.datasets.decisions import Draft, open_decisions, read_decisions
from reidkit.datasets.manifest import Division, SourceFacts
from reidkit.datasets.own import read_dataset, reviewed_captions, reviewed_tables, tracklet_table
from reidkit.datasets.replay import follow
from reidkit.toolkit import build as building
from reidkit.toolkit.build import BuildSettings, build
from reidkit.toolkit.rebuild import division_before
from reidkit.toolkit.resplit import Wish, split_dataset
from reidkit.toolkit.review.lies import same_footage
from reidkit.toolkit.settings import FootageSettings

SETTINGS = BuildSettings(footage=FootageSettings(segment_seconds=2.0))


class Blind(ColourEmbedder):
    """Sees hardly any difference between two people."""

    name, sha256 = "blind", "2" * 64

    def embed(self, images):
        rows = np.ones((len(images), 12), np.float32) + 0.05 * super().embed(images)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def load_blind(threads=None):
    return Blind()


@pytest.fixture
def out(built, tmp_path):
    shutil.copytree(built[0], tmp_path / "set")
    return tmp_path / "set"


def ids(out, person, camera):
    """The proposed tracklets of a true person in a camera."""
    table = tracklet_table(out).filter(camera=camera, truth=person, kind="person")
    return tuple(table.sort("id")["id"].to_list())


def who(out):
    """(true person, camera) -> its identities, or kinds where it is nobody's, after the review."""
    found = {}
    for truth, camera, identity, kind in reviewed_tables(out)[0].select("truth", "camera", "identity", "kind").rows():
        found.setdefault((truth, camera), set()).add(identity if kind == "person" else kind)
    return found


def rebuild(raw, out, embedder=load_blind, settings=SETTINGS):
    return build(raw, out, settings, load_colour_detector, embedder)


def review(out):
    """Against all looks: 2 is two people, 1 on the left is 3 on the right, 6 is nobody or a passer-by, 5 is Eva."""
    decide(
        out,
        Draft("split", ids(out, 2, "right")),
        Draft("split", ids(out, 1, "left")),
        Draft("merge", (ids(out, 1, "left")[0], ids(out, 3, "right")[0])),
        Draft("junk", ids(out, 6, "left")),
        Draft("distractor", ids(out, 6, "right")),
        Draft("junk", ids(out, 4, "left")),
        Draft("undo", decision=6),
        Draft("identity", ids(out, 5, "left"), identity=77, name="Eva"),
        Draft("identity", ids(out, 5, "right"), identity=77),
        Draft("caption", ids(out, 5, "left")[:1], text="a purple shirt"),
    )


@pytest.mark.parametrize("embedder", [load_blind, load_colour_embedder])
def test_what_people_decided_holds_whatever_the_looks(raw, out, embedder):
    review(out)
    before = who(out)
    settings = SETTINGS if embedder is load_blind else BuildSettings(footage=FootageSettings(segment_seconds=1.5))
    outcome = rebuild(raw, out, embedder, settings)
    after = who(out)
    assert all(len(after[key]) == 1 for key in ((2, "left"), (2, "right"), (1, "left"), (3, "right"), (5, "left")))
    assert not after[2, "left"] & after[2, "right"]
    assert after[1, "left"] == after[3, "right"]
    assert after[6, "left"] == {"junk"}
    assert after[6, "right"] == {"distractor"}
    assert after[4, "left"] <= set(range(100))  # its decision was undone
    assert after[5, "left"] == after[5, "right"] == before[5, "left"] == {77}
    assert [(c.text, c.captioner) for c in reviewed_captions(out)] == [("a purple shirt", "review")]
    log = read_decisions(out)
    assert {(d.by, d.at) for d in log} == {("anna", "2026-11-24T12:00:00Z")}
    review_now, faults = follow(tracklet_table(out), pl.read_parquet(out / "frames.parquet"), log)
    assert faults == []
    assert review_now.names == {77: "Eva"}
    note = next(note for note in outcome.manifest["notes"] if "review decisions" in note)
    assert note.startswith("8 review decisions on the build before hold; '.work/reviewed/decisions.1.jsonl'")
    assert len((out / ".work/reviewed/decisions.1.jsonl").read_text().splitlines()) == 10
    assert not (out / ".work/former").exists()


def test_the_same_command_again_does_nothing_until_somebody_decides(raw, out, capsys):
    review(out)
    rebuild(raw, out)
    files = {path: path.read_bytes() for path in out.glob("[!.]*.*")}
    again = rebuild(raw, out)
    assert "there is nothing to do" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files} == files
    assert again.manifest == json.loads((out / "dataset.json").read_text())
    decide(out, Draft("junk", ids(out, 3, "left")))
    rebuild(raw, out)
    assert who(out)[3, "left"] == {"junk"}
    assert who(out)[1, "left"] == who(out)[3, "right"]


def test_a_kill_loses_no_decision_and_ends_in_the_same_bytes(raw, out, tmp_path, monkeypatch):
    review(out)
    shutil.copytree(out, tmp_path / "other")
    rebuild(raw, tmp_path / "other")

    def killed(*arguments, **more):
        raise KeyboardInterrupt

    for name in ("_link", "write_sheets", "write_manifest", "forget_former"):
        with monkeypatch.context() as patch:
            patch.setattr(building, name, killed)
            with pytest.raises(KeyboardInterrupt):
                rebuild(raw, out)
    rebuild(raw, out)
    for name in ("decisions.jsonl", "tracklets.parquet", "frames.parquet", "identities.parquet"):
        assert (out / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name
    assert read_dataset(out).fingerprint == read_dataset(tmp_path / "other").fingerprint


def test_what_can_not_be_carried_is_named(raw, out, tmp_path):
    gone = ids(out, 4, "left")
    decide(out, Draft("confirm", tuple(sorted((*gone, *ids(out, 4, "right"))))), Draft("junk", ids(out, 2, "left")))
    fewer = tmp_path / "fewer"
    shutil.copytree(raw, fewer)
    shutil.rmtree(fewer / "match")
    outcome = rebuild(fewer, out)
    notes = " ".join(outcome.manifest["notes"])
    assert "1 review decisions on the build before hold" in notes
    assert "1 review decisions could not be carried over in full. Decision 1 (confirm): no tracklet" in notes
    assert who(out)[2, "left"] == {"junk"}


def test_a_confirmed_identity_stays_whole_and_alone(raw, out):
    both = tuple(sorted((*ids(out, 2, "left"), *ids(out, 2, "right"))))
    identity = who(out)[2, "left"]
    decide(out, Draft("confirm", both))
    rebuild(raw, out)
    after = who(out)
    assert after[2, "left"] == after[2, "right"] == identity
    assert sum(identity == some for some in after.values()) == 2
    review_now, _ = follow(tracklet_table(out), pl.read_parquet(out / "frames.parquet"), read_decisions(out))
    assert review_now.confirmed == identity


def test_sides_stay_when_footage_is_added(raw, out, tmp_path):
    def sides(out):
        return dict(tracklet_table(out).select("event", "split").unique().iter_rows())

    before, more = sides(out), tmp_path / "more"
    shutil.copytree(raw, more)
    for name in ("again", "zebra"):
        film(more / name / "left.mp4", (1, 4), 0, seconds=3 if name == "zebra" else 4, truth=False)
    (more / "match").rename(more / "aaa")  # known by its videos
    rebuild(more, out, load_colour_embedder)
    now = sides(out)
    assert now["gala"] == before["gala"]
    assert now["aaa"] == before["match"]
    assert set(now) == {"again", "zebra", "gala", "aaa"}


@pytest.mark.parametrize("decided", [True, False])
def test_a_build_waits_for_the_review(raw, out, decided):
    if decided:
        review(out)
    with open_decisions(out), pytest.raises(UsageError, match="Somebody else is reviewing"):
        rebuild(raw, out)


def test_footage_is_known_by_its_bytes():
    facts = [SourceFacts(event="cup", camera="left", sha256="a" * 64), SourceFacts(event="cup", camera="right")]
    now = {"final/west": "a" * 64, "cup/left": "b" * 64, "cup/right": "c" * 64}
    assert same_footage(facts, now) == {"final/west": ("cup", "left"), "cup/right": ("cup", "right")}


def test_a_division_goes_on_where_nothing_else_is_asked_for(out):
    split_dataset(out, Wish(folds=2, validation=0.2, seed=3))
    again = Wish().settings(division_before(out))
    assert (again.by, again.folds, again.validation, again.seed) == ("auto", 2, 0.2, 3)
    assert Wish(test_share=0.3).settings(division_before(out)).folds is None
    assert division_before(out / "nowhere") == Division()
