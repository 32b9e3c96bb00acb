"""Parquet with the images inside, a row a crop, as the Hugging Face `datasets` library and its hub read it.

    data/train-00000-of-00002.parquet       columns: image {bytes, path}, then tracklet, identity, kind, camera, event,
    data/test-00000-of-00001.parquet        role, captions, outfit, and the crop's own frame, time, box and qualities

`datasets.load_dataset("parquet", data_dir=OUT)` gives `train` and `test` with decoded images.
"""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from ...datasets.format import FRAME_COLUMNS
from .content import Content, divided, read_crops, record

FILE = 250_000_000  # bytes of JPEG after which a file is closed: one is held in memory at a time
OWN = [name for name in FRAME_COLUMNS if name not in ("tracklet", "shard", "offset", "length")]
_SCHEMA = {
    "image": pl.Struct({"bytes": pl.Binary, "path": pl.String}),
    "tracklet": pl.String,
    "identity": pl.Int64,
    "kind": pl.String,
    "camera": pl.String,
    "event": pl.String,
    "role": pl.String,
    "captions": pl.List(pl.String),
    "outfit": pl.String,
    **{name: FRAME_COLUMNS[name] for name in OWN},
}
# The library's names of types; by these it knows that `image` is a picture.
_TYPES = {pl.String: "string", pl.Int64: "int64", pl.Float32: "float32", pl.Float64: "float64"}


def fault(content: Content) -> str:
    """Nothing: it holds every dataset."""
    return ""


def write(content: Content, out: Path, advance: Callable[[int], None], file_bytes: int = FILE) -> None:
    """Writes the files into the folder `out`; `advance` is told of each tracklet's crops."""
    (out / "data").mkdir()
    for split in ("train", "test"):
        parts = divided((item for item in content.items if item.split == split), file_bytes)
        for number, part in enumerate(parts):
            rows = []
            for item in part:
                facts = record(content, item)
                known = {name: facts[name] for name in _SCHEMA if name in facts}
                for row, data in read_crops(content, item):
                    image = {"bytes": data, "path": f"{item.id}/{row['frame']:06d}.jpg"}
                    rows.append({"image": image, "tracklet": item.id, **known, **{name: row[name] for name in OWN}})
                advance(len(item.rows))
            path = out / "data" / f"{split}-{number:05d}-of-{len(parts):05d}.parquet"
            pl.DataFrame(rows, schema=_SCHEMA).write_parquet(path, compression="uncompressed", metadata=_features())


def _features() -> dict[str, str]:
    features: dict[str, object] = {name: {"dtype": _TYPES.get(t), "_type": "Value"} for name, t in _SCHEMA.items()}
    features["image"] = {"_type": "Image"}
    features["captions"] = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
    return {"huggingface": json.dumps({"info": {"features": features}})}
