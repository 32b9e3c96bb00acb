"""Consent and licence: what holds for whom, after a review as well."""

import json

import pytest
from decided import decide

from reidkit.datasets.decisions import Draft
from reidkit.datasets.errors import UsageError
from reidkit.datasets.manifest import read_manifest
from reidkit.datasets.own import reviewed_tables, standings
from reidkit.datasets.rights import Rights, Standing, counted, read_rights


@pytest.fixture
def folder(write_own, own_rows, tmp_path):
    """In conftest's rows `final` shows 3 (a, b) and 8 (c), `heat` 5 (d, e) and 6 (f, g)."""
    rights = {"consent": {"final": "given", "heat/5": "refused"}, "licence": {"final": "CC0-1.0"}}
    manifest = {"format": 1, "name": "small", "protocol": "video-reid", "rights": rights}
    return write_own(tmp_path / "small", rows=own_rows, manifest=manifest)


def of(folder):
    rights, found = standings(folder, read_manifest(folder), reviewed_tables(folder)[0])
    return rights, {key: (one.consent, one.licence) for key, one in found.items()}


def test_an_identity_goes_before_its_event(folder):
    rights, found = of(folder)
    assert found == {
        ("final", 3): ("given", "CC0-1.0"),
        ("final", 8): ("given", "CC0-1.0"),
        ("heat", 5): ("refused", ""),
        ("heat", 6): ("unknown", ""),
    }
    assert rights.of_nobody("heat", {("heat", 5): Standing("refused")}) == Standing("refused", "")
    assert rights.of_nobody("final", {("final", 3): Standing("given")}) == Standing("given", "CC0-1.0")
    assert counted(Standing(*one) for one in found.values()) == {
        "consent": {"given": 2, "unknown": 1, "refused": 1},
        "licence": {"CC0-1.0": 2, "not said": 2},
    }


def test_the_folders_own_file_goes_before_the_build(folder):
    (folder / "rights.toml").write_text('[consent]\n"heat/5" = "given"\n"final/8" = "refused"\n')
    _, found = of(folder)
    assert found["heat", 5] == ("given", "")
    assert found["final", 8] == ("refused", "CC0-1.0")
    assert found["final", 3] == ("given", "CC0-1.0")


def test_where_a_review_joins_two_the_stricter_consent_holds(folder):
    (folder / "rights.toml").write_text(
        '[licence]\n"heat/5" = "MIT"\n"heat/6" = "CC0-1.0"\n[consent]\n"heat/6" = "given"'
    )
    decide(folder, Draft("merge", ("d", "f")))
    assert of(folder)[1]["heat", 5] == ("refused", "MIT and CC0-1.0")


def test_a_number_that_a_split_made_decides_alone_where_it_is_spoken_of(folder):
    decide(folder, Draft("split", ("d",)), Draft("split", ("b",), frame=2))  # 8 + 1, 8 + 2
    _, found = of(folder)
    assert found["heat", 9] == ("refused", "")  # was proposed under 5
    assert found["final", 10] == ("given", "CC0-1.0")  # a part of b
    (folder / "rights.toml").write_text('[consent]\n"heat/9" = "given"\n')
    assert of(folder)[1]["heat", 9] == ("given", "")
    assert of(folder)[1]["heat", 5] == ("refused", "")


@pytest.mark.parametrize("key", ["heat/7", "heat/3", "heat/x", "finall", "heat/"])
def test_a_key_of_nobody_is_refused(folder, key):
    (folder / "rights.toml").write_text(f'[consent]\n"{key}" = "refused"\n')
    with pytest.raises(UsageError, match=f"'{key}'.*is of nobody here"):
        of(folder)


@pytest.mark.parametrize("text", ["[consent\n", "[consent]\nheat = 'maybe'", "[licence]\nheat = ''", "consent = 3"])
def test_a_damaged_file_is_refused(folder, text):
    (folder / "rights.toml").write_text(text)
    with pytest.raises(UsageError, match=r"rights\.toml' can't be used"):
        read_rights(folder, Rights())


def test_a_manifest_with_another_word_is_refused(folder):
    facts = json.loads((folder / "dataset.json").read_text())
    facts["rights"]["consent"]["heat"] = "yes"
    (folder / "dataset.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="rights"):
        read_manifest(folder)
