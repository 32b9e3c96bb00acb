"""What an export leaves out for people's sake."""

import csv
import json

import pytest
from command_line import call

from reidkit.datasets.errors import UsageError
from reidkit.toolkit.export.content import read_content
from reidkit.toolkit.export.export import export


@pytest.fixture
def asked(small):
    """Conftest's rows: of `final` everybody agreed, of `heat` 5 refused and of 6 nobody knows."""
    text = '[consent]\nfinal = "given"\n"heat/5" = "refused"\n[licence]\nfinal = "CC0-1.0"\n'
    (small / "rights.toml").write_text(text)
    return small


def tracklets_of(folder):
    """Tracklet ids and texts of a WebDataset, by plain reading of the bytes."""
    data = b"".join(path.read_bytes() for path in folder.glob("*.tar"))
    return {name for name in "abcdefghi" if f'"id": "{name}"'.encode() in data}


@pytest.mark.parametrize(
    ("consent", "there", "withheld"),
    [
        ("all", "abcdefghi", {}),
        (
            "not-refused",
            "abcfg",
            {
                "people without consent": 1,
                "tracklets of people without consent": 2,
                "tracklets of nobody that may show them": 2,
            },
        ),
        (
            "given",
            "abc",
            {
                "people without consent": 2,
                "tracklets of people without consent": 4,
                "tracklets of nobody that may show them": 2,
            },
        ),
    ],
)
def test_only_whose_consent_is_there(asked, tmp_path, consent, there, withheld):
    done = export(asked, tmp_path / "out", "webdataset", consent=consent)
    assert tracklets_of(tmp_path / "out") == set(there)
    assert done.withheld == withheld
    assert done.counts["tracklets"] == len(there)
    facts = json.loads((tmp_path / "out" / "export.json").read_text())
    assert facts["withheld"] == withheld
    with open(tmp_path / "out" / "rights.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(r["event"], r["identity"], r["consent"], r["licence"], r["tracklets"]) for r in rows} >= {
        ("final", "3", "given", "CC0-1.0", "2"),
        ("final", "8", "given", "CC0-1.0", "1"),
    }
    assert any(r["consent"] == "refused" for r in rows) == (consent == "all")


def test_nobody_left_is_refused(asked, tmp_path):
    (asked / "rights.toml").write_text('[consent]\nfinal = "refused"\nheat = "refused"\n')
    with pytest.raises(UsageError, match=r"Nobody of .* is left"):
        export(asked, tmp_path / "out", "mars")
    assert not (tmp_path / "out").exists()


def test_without_rights_there_is_no_file_of_them(small, tmp_path):
    assert export(small, tmp_path / "out", "webdataset").withheld == {}
    assert not (tmp_path / "out" / "rights.csv").exists()
    assert not read_content(small).rights


def test_captions_without_a_topic(small, tmp_path, capsys):
    code, out, err = call(
        capsys, "export", small, "-o", tmp_path / "out", "--format", "webdataset", "--without", "build,hair", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["withheld"] == {"phrases of captions": 1}
    data = b"".join(path.read_bytes() for path in (tmp_path / "out").glob("*.tar"))
    assert b"red <shoes> & a hat" in data
    assert b"tall" not in data
    code, _, err = call(capsys, "export", small, "-o", tmp_path / "mars", "--format", "mars", "--without", "hare")
    assert (code, "Did you mean 'hair'" in err) == (2, True)
