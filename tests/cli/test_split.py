"""`reidkit split`: what a refusal advises can be done as it says."""

import json

from command_line import call

ROWS = [(f"{k}{camera}", k, "person", camera, "final", "gallery") for k in range(1, 5) for camera in ("north", "east")]


def test_the_advice_of_a_refusal_works_as_it_stands(write_own, tmp_path, capsys):
    root = write_own(tmp_path / "set", rows=ROWS)
    code, _, err = call(capsys, "split", root, "--folds", 2)
    assert code == 2
    assert "There is 1 event, which can't make 2 folds." in err
    assert "use --split identity" in err
    code, out, err = call(capsys, "split", root, "--folds", 2, "--split", "identity", "--json")
    assert code == 0, err
    divided = json.loads(out)["split"]
    assert (divided["by"], divided["folds"]) == ("identity", 2)
    _, again, _ = call(capsys, "split", root, "--folds", 2, "--by", "identity", "--json")
    assert json.loads(again)["split"] == divided
