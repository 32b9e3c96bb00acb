"""MARS, MEVID and Market: read back as their users read them, identities, cameras, splits and bytes are the same."""

import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.mars import read_mars
from reidkit.datasets.mevid import read_mevid as reader_of_mevid
from reidkit.datasets.own import read_dataset
from reidkit.toolkit.export.export import FORMATS, export


def pid(item) -> int:
    return {"junk": -1, "distractor": 0}.get(item.kind, item.identity)


def expected(content, crops, roles, junk=True):
    """Sorted (person, camera from 0, event, bytes of the crops) of the tracklets of these roles."""
    items = [i for i in content.items if i.role in roles and (junk or i.kind != "junk")]
    return sorted((pid(i), i.camera, i.event, crops[i.id]) for i in items)


def test_mars_by_its_official_tables(small, content, crops, tmp_path):
    done = export(small, tmp_path / "out", "mars")
    assert done.counts == {"tracklets": 9, "identities": 4, "crops": 45}
    assert done.left_out == {"captions": 2}
    data = read_mars(tmp_path / "out")

    def read(tracklets):
        return sorted((t.identity, t.camera, [t.frames.read(i) for i in range(len(t.frames))]) for t in tracklets)

    def wanted(*roles):
        return [(p, c, data) for p, c, _, data in expected(content, crops, roles)]

    assert read(data.train) == sorted(wanted("train"))
    assert read(data.query) == sorted(wanted("query"))
    assert read(data.gallery) == sorted(wanted("query", "gallery"))
    assert {t.kind for t in data.gallery} == {"person", "junk", "distractor"}


def read_mevid(root: Path, split: str):
    """As the authors' tables are documented."""
    names = (root / f"{split}_name.txt").read_text().split()
    table = np.loadtxt(root / f"track_{split}_info.txt", ndmin=2).astype(int)
    out = []
    for first, last, person, outfit, camera in table:
        part = names[first : last + 1]
        assert {name[:16] for name in part} == {f"{person:04d}O{outfit:03d}C{camera:03d}T{part[0][13:16]}"}
        files = [root / f"bbox_{split}" / name[:4] / name for name in part]
        out.append((person, camera - 1, outfit - 1, [path.read_bytes() for path in files]))
    return out


def test_mevid_by_its_tables(small, content, crops, tmp_path):
    done = export(small, tmp_path / "out", "mevid")
    assert done.left_out == {"junk tracklets": 1, "captions": 2}
    train, test = read_mevid(tmp_path / "out", "train"), read_mevid(tmp_path / "out", "test")
    queries = np.loadtxt(tmp_path / "out" / "query_IDX.txt").astype(int)
    assert sorted(train) == expected(content, crops, ("train",))
    assert sorted(test) == expected(content, crops, ("query", "gallery"), junk=False)
    assert sorted(test[i] for i in queries) == expected(content, crops, ("query",))


def test_mevid_is_read_back(small, content, tmp_path):
    done = export(small, tmp_path / "out", "mevid")
    data = reader_of_mevid(tmp_path / "out")
    assert len({*data.train, *data.gallery}) == done.counts["tracklets"]
    assert {t.kind for t in data.gallery} == {"person", "distractor"}
    assert {t.identity for t in data.query} == {i.identity for i in content.items if i.role == "query"}
    assert {t.outfit for t in data.train} == {"1"}  # the first event


def test_outfits_where_they_are_known(small, tmp_path):
    table = pl.read_parquet(small / "tracklets.parquet")
    worn = ["red", "blue", "red", "blue", "red", "red", "green", None, None]  # junk and a distractor have none
    table.with_columns(outfit=pl.Series(worn)).write_parquet(small / "tracklets.parquet")
    export(small, tmp_path / "out", "mevid")
    assert json.loads((tmp_path / "out" / "export.json").read_text())["outfits"] == {
        "1": "blue",
        "2": "green",
        "3": "red",
    }
    mine, data = read_dataset(small), reader_of_mevid(tmp_path / "out")
    number = {"": "0", "blue": "1", "green": "2", "red": "3"}
    for part in ("train", "query"):
        known = [(t.identity, number[t.outfit]) for t in getattr(mine, part)]
        assert sorted(known) == sorted((t.identity, t.outfit) for t in getattr(data, part))
    assert export(small, tmp_path / "mars", "mars").left_out["outfits"] == 3
    export(small, tmp_path / "images", "parquet-images")
    rows = pl.read_parquet(tmp_path / "images" / "data" / "train-*.parquet")
    assert dict(rows.select("tracklet", "outfit").iter_rows()) == {"a": "red", "b": "blue", "c": "red"}
    table.with_columns(outfit=pl.Series([None, *worn[1:]])).write_parquet(small / "tracklets.parquet")
    with pytest.raises(UsageError, match="tracklet 'a' has no outfit where others have one"):
        export(small, tmp_path / "not", "mevid")


MARKET = re.compile(r"([-\d]+)_c(\d)s(\d+)_(\d{6})_\d{2}\.jpg")  # torchreid's `([-\d]+)_c(\d)`, and the rest


