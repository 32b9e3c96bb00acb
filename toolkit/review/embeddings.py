"""The embeddings of a reviewed dataset's crops: those that the build left under `.work`, or made anew.

    found = embeddings_of(material)         # None, and a sentence is said, where there are none to be had
    found.of(origin, piece)                 # [D], L2-normalised

Linking and questions share them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from ...datasets.errors import ReidkitError, UsageError
from ...datasets.format import MANIFEST
from ...datasets.progress import say
from ...datasets.replay import Piece
from ...datasets.schema import read_json
from ..embed import CropEmbeddings, embed_source, load_embedder, read_cache, tracklet_embedding
from ..folder import WORK
from ..looks import Looks
from ..work import work_key
from .material import Material, Origin

KEYS = ("shard", "offset", "frame")  # of a crop, in the build's work and in the dataset
ENOUGH = 0.9  # share of the tracklets; where fewer have an embedding, all are made anew


class _Embedder(msgspec.Struct):
    """What a build says of its embedder."""

    name: str
    sha256: str


class _Settings(msgspec.Struct):
    embedder: _Embedder | None = None


class _Built(msgspec.Struct):
    settings: _Settings = msgspec.field(default_factory=_Settings)


@dataclass(frozen=True)
class Embeddings:
    """Of each tracklet as it was built, those of its crops that are embedded.

    Attributes:
        places: tracklet -> [n] places of its crops, rising. rows: tracklet -> [n] rows of `features` and `quality`.
    """

    places: Mapping[str, np.ndarray]
    rows: Mapping[str, np.ndarray]
    features: np.ndarray
    quality: np.ndarray

    def of(self, origin: Origin, piece: Piece) -> np.ndarray | None:
        """[D], L2-normalised; None where no crop of the tracklet is embedded."""
        places = self.places.get(origin.id)
        if places is None:
            return None
        rows, crops = self.rows[origin.id], origin.rows(piece)
        inside = (places >= crops.start) & (places < crops.stop)
        if not inside.any():  # no embedded crop fell into this part: the nearest tells most of it
            inside = [int(np.abs(places - (crops.start + crops.stop - 1) / 2).argmin())]
        return tracklet_embedding(self.features[rows[inside]], self.quality[rows[inside]])


def embeddings_of(
    material: Material, without: str = "Nothing is linked anew, only what you decide counts"
) -> Embeddings | None:
    """Those that the build left; where they are gone, new ones by the embedder that the build named, kept for later.

    None where that embedder isn't on this machine, and a sentence says so.

    Args:
        without: what there is without embeddings, for that sentence.
    """
    kept = _kept(material)
    if kept is not None:
        return kept
    try:
        built = read_json(material.root / MANIFEST, _Built, "").settings.embedder
        if built is None:
            raise UsageError("The dataset doesn't say which embedder it was built with.")
        embedder = load_embedder(built.name)
        if embedder.sha256 != built.sha256:
            raise UsageError(f"The embedder '{built.name}' is another one than that of the build.")
        nothing, cache = Looks.nothing(len(material.frames)), cache_of(material, built.sha256)
        made = embed_source(material.frames, nothing, embedder, material.root, cache, material.manifest.name)
    except ReidkitError as error:
        say(f"{without}: {error}")
        return None
    return _by_tracklet(material, made)


def cache_of(material: Material, embedder: str) -> Path:
    """Where the embeddings that a review made are kept; `embedder` is its sha256."""
    key = work_key(material.manifest.fingerprint or "", embedder, len(material.frames))
    return material.root / WORK / f"review-{key}.npz"


def _kept(material: Material) -> Embeddings | None:
    """Of the build's work: the embedded crops of each source, found again by where their bytes lie."""
    place = material.frames.select(KEYS).with_row_index("place")
    parts = []
    for cache in sorted((material.root / WORK / "embed").glob("*.npz")):
        slug = cache.stem.rpartition("-")[0]
        for folder in sorted((material.root / WORK / slug).glob("crop-*")):
            crops = _crops(folder)
            stored = None if crops is None else read_cache(cache, len(crops))
            if crops is None or stored is None:
                continue
            mine = crops[stored.row].join(place, on=KEYS, how="left", maintain_order="left")
            rows = mine["place"].cast(pl.Int64).fill_null(-1).to_numpy()
            known = rows >= 0
            if known.any():
                parts.append(CropEmbeddings(rows[known], stored.features[known], stored.quality[known]))
                break
    if not parts or len({part.features.shape[1] for part in parts}) > 1:
        return None
    whole = CropEmbeddings(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("row", "features", "quality")))
    found = _by_tracklet(material, whole)
    return found if len(found.rows) >= ENOUGH * len(material.origins) else None


def _crops(folder: Path) -> pl.DataFrame | None:
    """The crops of a source's segments, in order; None where there are none."""
    try:
        tables = [pl.read_parquet(path, columns=list(KEYS)) for path in sorted(folder.glob("*.parquet"))]
    except (OSError, pl.exceptions.PolarsError):
        return None
    return pl.concat(tables) if tables else None


def _by_tracklet(material: Material, crops: CropEmbeddings) -> Embeddings:
    order = np.argsort(crops.row, kind="stable")
    rising = crops.row[order]
    places, rows = {}, {}
    for origin in material.origins.values():
        low, high = np.searchsorted(rising, [origin.row, origin.row + len(origin.frames)])
        if high > low:
            places[origin.id], rows[origin.id] = rising[low:high] - origin.row, order[low:high]
    return Embeddings(places, rows, crops.features, crops.quality)
