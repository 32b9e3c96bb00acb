"""`reidkit weights`, `reidkit weights get`, and what becomes of a command that lacks weights."""

import hashlib
import json
from dataclasses import replace

import click
import pytest
from command_line import call
from release_page import File, serving, without_weights

from reidkit.cli import main as cli
from reidkit.training import downloads, weights

BODY = b"weights of a small detector"
PATH = "/github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_s.onnx"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    return without_weights(monkeypatch, tmp_path)


@pytest.fixture
def page(cache, monkeypatch):
    """A server in the place of all hosts; BODY is YOLOX-s."""
    entry = replace(weights.wanted("yolox_s.onnx"), size=len(BODY), sha256=hashlib.sha256(BODY).hexdigest())
    known = weights.table() | {entry.name: entry}
    monkeypatch.setattr(weights, "table", lambda: known)
    with serving({PATH: File(BODY)}) as server:
        monkeypatch.setenv("REIDKIT_WEIGHTS_SOURCE", server.address)
        yield server


def test_the_list_says_what_is_where_and_who_needs_it(cache, capsys):
    code, out, _ = call(capsys, "weights")
    assert code == 0
    block = out[out.index("yolo11m.pt") :].splitlines()[:4]
    assert block[0].split() == [
        "yolo11m.pt",
        "absent",
        "40.7",
        "MB",
        "AGPL-3.0",
        "detector",
        "of",
        "people,",
        "YOLO11m",
    ]
    assert [line.strip() for line in block[1:]] == [
        "needed by build-dataset --detector yolo11m.pt (the default)",
        f"from {weights.RELEASES}yolo11m.pt",
        f"looked for in {cache}",
    ]
    assert "ships" in out


def test_the_list_as_json(cache, capsys):
    cache.mkdir()
    (cache / "yolox_tiny.onnx").write_bytes(b"cut")
    (cache / "resnet50-0676ba61.pth").touch()
    rows = {row["name"]: row for row in json.loads(call(capsys, "weights", "--json")[1])["weights"]}
    assert list(rows) == list(weights.table())
    assert {row["state"] for row in rows.values()} == {"absent", "ships", "other"}
    assert rows["yolox_tiny.onnx"]["path"] == str(cache / "yolox_tiny.onnx")
    assert rows["clip"]["looked_in"] == [str(cache.parent / "home" / ".cache" / "clip"), str(cache.parent / "hub")]
    assert rows["yolo11m.pt"]["get"] == "reidkit weights get yolo11m.pt"
    assert rows["yolo11m.pt"]["bytes"] == 40_684_120
    assert all(row["licence"] and row["source"] and row["needed_by"] for row in rows.values())


def test_get_fetches_once(cache, page, capsys):
    code, out, err = call(capsys, "weights", "get", "yolox_s.onnx", "--json")
    assert code == 0
    assert json.loads(out) == {
        "weights": [{"name": "yolox_s.onnx", "path": str(cache / "yolox_s.onnx"), "fetched": True}]
    }
    assert err == f"yolox_s.onnx (Apache-2.0) fetched: {cache / 'yolox_s.onnx'}\n"
    code, _, err = call(capsys, "weights", "get", "yolox_s.onnx")
    assert (code, err) == (0, f"yolox_s.onnx (Apache-2.0) is here: {cache / 'yolox_s.onnx'}\n")
    assert len(page.asked) == 1


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (File(BODY, cuts=[5, 5, 5]), "broke off after 0.0 MB"),
        (File(BODY[::-1]), "its sha256 is"),
        (File(BODY + b"more"), "gives 31 bytes; 'yolox_s.onnx' has 27"),
        (File(status=404), "answers 404 Not Found"),
        (File(location=PATH), "redirects in circles"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_exit_code_1(cache, page, capsys, file, says):
    page.files[PATH] = file
    code, out, err = call(capsys, "weights", "get", "yolox_s.onnx")
    last = err.splitlines()[-1]
    assert (code, out) == (1, "")
    assert last.startswith("reidkit: ")
    assert says in last
    assert not (cache / "yolox_s.onnx").exists()


def test_unknown_names_are_wrong_usage_and_nothing_is_fetched(cache, page, capsys):
    code, _, err = call(capsys, "weights", "get", "yolox_s.onnx", "yolox_q.onnx")
    assert code == 2
    assert "Unknown weights 'yolox_q.onnx'" in err
    assert page.asked == []


@pytest.fixture
def needy(monkeypatch):
    """`reidkit doctor` becomes a command that needs YOLOX-s; what it was given is collected."""
    given, original = [], cli.LazyGroup.get_command

    def run(*, name):
        given.append(name)
        weights.file_of("yolox_s.onnx", "do without")

    command = click.command()(click.option("--name")(run))
    monkeypatch.setattr(
        cli.LazyGroup, "get_command", lambda self, ctx, name: command if name == "doctor" else original(self, ctx, name)
    )
    return given


def test_a_script_is_told_the_command_and_nothing_is_fetched(cache, page, needy, capsys):
    code, out, err = call(capsys, "doctor", "--name", "x")
    assert (code, out) == (2, "")
    assert err == (
        "reidkit: The weights 'yolox_s.onnx' (0.0 MB, Apache-2.0) are not on this machine. "
        "`reidkit weights get yolox_s.onnx` fetches them; or do without.\n"
    )
    assert page.asked == []


@pytest.fixture
def answers(monkeypatch):
    """Somebody sits at the terminal and answers; `answers.append("y")`."""
    given = []
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: given.pop(0))
    monkeypatch.setattr("reidkit.cli.weights.at_terminal", lambda: True)
    return given


def test_at_a_terminal_yes_fetches_and_runs_the_command_again(cache, page, needy, answers, capsys):
    answers.append("y")
    code, _, err = call(capsys, "doctor", "--name", "x")
    assert code == 0, err
    assert needy == ["x", "x"]
    assert (cache / "yolox_s.onnx").read_bytes() == BODY


def test_at_a_terminal_no_fetches_nothing(cache, page, needy, answers, capsys):
    answers.append("n")
    code, _, err = call(capsys, "doctor", "--name", "x")
    assert code == 2
    assert "`reidkit weights get yolox_s.onnx`" in err
    assert page.asked == []


def test_at_a_terminal_nobody_is_asked_twice(cache, page, needy, answers, capsys, monkeypatch):
    answers.append("y")
    monkeypatch.setattr(weights, "find", lambda entry: None)  # they never turn up
    monkeypatch.setattr("reidkit.cli.weights.fetch", lambda names: [])
    assert call(capsys, "doctor", "--name", "x")[0] == 2
    assert needy == ["x", "x"]
