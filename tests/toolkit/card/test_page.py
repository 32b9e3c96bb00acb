"""The card: what it says is the dataset's, nothing in it is markup that came from a file, nothing is fetched."""

import re
import shutil
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from reidkit.toolkit.card.page import BASE, card_page, histogram


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
