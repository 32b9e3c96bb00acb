"""The card: what it says is the dataset's, nothing in it is markup that came from a file, nothing is fetched."""

import re
import shutil
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from reidkit.datasets.decisions import Draft, open_decisions
from reidkit.datasets.own import tracklet_table
from reidkit.datasets.replay import Piece
from reidkit.toolkit.card import difficulty as module
from reidkit.toolkit.card.difficulty import difficulty
from reidkit.toolkit.card.page import BASE, card_page, histogram
from reidkit.toolkit.review.embeddings import embeddings_of
from reidkit.toolkit.review.material import read_material


class Texts(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def read(page):
    parser = Texts()
    parser.feed(page)
    return parser


@pytest.fixture
def root(built, tmp_path):
    shutil.copytree(built[0], tmp_path / "set")
    return tmp_path / "set"


def test_what_it_says(root):
    (root / "datasheet.toml").write_text('licence = "CC BY-NC 4.0"\n')
    found = read(card_page(root))
    words = " ".join(found.text.split())
    assert re.search(r"\b6 ?identities", words)
    assert "CC BY-NC 4.0" in words
    assert "Not answered yet: consent in datasheet.toml." in words
    assert sum(tag == "svg" for tag, _ in found.tags) == 6
    assert "The build against ground truth" in words


def test_it_fetches_nothing_and_runs_nothing(root):
    found = read(card_page(root))
    assert not [tag for tag, _ in found.tags if tag in ("script", "link", "iframe", "form")]
    assert all(attrs["src"].startswith("data:") for tag, attrs in found.tags if tag == "img")


def test_names_are_text(root):
    table = pl.read_parquet(root / "tracklets.parquet")
    evil = "<script>alert(1)</script>"
    table.with_columns(camera=pl.col("camera") + evil).write_parquet(root / "tracklets.parquet")
    (root / "datasheet.toml").write_text(f"consent = '{evil}'\n")
    found = read(card_page(root))
    assert "script" not in [tag for tag, _ in found.tags]
    assert found.text.count(evil) >= 3


@pytest.mark.parametrize("values", [[3.0], [1, 1, 1], [1, 2, 5, 5], list(range(1000))])
def test_a_histogram_counts_everything_once(values):
    plot = histogram("x", values)
    numbers = [int(words.rpartition(": ")[2]) for *_, words in plot.bars]
    assert sum(numbers) == len(values)
    assert max(height for _, _, height, _ in plot.bars) == BASE
    assert plot.middle == f"{np.median(values):.4g}"


def test_difficulty_review_and_consent(root):
    page = read(card_page(root)).text
    assert "two people" in page  # the build's embeddings are there
    assert "Nobody has decided anything" in page
    assert "Nobody has said who agreed" in page
    table = pl.read_parquet(root / "tracklets.parquet").filter(kind="person")
    event, id_ = table["event"][0], table["id"][0]
    (root / "rights.toml").write_text(f'[consent]\n"{event}" = "given"\n[licence]\n"{event}" = "<b>CC0</b>"\n')
    with open_decisions(root) as log:
        log.append(Draft("junk", (id_,)))
    page = read(card_page(root))
    assert "consent given" in page.text
    assert "<b>CC0</b>" in page.text
    assert "decisions by people" in page.text


def test_no_more_tracklets_are_compared_than_it_says(root, monkeypatch):
    whole = difficulty(root)
    there = tracklet_table(root).filter(kind="person").group_by("event").len()["len"].max()
    monkeypatch.setattr(module, "MOST", there - 1)  # one too many, and every other is left out
    found = difficulty(root)
    assert found is None or found.pairs < whole.pairs


def test_the_card_says_what_it_lacks_without_embeddings(root, capsys):
    shutil.rmtree(root / ".work", ignore_errors=True)
    assert difficulty(root) is None
    said = capsys.readouterr().err
    assert "The card says nothing of difficulty: " in said
    assert "linked" not in said


def test_difficulty_is_that_of_plain_loops(root):
    found = difficulty(root)
    material = read_material(root)
    embeddings = embeddings_of(material)
    rows = [
        (
            r["event"],
            r["camera"],
            r["identity"],
            embeddings.of(material.origins[r["id"]], Piece(r["id"], r["id"], 0, "")),
        )
        for r in tracklet_table(root).filter(kind="person").iter_rows(named=True)
    ]
    wrong = compared = 0
    for event, camera, who, mine in rows:
        others = [row for row in rows if row[0] == event and row[1] != camera]
        for own in (row for row in others if row[2] == who):
            strangers = [row[3] @ mine for row in others if row[2] != who]
            compared += 1
            wrong += sum(value > own[3] @ mine for value in strangers) / len(strangers)
    assert found.confused == pytest.approx(wrong / compared, abs=1e-6)
    assert found.same > found.different
