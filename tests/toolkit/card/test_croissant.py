"""The metadata holds what is known, says nothing that isn't, and is valid by its own library, where that is here."""

import json
import shutil

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.format import FRAME_SCHEMA, TRACKLET_OPTIONAL, TRACKLET_SCHEMA
from reidkit.toolkit.card.croissant import CONFORMS, MEANINGS, croissant
from reidkit.toolkit.card.datasheet import QUESTIONS, Datasheet, read_datasheet

SHEET = """
description = "Two rehearsals."
creators = ["Anna B.", "Carla D."]
licence = "https://creativecommons.org/licenses/by-nc/4.0/"
url = "https://example.org/dancers"
published = "2026-11-24"
cite = "@misc{dancers}"
consent = "Written; by mail to the makers."
biases = "One company."
"""


@pytest.fixture
def root(built, tmp_path):
    shutil.copytree(built[0], tmp_path / "set")
    return tmp_path / "set"


def test_what_the_build_knows(root):
    found = croissant(root)
    manifest = json.loads((root / "dataset.json").read_text())
    assert found["conformsTo"] == CONFORMS
    assert found["name"] == manifest["name"]
    objects = {part["@id"]: part for part in found["distribution"]}
    assert {name: objects[name]["sha256"] for name in manifest["files"]} == manifest["files"]
    assert "rai:dataSocialImpact" not in found
    assert "license" not in found
    assert found["rai:machineAnnotationTools"] == ["person detector: colour", "re-identification embedder: hue"]
    columns = {name: [f["name"] for f in r["field"]] for name, r in ((r["@id"], r) for r in found["recordSet"])}
    assert columns == {"tracklets": list(TRACKLET_SCHEMA), "frames": list(FRAME_SCHEMA)}
    assert set(MEANINGS) <= {*TRACKLET_SCHEMA, *TRACKLET_OPTIONAL, *FRAME_SCHEMA}


def test_what_the_makers_said(root):
    (root / "datasheet.toml").write_text(SHEET)
    found = croissant(root)
    assert found["description"] == "Two rehearsals."
    assert found["license"].endswith("by-nc/4.0/")
    assert [one["name"] for one in found["creator"]] == ["Anna B.", "Carla D."]
    assert found["rai:dataBiases"] == ["One company."]
    assert "Consent: Written; by mail to the makers." in found["rai:personalSensitiveInformation"]
    assert set(read_datasheet(root).missing()) == {"purpose", "collection", "impact", "maintenance"}
    assert set(Datasheet().missing()) == set(QUESTIONS)


@pytest.mark.parametrize("text", ["licence = 3", "licence = 'x", "colour = 'red'", "published = 'today'", "url = 'x'"])
def test_a_datasheet_that_cannot_be_read(root, text):
    (root / "datasheet.toml").write_text(text)
    with pytest.raises(UsageError, match="Its keys are description, purpose"):
        croissant(root)


def test_it_is_valid_by_mlcroissant(root):
    mlcroissant = pytest.importorskip("mlcroissant")
    (root / "datasheet.toml").write_text(SHEET)
    (root / "croissant.json").write_text(json.dumps(croissant(root)))
    dataset = mlcroissant.Dataset(str(root / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert (list(issues.errors), list(issues.warnings)) == ([], [])
    assert dataset.metadata.data_biases == ["One company."]
