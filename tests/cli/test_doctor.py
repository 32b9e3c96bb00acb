"""What `reidkit doctor` finds."""

import json

import pytest
from click.testing import CliRunner
from release_page import without_weights

from reidkit.cli import doctor
from reidkit.cli.doctor import doctor as command


def test_everything_missing_has_a_fix(tmp_path, monkeypatch):
    without_weights(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, ["--data", str(tmp_path), "--json"])
    assert result.exit_code == 0
    sections = json.loads(result.stdout)
    assert set(sections) == {"Machine", "Libraries", "Weights", "Datasets"}
    absent = [f for found in sections.values() for f in found if f["state"] == "absent" and f["what"] != "GPU"]
    assert {"mars", "yolo11m.pt", "clip", "resnet50-imagenet1k-v1"} <= {f["what"] for f in absent}
    assert "`reidkit weights get yolo11m.pt`" in {f["fix"] for f in absent}
    assert all(f["fix"] and f["needed_by"] for f in absent)


def test_weights_are_found_and_one_that_is_not_the_release_is_broken(tmp_path, monkeypatch):
    cache = without_weights(monkeypatch, tmp_path)
    cache.mkdir()
    (cache / "yolo26n.pt").touch()  # not of the table
    (cache / "resnet50-0676ba61.pth").write_bytes(b"cut")
    with open(cache / "yolox_nano.onnx", "wb") as file:
        file.truncate(3_659_407)
    found = {f.what: f for f in doctor.weights()}
    assert found["yolox_nano.onnx"].state == "ok"
    assert found["resnet50-imagenet1k-v1"].state == "broken"
    assert "move it away" in found["resnet50-imagenet1k-v1"].fix
    assert "yolox_s.onnx" not in found  # absent, and only by choice
    assert found["tiny CLIP"].state == "ok"


def test_what_is_broken_is_reported_and_fails(monkeypatch):
    def broken():
        raise RuntimeError("no codec")

    monkeypatch.setattr(doctor, "_decoder", broken)
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 1
    machine = {f["what"]: f for f in json.loads(result.stdout)["Machine"]}
    assert machine["H.264 decoding"]["state"] == "broken"
    assert "no codec" in machine["H.264 decoding"]["detail"]


def test_a_bench_is_shown_where_it_was_found(tmp_path):
    (tmp_path / "MARS").mkdir()
    found = {f.what: f for f in doctor.datasets(tmp_path)}
    assert (found["mars"].state, found["mars"].detail) == ("ok", str(tmp_path / "MARS"))


def test_the_reader_of_ls_vid_is_asked_for(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "h5py" else "1.0")
    (line,) = [f for f in doctor.libraries() if f.what == "h5py"]
    assert (line.state, line.fix) == ("absent", "pip install 'reidkit[lsvid]'")


@pytest.mark.parametrize("width", [80, 200])
def test_the_page_names_each_fix(width, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", str(width))
    result = CliRunner().invoke(command, ["--data", str(tmp_path)])
    assert "What is missing, and how to get it" in result.output
    assert "reidkit build-dataset" in result.output
