"""Who the people are, from the annotation to the dataset."""

import polars as pl

from reidkit.datasets.attributes import read_attributes
from reidkit.toolkit.attributes import of_identities, write_attributes


def test_attributes_are_read_back_by_the_captioner(tmp_path):
    assert write_attributes(tmp_path, {2: {"shoes": "red, new", "height_m": 1.9}, 1: {"hair": 'a "bun"'}})
    assert read_attributes(tmp_path / "attributes.csv") == {
        1: {"hair": 'a "bun"'},
        2: {"shoes": "red, new", "height_m": "1.9"},
    }
    assert write_attributes(tmp_path, {})  # a later build that knows nobody leaves no stale table
    assert not (tmp_path / "attributes.csv").exists()


def test_a_table_of_the_user_stays(tmp_path):
    (tmp_path / "attributes.csv").write_text("identity,hair\n1,red\n")
    assert not write_attributes(tmp_path, {1: {"hair": "brown"}})
    assert not write_attributes(tmp_path, {})
    assert (tmp_path / "attributes.csv").read_text() == "identity,hair\n1,red\n"


def test_a_table_that_the_user_changed_stays(tmp_path):
    write_attributes(tmp_path, {1: {"hair": "brown"}})
    (tmp_path / "attributes.csv").write_text("identity,hair\n1,light brown\n")
    assert not write_attributes(tmp_path, {1: {"hair": "red"}})
    assert "light brown" in (tmp_path / "attributes.csv").read_text()


def test_an_identity_has_the_attributes_of_whom_most_crops_show():
    rows = [(1, "person", 7, 5), (1, "person", 8, 4), (1, "person", 8, 4), (2, "person", 7, 9), (3, "person", None, 9)]
    rows += [(-1, "junk", 7, 99), (4, "person", 9, 1)]  # nothing is known of 9
    table = pl.DataFrame(rows, schema=["identity", "kind", "truth", "frames"], orient="row")
    known = {"7": {"shirt": "red"}, "8": {"shirt": "blue"}}
    assert of_identities(known, table) == {1: {"shirt": "blue"}, 2: {"shirt": "red"}}
