"""Who else is this? The gallery of one tracklet, and the nearest in it.

gallery = open_gallery("demo/sports", "sports02--cam1--00001")
matches = rank(gallery, features, metric="cosine", top=10)      # features: of gallery.tracklets, the query first
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..datasets import ReidDataset, Tracklet, UsageError
from ..datasets.benches import BENCHES, VARIANTS, load_bench
from ..datasets.folder import read_folder
from ..datasets.format import MANIFEST
from ..datasets.names import nearest as nearest_names
from .features import read_named_features
from .protocols import PROTOCOLS

Verdict = Literal["right", "wrong", "unknown"]


@dataclass(frozen=True)
class Gallery:
    """A query and the tracklets that are ranked for it.

    Attributes:
        source: a bench's name, or the path of a dataset or of a folder of crops.
        dataset: None for a folder of crops, where nobody's identity is known.
    """

    source: str
    query: Tracklet
    entries: tuple[Tracklet, ...]
    dataset: ReidDataset | None = None

    @property
    def tracklets(self) -> tuple[Tracklet, ...]:
        """The query and then the entries: what needs a feature."""
        return self.query, *self.entries


@dataclass(frozen=True)
class Match:
    """An entry of the ranking: `rank` from 1, and whether it shows the query's person, where both are known."""

    rank: int
    tracklet: Tracklet
    distance: float
    verdict: Verdict


def open_source(source: str, data: Path | None = None) -> tuple[ReidDataset | None, tuple[Tracklet, ...]]:
    """The dataset and all its tracklets, the test set first; or None and the tracklets of a folder of crops."""
    if source in BENCHES or source in VARIANTS or (Path(source) / MANIFEST).is_file():
        dataset = load_bench(source, data)
        return dataset, (*dataset.test, *dataset.train)
    return None, read_folder(source)


def open_gallery(source: str, wanted: str, data: Path | None = None) -> Gallery:
    """The tracklet `wanted` of a source, and what is ranked for it.

    Args:
        data: where benches lie; None: $REIDKIT_DATA or data/.

    Raises:
        UsageError: no such source or tracklet, or nothing to rank.
    """
    dataset, tracklets = open_source(source, data)
    return choose_gallery(source, tracklets, wanted, dataset)


def choose_gallery(
    source: str, tracklets: tuple[Tracklet, ...], wanted: str, dataset: ReidDataset | None = None
) -> Gallery:
    """The tracklet `wanted` and what is ranked for it: the test set, or the training set for a training tracklet.

    As under the dataset's protocol, junk and tracklets of the query's own identity and camera are left out. Without a
    dataset (a folder of crops) everything but the query is ranked.

    Raises:
        UsageError: no such tracklet (near names are given), or nothing to rank.
    """
    known = {t.id: t for t in tracklets}
    if wanted not in known:
        near = ", ".join(nearest_names(wanted, known))
        raise UsageError(f"'{source}' has no tracklet '{wanted}' among its {len(known)}; for example {near}.")
    query = known[wanted]
    if dataset is None:
        entries = [t for t in tracklets if t.id != wanted]
    else:
        here = dataset.train if query.id in {t.id for t in dataset.train} else _test_gallery(dataset)
        entries = [t for t in here if t.id != wanted and t.kind != "junk" and not _same_view(t, query)]
    if not entries:
        raise UsageError(f"'{source}' has nothing to rank for '{wanted}': every other tracklet is junk or of its view.")
    return Gallery(source, query, tuple(entries), dataset)


def _test_gallery(dataset: ReidDataset) -> tuple[Tracklet, ...]:
    """The test tracklets that the dataset's protocol ranks: the queries are among them, or not."""
    rule = PROTOCOLS.get(dataset.protocol)
    if rule is None or rule.queries_in_gallery:
        return dataset.test
    queries = {t.id for t in dataset.query}
    return tuple(t for t in dataset.test if t.id not in queries)


def _same_view(tracklet: Tracklet, query: Tracklet) -> bool:
    person = tracklet.kind == query.kind == "person"
    return person and tracklet.identity == query.identity and tracklet.camera == query.camera


def stored_features(path: Path, gallery: Gallery) -> np.ndarray:
    """The rows of a file of `reidkit embed` that belong to `gallery.tracklets`, [1 + N, D] in their order.

    Raises:
        UsageError: the file can't be read, or lacks some of them.
    """
    features, ids = read_named_features(path)
    row_of = {str(name): row for row, name in enumerate(ids)}
    lacking = [t.id for t in gallery.tracklets if t.id not in row_of]
    if lacking:
        raise UsageError(
            f"'{path}' lacks {len(lacking)} of the {len(gallery.tracklets)} tracklets of '{gallery.source}' that this "
            f"search ranks, '{lacking[0]}' first. Make it with `reidkit embed` of this SOURCE (--part train for a "
            "training query)."
        )
    return features[[row_of[t.id] for t in gallery.tracklets]]


def rank(gallery: Gallery, features: np.ndarray, metric: str, top: int) -> tuple[Match, ...]:
    """The `top` nearest entries of the gallery.

    Args:
        features: [1 + N, D], of `gallery.tracklets`.
        metric: "cosine" or "euclidean".
    """
    query = gallery.query
    matches = []
    for place, (row, distance) in enumerate(zip(*nearest(features, metric, top), strict=True), start=1):
        entry = gallery.entries[row]
        both = query.kind == "person" and entry.kind != "junk"
        right = entry.kind == "person" and entry.identity == query.identity
        matches.append(Match(place, entry, distance, "unknown" if not both else "right" if right else "wrong"))
    return tuple(matches)


def nearest(features: np.ndarray, metric: str, top: int) -> tuple[list[int], list[float]]:
    """Rows of the `top` nearest to row 0 of `features` [1 + N, D] among the others (from 0), and their distances.

    Ties keep their order. Cosine is 1 - cos, Euclidean the plain distance.
    """
    rows = np.asarray(features, np.float64)
    if metric == "cosine":
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        distances = 1 - (rows[1:] * rows[0]).sum(axis=1)  # a matrix product might tell equal rows apart
    else:
        distances = np.linalg.norm(rows[1:] - rows[0], axis=1)
    order = np.argsort(distances, kind="stable")[:top]
    return order.tolist(), distances[order].tolist()


def identity_of(tracklet: Tracklet) -> int | None:
    """Its identity; None for junk, which is nobody."""
    return None if tracklet.kind == "junk" else tracklet.identity
