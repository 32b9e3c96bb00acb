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
