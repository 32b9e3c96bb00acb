"""Template captions and the caption file."""

import polars as pl
import pytest
from click.testing import CliRunner

from reidkit.datasets import UsageError
from reidkit.datasets.format import TRACKLET_COLUMNS
from reidkit.toolkit.captioning.command import caption as command
from reidkit.toolkit.captioning.store import Caption, append, open_captions, read_captions
from reidkit.toolkit.captioning.template import caption, captions_for, phrases, read_attributes


@pytest.fixture
def dataset(tmp_path):
    rows = [("a", 1, "person"), ("b", 1, "person"), ("c", 2, "person"), ("d", 3, "person"), ("j", -1, "junk")]
    columns = {"id": [r[0] for r in rows], "identity": [r[1] for r in rows], "kind": [r[2] for r in rows]}
    schema = {name: TRACKLET_COLUMNS[name] for name in columns}
    pl.DataFrame(columns, schema=schema).write_parquet(tmp_path / "tracklets.parquet")
    (tmp_path / "dataset.json").write_text("{}")
    (tmp_path / "attributes.csv").write_text("identity,shoes,hair,number\n1,red,long blond hair,7\n2,blue,,\n")
    return tmp_path


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"shoes": "red"}, ["red shoes"]),
        ({"shoes": "red shoes"}, ["red shoes"]),  # the noun is there already
        ({"kit": "white", "number": "7"}, ["number 7 on the back", "white kit"]),  # telling before kit
        ({"event": "3", "gait": "1.2"}, []),  # nothing a picture shows
    ],
)
def test_phrases(attributes, expected):
    assert phrases(attributes) == expected


def test_captions_of_one_identity_differ_in_wording(dataset):
    table = read_attributes(dataset / "attributes.csv")
    texts = captions_for([("a", 1), ("b", 1), ("d", 3)], table)
    assert set(texts) == {"a", "b"}
    assert texts["a"] != texts["b"]
    assert all("red shoes" in text and "number 7" in text for text in texts.values())
    assert caption(table[1], 0) == texts["a"]


def test_command_writes_once(dataset):
    first = CliRunner().invoke(command, [str(dataset), "--json"])
    assert '"written": 3' in first.output
    assert '"without_attributes": 1' in first.output
    again = CliRunner().invoke(command, [str(dataset), "--json"])
    assert '"written": 0' in again.output
    assert [c.tracklet for c in read_captions(dataset)] == ["a", "b", "c"]


def test_a_cut_last_line_is_dropped_and_the_rest_kept(dataset):
    line = Caption("a", "red shoes", "template", "", "")
    with open_captions(dataset) as file:
        append(file, line)
        file.write(b'{"tracklet": "b", "te')
    assert read_captions(dataset) == [line]
    with open_captions(dataset) as file:
        append(file, Caption("c", "blue shoes", "template", "", ""))
    assert [c.tracklet for c in read_captions(dataset)] == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("person,shoes\n1,red\n", "no integer in a column named identity"),
        ("identity,shoes\nx,red\n", "no integer"),
    ],
)
def test_bad_table(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_attributes(tmp_path / "t.csv")


def test_no_table(tmp_path):
    with pytest.raises(UsageError, match="Cannot read the attribute table"):
        read_attributes(tmp_path / "absent.csv")
