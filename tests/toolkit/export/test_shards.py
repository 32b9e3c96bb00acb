"""WebDataset and Parquet: they hold all of a dataset, and are read back with plain tools."""

import json
import tarfile
from collections import defaultdict

import polars as pl
import pytest

from reidkit.toolkit.export import parquet_images, webdataset
from reidkit.toolkit.export.content import record
from reidkit.toolkit.export.export import export


def read_webdataset(folder):
    """Samples as WebDataset groups them: by what stands before the first dot."""
    samples = defaultdict(dict)
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                samples[path.name[:-11], key][ending] = tar.extractfile(member).read()
    return samples


def test_webdataset(small, content, crops, tmp_path):
    done = export(small, tmp_path / "out", "webdataset")
    assert done.left_out == {}
    samples = read_webdataset(tmp_path / "out")
    assert len(samples) == len(content.items) == done.counts["tracklets"]
    found = {}
    for (split, _), sample in samples.items():
        facts = json.loads(sample.pop("json"))
        assert facts["split"] == split
        assert sorted(sample) == [f"{n:04d}.jpg" for n in range(5)]
        found[facts["id"]] = facts, [sample[name] for name in sorted(sample)]
    for item in content.items:
        facts, images = found[item.id]
        frames = facts.pop("frames")
        assert facts == record(content, item)
        assert images == crops[item.id]
        assert frames == item.rows.drop("tracklet", "shard", "offset", "length").to_dicts()
    assert found["b"][0]["captions"] == ["red <shoes> & a hat"]  # of the identity, whoever's line it is


def test_parquet_images(small, content, crops, tmp_path):
    export(small, tmp_path / "out", "parquet-images")
    files = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert files == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    for split in ("train", "test"):
        table = pl.read_parquet(tmp_path / "out" / "data" / f"{split}-*.parquet")
        items = [item for item in content.items if item.split == split]
        assert table["tracklet"].unique(maintain_order=True).to_list() == [item.id for item in items]
        for item in items:
            part = table.filter(tracklet=item.id)
            assert part["image"].struct.field("bytes").to_list() == crops[item.id]
            facts = record(content, item)
            columns = ["identity", "kind", "camera", "event", "role", "captions"]
            assert part.select(columns).to_dicts() == [{name: facts[name] for name in columns}] * 5
            own = part.select(parquet_images.OWN)
            assert own.equals(item.rows.select(parquet_images.OWN))
    stated = pl.read_parquet_metadata(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")["huggingface"]
    features = json.loads(stated)["info"]["features"]
    assert list(features) == table.columns
    assert features["image"] == {"_type": "Image"}
    assert features["x1"] == {"dtype": "float32", "_type": "Value"}


@pytest.mark.parametrize("module", [webdataset, parquet_images])
def test_large_ones_are_divided(content, tmp_path, module):
    """A tracklet is never parted, and everything is in one of the parts."""
    out = tmp_path / "out"
    out.mkdir()
    module.write(content, out, lambda n: None, 1)
    names = sorted(path.name for path in out.rglob("*.*"))
    assert len(names) == len(content.items) == 9
    assert [name for name in names if name.startswith("train")] == (
        [f"train-{n:06d}.tar" for n in range(3)]
        if module is webdataset
        else [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    )
