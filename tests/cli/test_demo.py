"""The demo's steps: in order, each an ordinary command line, and done work is not repeated."""

import click
from click.testing import CliRunner

from reidkit.cli import main as cli
from reidkit.cli.demo import demo, steps


def test_steps_are_commands_that_exist_with_options_that_exist(tmp_path):
    plan = steps(tmp_path, people=8, seconds=6)
    assert [arguments[0] for _, arguments, _ in plan][:2] == ["simulate", "simulate"]
    assert [arguments[0] for _, arguments, _ in plan][-1] == "report"
    for _, arguments, _ in plan:
        command = cli.group.get_command(click.Context(cli.group), arguments[0])
        command.make_context(arguments[0], list(arguments[1:]))  # raises on an unknown option or a bad value


def test_a_stopped_demo_goes_on(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(cli.group, "main", lambda args, **_: ran.append(args[0]))
    plan = steps(tmp_path / "demo", people=12, seconds=12)
    for _, _, done in plan[:3]:  # both simulations and the first dataset are there
        if done is not None:
            done.parent.mkdir(parents=True, exist_ok=True)
            done.touch()
    result = CliRunner().invoke(demo, ["-o", str(tmp_path / "demo")])
    assert result.exit_code == 0, result.output
    assert ran == [arguments[0] for _, arguments, done in plan if done is None or not done.exists()]
    assert "done before" in result.output
