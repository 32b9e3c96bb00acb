"""`reidkit inspect` and `reidkit check`: what they print is text, whatever a dataset is called."""

import json

import polars as pl
import pytest
from command_line import call
from made_up import write_own

HOSTILE = ["[/oops]", "[left]", "\x1b[31mred", "first\nsecond", "plain"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_cameras_and_names_are_text(tmp_path, capsys, text):
    folder = write_own(tmp_path, "mine")
    path = folder / "tracklets.parquet"
    table = pl.read_parquet(path)
    table.with_columns(camera=pl.col("camera") + text).write_parquet(path)
    manifest = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(manifest | {"notes": [f"note {text}"]}))
    code, out, err = call(capsys, "inspect", folder)
    assert code == 0, err
    assert all(c.isprintable() or c == "\n" for c in out + err)
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    assert f"cam0{shown}" in out
    assert f"note {shown}" in out