def read_market(folder: Path):
    found = defaultdict(list)
    for path in sorted(folder.glob("*.jpg")):
        person, camera, event, _ = map(int, MARKET.fullmatch(path.name).groups())
        found[person, camera - 1, event - 1].append(path.read_bytes())
    return {key: sorted(data) for key, data in found.items()}


def test_market_by_torchreids_layout(small, content, crops, tmp_path):
    export(small, tmp_path / "out", "market")

    def wanted(*roles):
        found = defaultdict(list)
        for person, camera, event, data in expected(content, crops, roles):
            found[person, camera, event] += data
        return {key: sorted(data) for key, data in found.items()}

    assert read_market(tmp_path / "out" / "bounding_box_train") == wanted("train")
    assert read_market(tmp_path / "out" / "bounding_box_test") == wanted("query", "gallery")
    query = read_market(tmp_path / "out" / "query")
    every = wanted("query")
    assert query.keys() == every.keys()
    assert all(len(data) == 1 and data[0] in every[key] for key, data in query.items())
    # frames 25, 28, 31, 34, 37 are covered by 0, 3, 1, 4 and 2 tenths: the first is the best
    assert {path.name.split("_")[2] for path in (tmp_path / "out" / "query").iterdir()} == {"000025"}


def test_a_crop_of_two_people_in_one_frame_has_names_of_its_own(remake, tmp_path):
    rows = [("a", -1, "junk", "north", "final", "gallery"), ("b", -1, "junk", "north", "final", "gallery")]
    export(remake(rows), tmp_path / "out", "market")
    assert len(list((tmp_path / "out" / "bounding_box_test").iterdir())) == 10


def person(number: int, id_: str, camera: str = "north", role: str = "gallery"):
    return (id_, number, "person", camera, "final", role)


TEN = [person(1, f"t{n}", f"cam{n}") for n in range(10)]


@pytest.mark.parametrize(
    ("format_", "rows", "frames", "reason", "nearest"),
    [
        ("mars", TEN, 1, "there are 10 cameras, and a name of MARS holds 9", "mevid"),
        ("market", TEN, 1, "there are 10 cameras, and a name of Market holds 9", "mevid"),
        (
            "mars",
            [person(12345, "a")],
            1,
            "identity 12345 is there, and a name of MARS holds numbers up to 9999",
            "webdataset",
        ),
        (
            "mars",
            [person(0, "a")],
            1,
            "a person has identity 0, which a name of MARS keeps for distractors",
            "webdataset",
        ),
        ("mars", [person(7, "a")], 1001, "tracklet 'a' has 1001 frames, and a name of MARS holds 999", "mevid"),
        ("mevid", [person(7, f"t{n}") for n in range(1000)], 1, "has 1000 tracklets in camera 'north'", "mars"),
    ],
)
def test_what_names_cannot_hold_is_refused(remake, tmp_path, format_, rows, frames, reason, nearest):
    with pytest.raises(UsageError) as error:
        export(remake(rows, frames=frames), tmp_path / "out", format_)
    assert reason in str(error.value)
    assert f"--format {nearest}" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_training_junk_and_a_set_without_training(remake, tmp_path):
    rows = [("j", -1, "junk", "north", "final", "train"), person(4, "a"), person(4, "b", "east", "query")]
    root = remake(rows)
    assert export(root, tmp_path / "mars", "mars").left_out == {"training tracklets of nobody": 1}
    data = read_mars(tmp_path / "mars")
    assert (len(data.train), len(data.query), len(data.gallery)) == (0, 1, 2)


def test_the_same_dataset_makes_the_same_bytes(small, tmp_path):
    for format_ in FORMATS:
        trees = []
        for name in ("one", "two"):
            out = tmp_path / format_ / name
            export(small, out, format_)
            trees.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()})
        assert trees[0] == trees[1]


def test_where_it_may_not_write(small, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for out, sentence in (
        (full, "is not empty ('mine.txt' is in it)"),
        (full / "mine.txt", "is a file"),
        (small / "out", "lies in the dataset"),
        (small, "lies in the dataset"),
    ):
        with pytest.raises(UsageError, match=re.escape(sentence)):
            export(small, out, "mars")
    with pytest.raises(UsageError, match="Unknown format 'marz'"):
        export(small, tmp_path / "out", "marz")
    assert (full / "mine.txt").read_text() == "mine"


def test_it_appears_as_a_whole_or_not_at_all(small, tmp_path, monkeypatch):
    """What stops in the middle leaves nothing behind; an empty folder and the rest of a killed export do no harm."""
    out = tmp_path / "out"
    out.mkdir()
    shard = next((small / "crops").glob("*.tar"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:512] + b"no JPEG" + whole[519:])
    with pytest.raises(UsageError, match="is no whole JPEG"):
        export(small, out, "mars")
    assert list(out.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small"]
    shard.write_bytes(whole)
    left = tmp_path / ".out.export" / "files"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    export(small, out, "mars")
    assert not (out / "half").exists()
    assert (out / "export.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small"]
