"""Exit codes and sentences of the command line itself."""

from pathlib import Path

import click
import pytest
from command_line import call

from reidkit.cli import main as cli


@pytest.fixture
def command(monkeypatch):
    """`command(function)` makes `reidkit doctor` call it."""

    def use(function):
        monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: click.command()(function))

    return use


def test_the_status_of_a_command_is_the_exit_code(command, capsys):
    command(lambda: click.get_current_context().exit(3))
    assert call(capsys, "doctor")[0] == 3
    command(lambda: None)
    assert call(capsys, "doctor")[0] == 0


def test_a_file_that_ends_too_early_is_not_taken_for_ctrl_d(command, capsys):
    def cut():
        raise EOFError("Ran out of input")

    command(cut)
    code, _, err = call(capsys, "doctor")
    assert code == 1
    assert "unexpected EOFError: Ran out of input" in err


def test_a_file_that_cannot_be_used_is_no_bug(command, capsys):
    command(lambda: Path("a" * 300).read_bytes())
    code, _, err = call(capsys, "doctor")
    assert code == 1
    assert "can't be used: File name too long" in err
    assert "a bug" not in err
    assert err.count("\n") == 1


def test_ctrl_c_keeps_what_is_finished(command, capsys):
    def stopped():
        raise KeyboardInterrupt

    command(stopped)
    code, _, err = call(capsys, "doctor")
    assert code == 130
    assert "What was finished is kept" in err


@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"], ["table", "--format", "pdf"], ["score"]])
def test_wrong_usage_is_one_sentence(arguments, capsys):
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("reidkit: ")
    assert err.count("\n") == 1
    assert "--help` shows what is allowed." in err
