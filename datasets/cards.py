"""Dataset cards: what a bench is, who gives it out and under which terms, its layout, its counts, how to cite it.

Example:

    card = read_card("mars")        # cards/mars.toml
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .tracklet import ReidDataset


@dataclass(frozen=True)
class Card:
    """One `cards/<name>.toml`.

    Attributes:
        get: one sentence, how to come by the data.
        counts: train_identities, train_tracklets, query_tracklets, test_tracklets, as `counts` gives them; those that
            the authors say, and none where they depend on who builds the dataset.
        recipe: shell commands that build it, where it can be built.
        public: whether the data that papers report on can be had.
    """

    name: str
    title: str
    what: str
    source: str
    terms: str
    get: str
    layout: str
    citation: str
    public: bool
    protocols: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    recipe: str = ""


@cache
def read_card(name: str) -> Card:
    """The card of a bench in `benches.BENCHES`.

    >>> read_card("mars").protocols
    ('mars', 'mars-matlab', 'mars-torchreid')
    """
    text = Path(__file__).with_name("cards").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    return Card(name=name, **{**values, "protocols": tuple(values["protocols"])})


def counts(dataset: ReidDataset) -> dict[str, int]:
    """Identities and tracklets of a dataset, under the names that cards use."""
    return {
        "train_identities": len(dataset.identities),
        "train_tracklets": len(dataset.train),
        "query_tracklets": len(dataset.query),
        "test_tracklets": len(dataset.test),
    }


def differences(dataset: ReidDataset, card: Card) -> list[str]:
    """`train_tracklets is 8290, the card says 8298` of each count that differs."""
    here = counts(dataset)
    return [f"{k} is {here[k]}, the card says {v}" for k, v in card.counts.items() if here[k] != v]
