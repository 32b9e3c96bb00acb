"""`reidkit export-model` from a run to a file, and what it says."""

import json

import pytest
from small_models import clips, run_of

from reidkit.cli.main import main

pytest.importorskip("onnx")


def run(capsys, *arguments):
    try:
        main(["export-model", *map(str, arguments)])
        code = 0
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def test_on_clips_of_ones_own(capsys, tmp_path):
    folder, out = run_of(tmp_path / "run", "stmn"), tmp_path / "stmn.onnx"
    clips(tmp_path / "clips")
    code, said, errors = run(capsys, "stmn", "--weights", folder, "-o", out, "--clips", tmp_path / "clips")
    assert code == 0, errors
    assert "takes clips [batch, 4, 3, 64, 40], clips of 4 frames alone" in " ".join(said.split())
    assert "Largest difference from PyTorch in features of length 1:" in said
    code, said, _ = run(capsys, "stmn", "--weights", folder, "-o", out, "--clips", tmp_path / "clips", "--json")
    told = json.loads(said)
    assert told["bytes"] == out.stat().st_size
    assert told["says"]["model"] == "stmn"
    assert told["largest"] == max(one["difference"] for one in told["compared"]) < 1e-5


def test_on_simulated_people(capsys, tmp_path):
    folder = run_of(tmp_path / "run", "resnet50")
    code, said, errors = run(capsys, "resnet50", "--weights", folder, "-o", tmp_path / "m.onnx")
    assert code == 0, errors
    assert "clips of any length" in said


def test_wrong_usage(capsys, tmp_path):
    out = tmp_path / "m.onnx"
    code, _, errors = run(capsys, "stmn", "--weights", tmp_path / "nowhere", "-o", out)
    assert (code, "There are no weights at" in errors) == (2, True)
    folder = run_of(tmp_path / "run", "resnet50")
    code, _, errors = run(capsys, "stmn", "--weights", folder, "-o", out)
    assert (code, "is a run of resnet50" in errors) == (2, True)
    code, _, errors = run(capsys, "resnet50", "--weights", folder, "-o", out, "--clips", tmp_path / "nothing")
    assert (code, "There is no folder" in errors) == (2, True)
    assert not out.exists()
