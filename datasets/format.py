"""Our dataset format, version 1: the names and columns that its writer (`toolkit`) and its readers share.

Files:

    dataset.json       manifest, written last: its presence means complete (`manifest.py`)
    tracklets.parquet  one row a tracklet            captions.jsonl    one line a caption (`captions.py`)
    frames.parquet     one row a crop                decisions.jsonl   review decisions, append-only
    crops/*.tar        JPEG crops in plain tar       attributes.csv    one row an identity (`attributes.py`)
    identities.parquet one row an identity: how sure the build is of it (`identities.py`)
    rights.toml        consent and licence (`rights.py`)
    forgotten.jsonl    one line each time that people were taken out: when, how many, why
"""

from collections.abc import Container

import polars as pl

from .schema import Column

FORMAT_VERSION = 1

MANIFEST = "dataset.json"
TRACKLETS = "tracklets.parquet"
FRAMES = "frames.parquet"
CROPS = "crops"
CAPTIONS = "captions.jsonl"
DECISIONS = "decisions.jsonl"
ATTRIBUTES = "attributes.csv"
IDENTITIES = "identities.parquet"
FORGOTTEN = "forgotten.jsonl"
FORGETTING = ".forget"  # there while somebody is being taken out
FORGETTING_PLAN = f"{FORGETTING}/plan.json"  # once it is written, there is no way back

ASIDE = f".{MANIFEST}.aside"  # where the manifest lies while the dataset is being divided again

KINDS = ("person", "junk", "distractor")
SPLITS = ("train", "test")
ROLES = ("train", "query", "gallery")

_PIXELS = Column(pl.Float32)
_SHARE = Column(pl.Float32, low=0, high=1)

TRACKLET_SCHEMA: dict[str, Column] = {
    "id": Column(pl.String),
    "identity": Column(pl.Int64, low=-1),  # 0 or more where kind is person; junk has JUNK, a distractor DISTRACTOR
    "kind": Column(pl.String, one_of=KINDS),
    "camera": Column(pl.String),
    "event": Column(pl.String),
    "split": Column(pl.String, one_of=SPLITS),
    "role": Column(pl.String, one_of=ROLES),  # a query is in the gallery too; it has the one row
    "start": Column(pl.Float64, nullable=True),  # seconds from the start of the source; null where not known
    "end": Column(pl.Float64, nullable=True),
    "frames": Column(pl.Int64, low=1),
    "quality": Column(pl.Float32, nullable=True, low=0, high=1),
    "confidence": Column(pl.Float32, nullable=True, low=0, high=1),  # that it shows its identity's person
    "truth": Column(pl.Int64, nullable=True),  # the true identity, where ground truth is there
}

FOLD = "fold"
# Columns that a table may lack. A writer adds one where it knows something.
TRACKLET_OPTIONAL: dict[str, Column] = {
    "outfit": Column(pl.String, nullable=True),  # what the person wears, a name among those of its identity
    # Of a dataset that is divided into folds: whose test set the tracklet is in; null: in every fold's.
    FOLD: Column(pl.Int64, nullable=True, low=0),
}

FRAME_SCHEMA: dict[str, Column] = {
    "tracklet": Column(pl.String),
    "frame": Column(pl.Int64, low=0),  # index in the source, from 0
    "time": Column(pl.Float64),  # seconds
    "x1": _PIXELS,  # of the source
    "y1": _PIXELS,
    "x2": _PIXELS,
    "y2": _PIXELS,
    "confidence": Column(pl.Float32),  # the detector's
    "sharpness": Column(pl.Float32, low=0),  # variance of the Laplacian of the crop at 128 pixels height
    "occlusion": _SHARE,  # of the box, covered by a box that stands nearer (lower edge further down)
    "truncation": _SHARE,  # of the box, outside the frame
    "shard": Column(pl.String),  # below the dataset's folder
    "offset": Column(pl.Int64, low=0, high=1 << 53),  # of the JPEG's bytes in the shard
    "length": Column(pl.Int64, low=1, high=1 << 31),
}

IDENTITY_SCHEMA: dict[str, Column] = {
    "identity": Column(pl.Int64, low=0),
    "event": Column(pl.String),
    "pure": _SHARE,  # how sure it is that at least 95 % of its crops show one person
    "whole": _SHARE,  # that it holds at least 95 % of that person's crops in the event
    "twin": Column(pl.Int64, nullable=True, low=0),  # the identity of the event that is most likely the same person
    "same": Column(pl.Float32, nullable=True, low=0, high=1),  # how likely
}

# What a writer casts to.
TRACKLET_COLUMNS = {name: column.dtype for name, column in TRACKLET_SCHEMA.items()}
IDENTITY_COLUMNS = {name: column.dtype for name, column in IDENTITY_SCHEMA.items()}
FRAME_COLUMNS = {name: column.dtype for name, column in FRAME_SCHEMA.items()}


def origin_of(id_: str, known: Container[str]) -> str:
    """The tracklet among the `known` ones that a part `<id>~<frame>` comes from; the part itself where none is.

    >>> origin_of("a~120~140", {"a", "a~120"}), origin_of("a~120", {"a"}), origin_of("b", {"a"})
    ('a~120', 'a', 'b')
    """
    while id_ not in known and "~" in id_:
        id_ = id_.rpartition("~")[0]
    return id_
