"""Where the weights behind a result are from: what they started from, what they were trained on, which epoch they are.

    result.weights[0].sha256, result.weights[0].dataset
    lines = origin_notes({"resnet50": result.weights})      # for the foot of a table

Of a protocol with several splits a result holds one for each.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

SHOWN = 8  # letters of a digest, in tables
MOST_CHECKPOINTS = 3  # named in one line

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Percent = Annotated[float, Meta(ge=0, le=100 + 1e-9)]  # a mean of hundreds may lie a rounding above
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights by its name, without its folder, and its sha256."""

    name: str
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class ChosenEpoch:
    """The epoch that was kept because it was the best on training identities that were held out.

    Attributes:
        epoch: from 1. of: epochs that were trained; the recipe says after which of them the model was judged.
        share: of the training identities that was held out.
        identities: who was held out; no class was trained for them.
        drawn_by: "seed" of the run, or "dataset", whose manifest says who validates.
        metrics: of that epoch on them, in percent.
    """

    epoch: Annotated[int, Meta(ge=1)]
    of: Annotated[int, Meta(ge=1)]
    share: Annotated[float, Meta(gt=0, lt=1)]
    identities: list[int]
    drawn_by: str
    metrics: dict[str, Percent]


@dataclass(frozen=True, slots=True)
class Origin:
    """One file of weights that was tested.

    Attributes:
        sha256: of the file.
        start: the files that training started from; empty where it began from nothing, or nobody knows.
        dataset, fingerprint: what they were trained on; "" where nobody knows, as of files from elsewhere.
        chosen: None where the last epoch was kept, or nobody knows.
        split: of a protocol with several.
    """

    sha256: Sha256
    start: list[WeightsFile] = field(default_factory=list)
    dataset: str = ""
    fingerprint: str = ""
    chosen: ChosenEpoch | None = None
    split: Count = 0


def origin_notes(by_label: Mapping[str, Sequence[Origin]]) -> list[str]:
    """A line a row of a table: what its weights were trained on, from what, and which they are.

    Rows whose results are from before this was recorded have none.
    """
    lines = []
    for label, given in by_label.items():
        origins = list({origin.sha256: origin for origin in given}.values())
        if not origins:
            continue
        words = [_trained_on(origins), _started_from(origins), _checkpoints(origins), _chosen(origins)]
        lines.append(f"{label}: {'; '.join(word for word in words if word)}.")
    return lines


def joint_fingerprint(prints: Sequence[str]) -> str:
    """One dataset's fingerprint as it is; of several splits the sha256 over theirs."""
    return prints[0] if len(prints) == 1 else hashlib.sha256("\n".join(prints).encode()).hexdigest()


def training_set(origin: Origin) -> str:
    """The dataset's name and the start of its fingerprint; "" where nobody knows."""
    return f"{origin.dataset} {origin.fingerprint[:SHOWN]}".strip()


def _trained_on(origins: Sequence[Origin]) -> str:
    names = dict.fromkeys(filter(None, map(training_set, origins)))
    if len(names) > MOST_CHECKPOINTS:
        names = dict.fromkeys(origin.dataset for origin in origins)
    return f"trained on {_and(list(names))}" if names else "trained elsewhere"


def _started_from(origins: Sequence[Origin]) -> str:
    files = {file.sha256: file for origin in origins for file in origin.start}
    return "from " + _and([f"{f.name} {f.sha256[:SHOWN]}" for f in files.values()]) if files else ""


def _checkpoints(origins: Sequence[Origin]) -> str:
    if len(origins) > MOST_CHECKPOINTS:
        return f"{len(origins)} checkpoints"
    return f"checkpoint{'s' * (len(origins) > 1)} {_and([origin.sha256[:SHOWN] for origin in origins])}"


def _chosen(origins: Sequence[Origin]) -> str:
    chosen = [origin.chosen for origin in origins if origin.chosen]
    if not chosen:
        return ""
    epochs = _and([f"{one.epoch} of {one.of}" for one in chosen]) if len(chosen) <= MOST_CHECKPOINTS else "each"
    return f"epoch {epochs} chosen on held-out training identities"


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + "".join(words[-1:])
