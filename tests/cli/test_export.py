"""`reidkit export`: what it prints, and its exit codes."""

import json

from command_line import call
from made_up import write_own

from reidkit.cli.export import FORMATS
from reidkit.toolkit.export import export


def test_the_command_knows_every_format():
    assert list(FORMATS) == list(export.FORMATS)


def test_export(tmp_path, capsys):
    folder = write_own(tmp_path, "mine", cameras=3, frames=2)
    code, out, err = call(capsys, "export", folder, "-o", tmp_path / "mars", "--format", "mars", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["counts"] == {"tracklets": 30, "identities": 10, "crops": 75}
    assert json.loads((tmp_path / "mars" / "export.json").read_text())["counts"] == facts["counts"]
    code, out, err = call(capsys, "export", folder, "-o", tmp_path / "market", "--format", "market")
    assert (code, "10 identities, 30 tracklets, 75 crops" in out) == (0, True), err
    code, _, err = call(capsys, "export", folder, "-o", tmp_path / "mars", "--format", "mars")
    assert (code, "is not empty" in err) == (2, True)
    code, _, err = call(capsys, "export", folder, "-o", tmp_path / "mot", "--format", "mot")
    assert (code, "has no box in frame" in err) == (2, True)


def test_import(tmp_path, capsys):
    folder = write_own(tmp_path, "mine", frames=2)
    (tmp_path / "who.csv").write_text("tracklet,identity\np7c0,junk\np8c0,9\n")
    command = ("import", folder, tmp_path / "who.csv")
    code, out, err = call(capsys, *command, "--dry-run")
    assert (code, "2 tracklets looked at: 1 identity, 1 junk (nothing written)." in out) == (0, True), err
    code, out, err = call(capsys, *command, "--json")
    assert code == 0, err
    assert json.loads(out)["decisions"] == {"identity": 1, "junk": 1}
    assert len((folder / "decisions.jsonl").read_text().splitlines()) == 2
    code, _, err = call(capsys, *command, "--event", "final")
    assert (code, "go together" in err) == (2, True)
