"""How sure a linking is: of each tracklet, and of each identity whether it is *pure* and whether it is *whole*.

    sure = judge(grouping, crowd)
    sure.unit       # [n] that the unit shows the person whom most of its identity shows
    sure.pure       # [K] that at least 95 % of the identity's crops show one person
    sure.whole      # [K] that it holds at least 95 % of all crops of that person in the event
    sure.twin       # [K] the identity that is most likely the same person, -1 where none may be

Crops are counted as their tracklets': under the person whom most of a tracklet shows. Each figure is a logistic
regression over the evidence of `evidence.py`, brought to frequencies by isotonic regression (Zadrozny and Elkan 2002).
All were fitted on simulated events, linked with strong and with weakened embedders, by
`benchmarks/train_confidence.py`; how well they hold on others stands in `benchmarks/results/confidence.md`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from ...datasets.schema import read_json
from .evidence import Grouping, identity_evidence, pair_evidence, unit_evidence

ASSET = Path(__file__).resolve().parent.parent / "assets" / "confidence.json"
# Of a unit that linking left undecided: that it belongs to the identity that it fits best.
UNDECIDED_BELONGS = 0.5


@dataclass(frozen=True)
class Term:
    """One piece of evidence: its mean and standard deviation where the model was fitted, and what one such tells."""

    mean: float
    std: Annotated[float, Meta(gt=0)]
    weight: float


@dataclass(frozen=True)
class Model:
    """A probability from evidence.

    Attributes:
        terms: name of the evidence -> its part in the log-odds.
        intercept: of the log-odds.
        knots: (log-odds, share that was right), both rising; between them the share is read off a straight line.
    """

    terms: dict[str, Term]
    intercept: float
    knots: Annotated[tuple[tuple[float, Annotated[float, Meta(ge=0, le=1)]], ...], Meta(min_length=2)]

    def probability(self, table: dict[str, np.ndarray]) -> np.ndarray:
        """[m] from name -> [m]."""
        odds = self.intercept + sum(t.weight * (table[name] - t.mean) / t.std for name, t in self.terms.items())
        at, share = zip(*self.knots, strict=True)
        return np.interp(odds, at, share)


@dataclass(frozen=True)
class Models:
    """unit: it is in the right cluster. pair: two clusters are one person. pure, whole: see above."""

    unit: Model
    pair: Model
    pure: Model
    whole: Model


@cache
def shipped() -> Models:
    """The models that reidkit ships."""
    return read_json(ASSET, Models, "Install reidkit again.")


@dataclass(frozen=True)
class Confidence:
    """How sure a linking is, 0 to 1: unit [n] (0 for those in no cluster), pure [K], whole [K]; twin [K] the cluster
    that is most likely the same person, -1 for none, and same [K] how likely."""

    unit: np.ndarray
    pure: np.ndarray
    whole: np.ndarray
    twin: np.ndarray
    same: np.ndarray


def judge(g: Grouping, crowd: int, models: Models | None = None) -> Confidence:
    """How sure the linking `g` is.

    Args:
        crowd: the most people seen at once in a camera.
    """
    models = models or shipped()
    if not g.count:
        nothing = np.zeros(0)
        return Confidence(np.zeros(len(g.label)), nothing, nothing, np.zeros(0, np.int64), nothing)
    table, target = unit_evidence(g, crowd)
    right = models.unit.probability(table)
    one, other, table = pair_evidence(g)
    same = models.pair.probability(table)
    pure, whole = identity_evidence(g, astray(g, right), target, (one, other, same), crowd)
    twin, likely = np.full(g.count, -1), np.zeros(g.count)
    order = np.lexsort((-same, one))
    first = order[np.unique(one[order], return_index=True)[1]]
    twin[one[first]], likely[one[first]] = other[first], same[first]
    return Confidence(
        np.where(g.label >= 0, right, 0.0),
        models.pure.probability(pure),
        models.whole.probability(whole),
        twin,
        likely,
    )


def astray(g: Grouping, right: np.ndarray) -> np.ndarray:
    """[n] probability that a unit belongs to another cluster than its own, from that of its being right."""
    return np.where(g.label >= 0, 1 - right, UNDECIDED_BELONGS)
