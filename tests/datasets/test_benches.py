"""Benches by name and by path, their cards, and `reidkit benches`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from reidkit.cli.benches import benches as command
from reidkit.datasets import UsageError, benches
from reidkit.datasets.cards import read_card
from reidkit.leaderboard.protocols import PROTOCOLS


@pytest.fixture
def data(tmp_path, monkeypatch, write_own):
    """A data folder with sports-vreid alone."""
    write_own(tmp_path / "data" / "sports-vreid")
    monkeypatch.setenv("REIDKIT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_names_and_splits():
    names = ["mars", "ilids-vid", "ls-vid", "mevid", "ccvid", "prid-2011", "sports-vreid", "dance-vreid"]
    assert list(benches.BENCHES) == names
    several = {name: benches.bench_splits(name) for name in names if benches.bench_splits(name) != 1}
    assert several == {"ilids-vid": 10, "prid-2011": 10}
    assert benches.bench_splits("ilids-vid-tfclip") == benches.bench_splits("ls-vid-queries") == 1


def test_data_root(monkeypatch):
    monkeypatch.setenv("REIDKIT_DATA", "/elsewhere")
    assert benches.data_root() == Path("/elsewhere")
    monkeypatch.delenv("REIDKIT_DATA")
    assert benches.data_root() == Path("data")


def test_presence_and_loading(data):
    assert [name for name in benches.BENCHES if benches.present(name)] == ["sports-vreid"]
    assert len(benches.load_bench("sports-vreid").train) == 3
    assert benches.present("sports-vreid") == benches.present(str(data / "sports-vreid")) == data / "sports-vreid"
    assert benches.load_bench(str(data / "sports-vreid")).name == "small"
    assert not benches.present("mars", data / "nowhere")


def test_an_unfinished_build_is_absent(data):
    (data / "sports-vreid" / "dataset.json").unlink()
    assert not benches.present("sports-vreid")
    with pytest.raises(UsageError, match="didn't finish"):
        benches.load_bench("sports-vreid")


@pytest.mark.parametrize("folder", ["MARS", "Mars"])
def test_other_spellings_of_a_folder(data, folder):
    (data / folder).mkdir()
    assert benches.present("mars") == data / folder
    with pytest.raises(UsageError, match="no complete MARS"):
        benches.load_bench("mars")


def test_errors_say_what_to_do(data):
    with pytest.raises(UsageError, match=r"Did you mean 'mars'.*path of a dataset"):
        benches.load_bench("marz")
    with pytest.raises(UsageError, match=r"'mars' is not under.*Ask the authors"):
        benches.load_bench("mars")
    with pytest.raises(UsageError, match="There is no folder"):
        benches.load_bench(str(data / "nothing"))
    with pytest.raises(UsageError, match=r"has no split 1; ilids-vid has splits 0 to 9, prid-2011 has splits 0 to 9"):
        benches.load_bench("sports-vreid", split=1)
    with pytest.raises(UsageError, match="has no split 2"):
        benches.load_bench(str(data / "sports-vreid"), split=2)


def test_counts_that_differ_from_the_card_are_said(data, capsys):
    for camera in ("cam1", "cam2"):
        for person in ("person001", "person002"):
            folder = data / "iLIDS-VID" / "sequences" / camera / person
            folder.mkdir(parents=True)
            (folder / "1.png").touch()
    dataset = benches.load_bench("ilids-vid-tfclip")
    assert dataset.protocol == "ilids-vid-tfclip"
    assert [t.id for t in dataset.gallery if t.camera == 0] == [t.id for t in dataset.query]
    assert benches.load_bench("ilids-vid", split=9).protocol == "ilids-vid-seeded"
    assert "train_identities is 1, the card says 150" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*benches.BENCHES])
def test_every_card_is_complete(name):
    card = read_card(name)
    for text in (card.title, card.what, card.source, card.terms, card.layout, card.citation):
        assert text.strip()
    assert benches.how_to_get(name).endswith(".")
    assert "\n" not in benches.how_to_get(name)
    if name in benches.BUILT:
        assert "reidkit build-dataset" in card.recipe
        assert "not public" in card.what
        assert not card.public
    else:
        unsaid = {"query_tracklets"} if name == "mevid" else set()  # its authors don't say how many
        assert {*card.counts, *unsaid} == {"train_identities", "train_tracklets", "query_tracklets", "test_tracklets"}


@pytest.mark.parametrize("name", [*benches.BENCHES])
def test_a_card_names_protocols_that_there_are(name):
    assert set(read_card(name).protocols) <= set(PROTOCOLS)


def test_command(data):
    run = CliRunner().invoke(command, [])
    assert run.exit_code == 0
    words = [line.split() for line in run.output.splitlines()]
    assert {w[0]: w[1] for w in words if w and w[0] in benches.BENCHES} == {
        "mars": "absent",
        "ilids-vid": "absent",
        "ls-vid": "absent",
        "mevid": "absent",
        "ccvid": "absent",
        "prid-2011": "absent",
        "sports-vreid": "present",
        "dance-vreid": "absent",
    }
    whole = json.loads(CliRunner().invoke(command, ["--json"]).stdout)
    assert whole["data"] == str(data)
    assert {name: card["present"] for name, card in whole["benches"].items()}["sports-vreid"] is True
    assert whole["benches"]["mars"]["counts"]["train_tracklets"] == 8298
    card = CliRunner().invoke(command, ["dance-vreid"]).output
    assert "reidkit build-dataset dancetrack/train" in card
    assert isinstance(CliRunner().invoke(command, ["marz"]).exception, UsageError)
