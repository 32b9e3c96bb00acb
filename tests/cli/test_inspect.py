"""`reidkit inspect` and `reidkit check`, and what `reidkit build-dataset` refuses."""

import json
import shutil

import polars as pl
import pytest
from coloured import load_colour_detector, load_colour_embedder, write_footage
from command_line import call
from made_up import write_own

from reidkit.datasets.format import IDENTITIES
from reidkit.toolkit.build import BuildSettings, build

HOSTILE = ["[/oops]", "[left]", "\x1b[31mred", "first\nsecond", "plain"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_footage(tmp_path_factory.mktemp("footage") / "raw")


@pytest.fixture(scope="module")
def built(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "set"
    build(raw, out, BuildSettings(), load_colour_detector, load_colour_embedder)
    return out


def test_inspect_prints_one_object(built, tmp_path, capsys):
    code, text, _ = call(capsys, "inspect", built, "--json", "--sheet", tmp_path / "sheet.png")
    facts = json.loads(text)
    assert code == 0
    assert {"tracklets", "identities", "cameras", "crops", "by_identity"} <= facts.keys()
    assert facts["identities"] == len(facts["by_identity"]) == 6
    assert facts["sheets"] == [str(tmp_path / "sheet.png")]
    assert (tmp_path / "sheet.png").is_file()


def test_inspect_prints_the_scores_of_the_final_identities(built, capsys):
    _, text, _ = call(capsys, "inspect", built)
    scores = json.loads((built / "dataset.json").read_text())["scores"]
    for line in (
        f"final identities: mIDF1 {scores['midf1']:.3f}, IDF1 {scores['idf1']:.3f}, HOTA {scores['hota']:.3f}",
        f"people kept: recall {scores['people_kept']:.3f}",
        f"raw tracklets: raw IDF1 {scores['raw_idf1']:.3f}",
        "identities: 6 found, 6 true",
        "final identities by camera",
    ):
        assert line in text


def test_inspect_names_the_identities_to_look_at_first(built, tmp_path, capsys):
    shutil.copytree(built, tmp_path / "unsure")
    path = tmp_path / "unsure" / IDENTITIES
    unsure = pl.col("identity") == 3
    rows = pl.read_parquet(path).with_columns(
        pure=pl.when(unsure).then(0.61).otherwise(0.99), whole=pl.when(unsure).then(0.52).otherwise(0.99)
    )
    rows.write_parquet(path)
    _, text, _ = call(capsys, "inspect", tmp_path / "unsure")
    table = text.partition("least sure identities")[2]
    assert "0.61" in table
    assert "0.52" in table
    assert "0.99" not in table
    rows.with_columns(pure=pl.lit(0.99), whole=pl.lit(0.99)).write_parquet(path)
    assert "least sure" not in call(capsys, "inspect", tmp_path / "unsure")[1]


def test_inspect_writes_the_card_and_the_metadata(built, tmp_path, capsys):
    files = tmp_path / "card.html", tmp_path / "croissant.json"
    code, out, err = call(capsys, "inspect", built, "--html", files[0], "--croissant", files[1])
    assert code == 0, err
    assert f"Card: {files[0]}" in out
    assert "Not answered in datasheet.toml: consent." in out
    assert files[0].read_text().startswith("<!doctype html>")
    assert json.loads(files[1].read_text())["@type"] == "sc:Dataset"


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
        (
            ["build-dataset", "RAW", "-o", "OUT", "--max-loss", "2"],
            2,
            "'max_loss', which takes a number from 0 to 1",
        ),
        (["build-dataset", "RAW", "-o", "OUT", "--seed", "-1"], 2, "setting 'seed', which takes a whole number from 0"),
        (["build-dataset", "RAW", "-o", "OUT", "--name", "../x"], 2, "can't be the name of a dataset"),
        (["build-dataset", "RAW/gala", "-o", "OUT", "--split", "event"], 2, "one event only"),
    ],
)
def test_commands_and_their_exit_codes(raw, built, tmp_path, capsys, arguments, code, sentence):
    damaged, empty = tmp_path / "damaged", tmp_path / "empty"
    if "DAMAGED" in arguments:
        shutil.copytree(built, damaged)
        manifest = json.loads((damaged / "dataset.json").read_text())
        manifest["counts"]["identities"] += 1
        (damaged / "dataset.json").write_text(json.dumps(manifest))
    empty.mkdir()
    names = {
        "SET": built, "DAMAGED": damaged, "EMPTY": empty, "RAW": raw, "RAW/gala": raw / "gala", "OUT": tmp_path / "out"
    }  # fmt: skip
    ended, _, err = call(capsys, *[names.get(word, word) for word in arguments])
    assert ended == code
    assert sentence in err
    assert not (tmp_path / "out").exists()  # what is refused leaves nothing behind


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_cameras_and_names_are_text(tmp_path, capsys, text):
    folder = write_own(tmp_path, "mine")
    path = folder / "tracklets.parquet"
    table = pl.read_parquet(path)
    table.with_columns(camera=pl.col("camera") + text).write_parquet(path)
    manifest = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(manifest | {"notes": [f"note {text}"]}))
    code, out, err = call(capsys, "inspect", folder)
    assert code == 0, err
    assert all(c.isprintable() or c == "\n" for c in out + err)
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    assert f"cam0{shown}" in out
    assert f"note {shown}" in out
