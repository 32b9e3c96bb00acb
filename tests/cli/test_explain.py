"""`reidkit explain`, from the command line to the picture."""

import json

import numpy as np
import pytest
from PIL import Image

from reidkit.cgclip import model as cgclip
from reidkit.cli import main as cli
from reidkit.datasets import Frames, ReidDataset, Tracklet, benches
from reidkit.datasets.files import write_json
from reidkit.training import run_folder
from reidkit.training.recipe import to_dict
from reidkit.training.trained import CLASSES_MARK, marked_shapes

RECIPE = cgclip.RECIPES["tiny"].changed(height=32, width=16, frames=2, test_frames=3, tokens=4)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    files = []
    for index in range(7):
        files.append(str(tmp_path / f"{index}.png"))
        Image.fromarray(np.full((40, 20, 3), 30 * index, np.uint8)).save(files[-1])
    tracklet = Tracklet("p1-c0", 1, 0, Frames(tuple(files)))
    made_up = ReidDataset("made-up", (tracklet,), (), (), "video-reid", ("a",), tmp_path)
    monkeypatch.setattr(benches, "load_bench", lambda name, data=None, split=0: made_up)
    return made_up


def write_run(folder, name="cgclip", **changes):
    recipe = RECIPE.changed(**changes)
    facts = {"key": "", "model": name, "size": "tiny", "recipe": to_dict(recipe), "classes": 3, "cameras": 2}
    write_json(folder / "run.json", facts | {"dataset": {"name": "made-up", "fingerprint": ""}})
    run_folder.save_checkpoint(folder, cgclip.build(recipe, 3, 2), None, 1)
    return folder


def call(capsys, *arguments):
    """Exit code, stdout, stderr."""
    try:
        cli.main(["explain", *map(str, arguments)])
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    out = capsys.readouterr()
    return code, out.out, out.err


def test_picture_of_a_tracklet(tmp_path, dataset, capsys) -> None:
    run = write_run(tmp_path / "run")
    output = tmp_path / "tokens.png"
    code, out, err = call(capsys, run, "made-up", "--tracklet", "p1-c0", "-o", output, "--device", "cpu", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert len(told["frames"]) == RECIPE.test_frames
    assert np.allclose(np.sum(told["share_of_frames"], axis=1), 1, atol=1e-3)
    assert np.shape(told["share_of_frames"]) == (4, 3)
    assert Image.open(output).size[1] > 4 * 128


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_more_frames_than_the_model_was_trained_with(tmp_path, dataset, capsys, suffix) -> None:
    run = write_run(tmp_path / "run")
    output = tmp_path / f"tokens{suffix}"
    code, _, err = call(capsys, run, "made-up", "--tracklet", "p1-c0", "-o", output, "--frames", 5, "--height", 64)
    assert code == 0, err
    assert "4 tokens over 5 frames" in " ".join(err.split())
    assert Image.open(output).format == {".png": "PNG", ".jpg": "JPEG"}[suffix]


@pytest.mark.parametrize(
    ("name", "changes", "arguments", "message"),
    [
        ("cgclip", {}, ["--tracklet", "p1-c1"], "no tracklet 'p1-c1' among its 1; for example p1-c0"),
        ("cgclip/no-tfe", {"tfe": False}, ["--tracklet", "p1-c0"], "has no TFE"),
        ("resnet50", {}, ["--tracklet", "p1-c0"], "only cgclip has tokens"),
        ("cgclip", {}, ["--tracklet", "p1-c0", "-o", "tokens.bmp"], "End it in .png or .jpg"),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path, dataset, capsys, name, changes, arguments, message) -> None:
    run = write_run(tmp_path / "run", name, **changes)
    code, _, err = call(capsys, run, "made-up", "-o", tmp_path / "tokens.png", *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "tokens.png").exists()


def test_a_folder_that_is_no_run(tmp_path, dataset, capsys) -> None:
    code, _, err = call(capsys, tmp_path, "made-up", "--tracklet", "p1-c0", "-o", tmp_path / "tokens.png")
    assert code == 2
    assert "is no run of reidkit" in err


def test_the_memory_tells_how_many_identities_a_file_was_trained_with() -> None:
    assert marked_shapes(cgclip, RECIPE)["memory"][0] == CLASSES_MARK
