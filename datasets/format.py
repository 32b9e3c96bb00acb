"""Our dataset format, version 1: the names and columns that its writer (`toolkit`) and its reader (`own`) share.

dataset.json       manifest, written last: its presence means complete
tracklets.parquet  one row a tracklet            captions.jsonl    one line a caption
frames.parquet     one row a crop                decisions.jsonl   review decisions, append-only
crops/*.tar        JPEG crops in plain tar       attributes.csv    one row an identity, where attributes are known
"""

import polars as pl

FORMAT_VERSION = 1

MANIFEST = "dataset.json"
TRACKLETS = "tracklets.parquet"
FRAMES = "frames.parquet"
CROPS = "crops"
CAPTIONS = "captions.jsonl"
DECISIONS = "decisions.jsonl"
ATTRIBUTES = "attributes.csv"

TRACKLET_COLUMNS = {
    "id": pl.String,
    "identity": pl.Int64,  # JUNK and DISTRACTOR where kind says so
    "kind": pl.String,  # person | junk | distractor
    "camera": pl.String,
    "event": pl.String,
    "split": pl.String,  # train | test
    "role": pl.String,  # train | query | gallery (a query is in the gallery too; it has the one row)
    "start": pl.Float64,  # seconds from the start of the source
    "end": pl.Float64,
    "frames": pl.Int64,
    "quality": pl.Float32,  # 0..1
    "confidence": pl.Float32,  # 0..1, of the identity that linking gave it
    "truth": pl.Int64,  # the true identity where ground truth is there, otherwise null
}

FRAME_COLUMNS = {
    "tracklet": pl.String,
    "frame": pl.Int64,  # index in the source, from 0
    "time": pl.Float64,  # seconds
    "x1": pl.Float32,  # source pixels
    "y1": pl.Float32,
    "x2": pl.Float32,
    "y2": pl.Float32,
    "confidence": pl.Float32,  # the detector's
    "sharpness": pl.Float32,  # variance of the Laplacian of the crop at 128 pixels height
    "occlusion": pl.Float32,  # share of the box covered by a box that stands nearer (lower edge further down)
    "truncation": pl.Float32,  # share of the box outside the frame
    "shard": pl.String,  # below the dataset's folder
    "offset": pl.Int64,  # of the JPEG's bytes in the shard
    "length": pl.Int64,
}
