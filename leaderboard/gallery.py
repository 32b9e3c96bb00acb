"""Who else is this? The gallery of one tracklet, and the nearest in it.

    gallery = open_gallery("demo/sports", "sports02--cam1--00001")
    features = stored_features(Path("features.npz"), gallery)       # of `reidkit embed`, or made on the way
    for match in rank(gallery, features, metric="cosine", top=10):
        match.rank, match.tracklet.id, match.distance, match.verdict

Features are those of `gallery.tracklets`, the query first. `training/use.py: search` does all of it for a model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..datasets import ReidDataset, Tracklet, UsageError
from ..datasets.benches import BENCHES, VARIANTS, load_bench
from ..datasets.errors import choices
from ..datasets.folder import read_folder
from ..datasets.format import MANIFEST
from ..datasets.names import nearest as nearest_names
from ..datasets.text import printable
from .features import read_named_features
from .inputs import METRICS, check_magnitudes
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

    def camera(self, tracklet: Tracklet) -> str:
        """The name of a tracklet's camera, a number where the dataset gives none; "" in a folder of crops."""
        return "" if self.dataset is None else camera_name(self.dataset, tracklet.camera)


@dataclass(frozen=True)
class Match:
    """An entry of the ranking.

    Attributes:
        rank: from 1.
        distance: 1 - cosine, or the Euclidean distance.
        verdict: whether it shows the query's person; "unknown" where the query's identity or the entry's isn't known.
    """

    rank: int
    tracklet: Tracklet
    distance: float
    verdict: Verdict


def open_source(
    source: str, data: Path | None = None, split: int = 0
) -> tuple[ReidDataset | None, tuple[Tracklet, ...]]:
    """The dataset and all its tracklets, the test set first; or None and the tracklets of a folder of crops."""
    if source in BENCHES or source in VARIANTS or (Path(source) / MANIFEST).is_file():
        dataset = load_bench(source, data, split=split)
        return dataset, (*dataset.test, *dataset.train)
    return None, read_folder(source)


def open_gallery(source: str, wanted: str, data: Path | None = None, split: int = 0) -> Gallery:
    """The tracklet `wanted` of a source, and what is ranked for it.

    Args:
        source: a bench's name, or the path of a dataset or of a folder of crops.
        data: where benches lie; None: $REIDKIT_DATA or data/.
        split: of a bench that has several, from 0.

    Raises:
        UsageError: no such source or tracklet, or nothing to rank.
    """
    dataset, tracklets = open_source(source, data, split)
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
        near = printable(", ".join(nearest_names(wanted, known)))
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
    return _same_person(tracklet, query) and tracklet.camera == query.camera


def _same_person(tracklet: Tracklet, query: Tracklet) -> bool:
    return tracklet.kind == query.kind == "person" and tracklet.identity == query.identity


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


def rank(gallery: Gallery, features: np.ndarray, metric: str = "cosine", top: int = 10) -> tuple[Match, ...]:
    """The `top` nearest entries of the gallery; of equal distances the earlier entry comes first.

    Args:
        features: float [1 + N, D], of `gallery.tracklets`.
        metric: "cosine" or "euclidean".

    Raises:
        UsageError: another metric, another number of features, or features of which no distance can be taken.
    """
    if metric not in METRICS:
        raise UsageError(choices(metric, METRICS, "metric"))
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != len(gallery.tracklets) or not features.shape[1]:
        raise UsageError(
            f"features has shape {list(features.shape)}; it must be [{len(gallery.tracklets)}, D], a row for each of "
            "the gallery's tracklets."
        )
    check_magnitudes(features, metric)
    nearest_rows = zip(*nearest(features, metric, top), strict=True)
    return tuple(
        Match(place, gallery.entries[row], distance, _verdict(gallery.entries[row], gallery.query))
        for place, (row, distance) in enumerate(nearest_rows, start=1)
    )


def _verdict(entry: Tracklet, query: Tracklet) -> Verdict:
    if query.kind != "person" or entry.kind == "junk":
        return "unknown"
    return "right" if _same_person(entry, query) else "wrong"


def nearest(features: np.ndarray, metric: str, top: int) -> tuple[list[int], list[float]]:
    """Rows of the `top` nearest to row 0 of `features` [1 + N, D] among the others (from 0), and their distances.

    Ties keep their order. "cosine" is 1 - cos, "euclidean" the plain distance.

    >>> nearest(np.array([[0, 0], [3, 4], [0, 1]]), "euclidean", top=2)
    ([1, 0], [1.0, 5.0])
    """
    rows = np.asarray(features, np.float64)
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        distances = 1 - (rows[1:] * rows[0]).sum(axis=1)  # a matrix product might tell equal rows apart
    else:
        distances = np.linalg.norm(rows[1:] - rows[0], axis=1)
    order = np.argsort(distances, kind="stable")[:top]
    return order.tolist(), distances[order].tolist()


def identity_of(tracklet: Tracklet) -> int | None:
    """A person's identity; None for junk and distractors, who are nobody."""
    return tracklet.identity if tracklet.kind == "person" else None


def camera_name(dataset: ReidDataset | None, camera: int) -> str:
    """The name of a camera by its index; a number from 1 where the dataset is not at hand or gives no name.

    >>> camera_name(None, 0)
    'camera 1'
    """
    names = dataset.cameras if dataset else ()
    return names[camera] if 0 <= camera < len(names) else f"camera {camera + 1}"
