"""`reidkit caption`."""

import json
import signal
import subprocess
import sys

import pytest
from caption_server import SILENT, reply, serving, write_people
from click.testing import CliRunner

from reidkit.cli.caption import caption
from reidkit.datasets import LossError, UsageError
from reidkit.datasets.captions import read_captions
from reidkit.toolkit.captioning.zero_shot import SIMULATED_VOCABULARY, read_vocabulary


@pytest.fixture
def folder(tmp_path):
    return write_people(tmp_path / "set")


@pytest.fixture
def serve():
    with serving() as start:
        yield start


def test_template_through_the_command(folder):
    (folder / "attributes.csv").write_text("identity,shoes\n1,red\n2,blue\n")
    result = CliRunner().invoke(caption, [str(folder), "--json"])
    assert json.loads(result.stdout)["written"] == 4
    assert isinstance(result.exception, LossError)  # identity 3 has no row
    assert "2 of 6" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--captioner", "endpoint"], "needs --url"),
        (["--captioner", "endpoint", "--url", "ftp://x", "--model", "m"], "no http"),
        (["--captioner", "endpoint", "--url", "http://x:port/v1", "--model", "m"], "no http"),
        (["--captioner", "endpoint", "--url", "http:///v1", "--model", "m"], "no http"),
        (["--captioner", "transformers", "--model", "absent/model"], "Cannot load the model 'absent/model'"),
        (
            ["--captioner", "endpoint", "--url", "http://x/v1", "--model", "m", "--prompt", "absent.txt"],
            "absent.txt' can't be read",
        ),
    ],
)
def test_bad_arguments(folder, arguments, message):
    result = CliRunner().invoke(caption, [str(folder), *arguments])
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_an_unknown_captioner_is_refused(folder):
    result = CliRunner().invoke(caption, [str(folder), "--captioner", "phi"])
    assert result.exit_code == 2
    assert "'phi' is not one of 'template', 'attributes'" in result.output


def test_attributes_by_the_shipped_tiny_clip(folder):
    arguments = [str(folder), "--captioner", "attributes", "--weights", "simulated", "--device", "cpu", "--json"]
    result = CliRunner().invoke(caption, arguments)
    assert json.loads(result.stdout)["written"] == len(read_captions(folder)) > 0
    _, questions = read_vocabulary(SIMULATED_VOCABULARY)
    phrases = {phrase for question in questions.values() for phrase in question.phrases}
    for written in read_captions(folder):
        assert written.captioner == "attributes"
        assert set(written.text.removeprefix("a person with ").split(", ")) <= phrases


def test_ctrl_c_stops_a_run_whose_server_is_silent(folder, serve):
    """A real signal to a real process: it ends at once, and what had arrived is kept."""
    server = serve(reply(), reply(), SILENT)
    command = [sys.executable, "-m", "reidkit", "caption", str(folder), "--captioner", "endpoint", "--model", "vlm"]
    process = subprocess.Popen([*command, "--url", server.url], stderr=subprocess.PIPE, text=True)
    try:
        server.wait_for(6)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=15)
    finally:
        process.kill()
    assert (process.returncode, errors.count("Stopped.")) == (130, 1)
    assert "Traceback" not in errors
    assert len(read_captions(folder)) == 2


def test_a_key_is_sent_and_never_shown(folder, serve, monkeypatch):
    monkeypatch.setenv("REIDKIT_API_KEY", "secret-key")
    server = serve((401, b'{"error": "bad key secret-key"}'))
    result = CliRunner().invoke(
        caption, [str(folder), "--captioner", "endpoint", "--url", server.url, "--model", "vlm", "--json"]
    )
    assert server.requests[0][1]["Authorization"] == "Bearer secret-key"
    assert isinstance(result.exception, UsageError)
    assert "refused the key" in str(result.exception)
    assert "secret-key" not in str(result.exception) + result.output


def test_topics_left_out_through_the_command(folder):
    (folder / "attributes.csv").write_text("identity,shoes,hair\n1,red,long\n2,blue,short\n3,green,curly\n")
    result = CliRunner().invoke(caption, [str(folder), "--without", "hair", "--json"])
    assert json.loads(result.stdout)["withheld"] == 6
    assert not any("hair" in c.text for c in read_captions(folder))
    result = CliRunner().invoke(caption, [str(folder), "--without", "hat"])
    assert isinstance(result.exception, UsageError)
    assert "hair" in str(result.exception)
