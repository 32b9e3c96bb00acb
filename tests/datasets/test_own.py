"""Our own format: what is read, and the one sentence for each way in which a folder can be wrong."""

import json

import numpy as np
import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.format import FRAME_COLUMNS, TRACKLET_COLUMNS
from reidkit.datasets.loader import decode_frames
from reidkit.datasets.own import read_dataset


def rewrite(path, change):
    change(pl.read_parquet(path)).write_parquet(path)


def ids(tracklets):
    return "".join(t.id for t in tracklets)


def test_parts_labels_cameras_and_events(tmp_path, write_own):
    data = read_dataset(write_own(tmp_path / "x"))
    assert (data.name, data.protocol, data.root) == ("small", "video-reid", tmp_path / "x")
    assert (ids(data.train), ids(data.query), ids(data.gallery), ids(data.test)) == ("abc", "df", "defghi", "dfeghi")
    assert data.identities == (3, 8)
    assert data.cameras == ("east", "north", "west")
    assert [t.camera for t in data.gallery] == [2, 0, 0, 1, 0, 2]
    assert data.events == ("final", "heat")
    assert {t.event for t in data.train} == {0}
    assert {t.event for t in data.gallery} == {1}
    assert [(t.kind, t.identity) for t in data.gallery[-2:]] == [("junk", -1), ("distractor", 0)]
    assert (data.train[0].start, data.train[0].end) == (1.0, 2.0)


def test_crops_are_those_of_the_tracklet(tmp_path, write_own, make_jpeg):
    data = read_dataset(write_own(tmp_path / "x"))
    rng = np.random.default_rng(0)
    # the writer makes the crops camera by camera, "b e f h" in the first one
    expected = [make_jpeg(rng) for _ in range(10)][5:]
    tracklet = next(t for t in data.gallery if t.id == "e")
    assert [tracklet.frames.read(i) for i in range(5)] == expected
    assert decode_frames(tracklet.frames, range(5), 40, 20).shape == (5, 3, 40, 20)


def test_frames_are_in_time_order_whatever_the_order_of_rows(tmp_path, write_own):
    root = write_own(tmp_path / "x")
    before = read_dataset(root)
    rewrite(root / "frames.parquet", lambda table: table.reverse())
    after = read_dataset(root)
    assert after.train == before.train
    assert after.fingerprint == before.fingerprint


def test_the_fingerprint_of_a_written_down_dataset(tmp_path):
    """Results carry it: it may change with the files only, never with reidkit."""
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops/a.tar").write_bytes(bytes(60))
    people = [
        ("t1", 1, "person", "left", "match", "train", "train"),
        ("t2", 2, "person", "left", "match", "test", "query"),
    ]
    others = [
        ("t3", 2, "person", "right", "match", "test", "gallery"),
        ("t4", -1, "junk", "left", "match", "test", "gallery"),
    ]
    names = ("id", "identity", "kind", "camera", "event", "split", "role")
    rows = [
        dict.fromkeys(TRACKLET_COLUMNS) | dict(zip(names, row, strict=True)) | {"frames": 3} for row in people + others
    ]
    crops = [
        dict.fromkeys(FRAME_COLUMNS, 0.0)
        | {"tracklet": row["id"], "frame": k, "shard": "crops/a.tar", "offset": 15 * i + 5 * k, "length": 5}
        for i, row in enumerate(rows)
        for k in range(3)
    ]
    pl.DataFrame(rows, schema=TRACKLET_COLUMNS).write_parquet(tmp_path / "tracklets.parquet")
    pl.DataFrame(crops, schema=FRAME_COLUMNS).write_parquet(tmp_path / "frames.parquet")
    (tmp_path / "dataset.json").write_text('{"format": 1, "name": "written", "protocol": "video-reid"}')
    assert read_dataset(tmp_path).fingerprint == "b02e574ca4435ddd0fb67f63f323c89845db06b8f5755461d2aafb840ef9454f"


def test_outfits_where_there_is_a_column_of_them(tmp_path, write_own):
    root = write_own(tmp_path / "x")
    bare = read_dataset(root)
    assert {t.outfit for t in (*bare.train, *bare.gallery)} == {""}
    worn = ["red", "blue", None, "red", "red", "red", "blue", None, None]
    path = root / "tracklets.parquet"
    rewrite(path, lambda table: table.with_columns(outfit=pl.Series(worn)))
    data = read_dataset(root)
    assert [t.outfit for t in (*data.train, *data.gallery)] == [w or "" for w in worn]
    assert data.fingerprint != bare.fingerprint  # they decide figures
    rewrite(path, lambda table: table.with_columns(outfit=pl.lit(None)))
    assert read_dataset(root).fingerprint == bare.fingerprint
    rewrite(path, lambda table: table.with_columns(outfit=pl.lit(7)))
    with pytest.raises(UsageError, match="column outfit holds Int32; it should hold String"):
        read_dataset(root)


def test_captions_belong_to_the_identity_sound_ones_first(tmp_path, write_own):
    root = write_own(tmp_path / "x")
    bare = read_dataset(root)
    lines = [
        {"tracklet": "b", "text": "perhaps tall", "doubts": ["too short"]},
        {"tracklet": "a", "text": "red shoes"},
        {"tracklet": "b", "text": "long hair"},
        {"tracklet": "a", "text": "long hair"},  # said twice, kept once
        {"tracklet": "d", "text": "green socks"},
        {"tracklet": "h", "text": "a blur"},  # junk is nobody
    ]
    made_by = {"captioner": "template", "model": "", "prompt_sha256": ""}
    text = "".join(json.dumps(line | made_by) + "\n" for line in lines)
    (root / "captions.jsonl").write_text(text + '{"tracklet": "a", "te')  # a kill cut the last line
    data = read_dataset(root)
    captions = {t.id: t.captions for t in (*data.train, *data.gallery)}
    assert captions["a"] == captions["b"] == ("red shoes", "long hair", "perhaps tall")
    assert captions["d"] == captions["e"] == ("green socks",)
    assert captions["c"] == captions["h"] == ()
    assert data.fingerprint == bare.fingerprint  # captions don't change what a score is computed on


def test_captions_of_strangers_are_counted_aloud(tmp_path, write_own, capsys):
    root = write_own(tmp_path / "x")
    (root / "captions.jsonl").write_text('{"tracklet": "zz", "text": "nobody"}\n')
    read_dataset(root)
    assert "1 captions" in capsys.readouterr().err


def test_junk_in_training_is_left_out_and_counted(tmp_path, write_own, own_rows):
    rows = (*own_rows, ("j", -1, "junk", "east", "final", "train"))
    data = read_dataset(write_own(tmp_path / "x", rows))
    assert ids(data.train) == "abc"
    assert data.train_left_out == 1


def drop(name):
    return lambda root: (root / name).unlink()


def edit(name, change):
    return lambda root: rewrite(root / name, change)


DAMAGE = {
    # what is wrong: (how, what the sentence names)
    "no manifest: the build was killed": (drop("dataset.json"), r"didn't finish.*same `reidkit build-dataset`"),
    "manifest of a later format": (lambda r: (r / "dataset.json").write_text('{"format": 2}'), "format 2.*format 1"),
    "manifest without a format": (lambda r: (r / "dataset.json").write_text("{}"), "no manifest of ours.*`format`"),
    "manifest that is no JSON": (lambda r: (r / "dataset.json").write_text("{"), "no manifest of ours"),
    "manifest that is a list": (lambda r: (r / "dataset.json").write_text("[]"), "no manifest of ours"),
    "no table of tracklets": (drop("tracklets.parquet"), r"There is no file '.*tracklets\.parquet"),
    "no table of frames": (drop("frames.parquet"), r"There is no file '.*frames\.parquet"),
    "a table of noise": (lambda r: (r / "frames.parquet").write_bytes(b"noise"), r"frames\.parquet.*can't be read"),
    "a column is missing": (edit("frames.parquet", lambda t: t.drop("offset")), "lacks the column offset"),
    "a crop is missing": (edit("frames.parquet", lambda t: t.head(-1)), "has 4 crops .* and 5"),
    "all crops of a tracklet": (edit("frames.parquet", lambda t: t.filter(pl.col("tracklet") != "a")), "'a'.*has 0"),
    "a tracklet twice": (edit("tracklets.parquet", lambda t: pl.concat([t, t.head(1)])), "'a'.*more than once"),
    "an unknown role": (
        edit("tracklets.parquet", lambda t: t.with_columns(role=pl.lit("probe"))),
        "column role holds 'probe'",
    ),
    "an unknown kind": (
        edit("tracklets.parquet", lambda t: t.with_columns(kind=pl.lit("cat"))),
        "column kind holds 'cat'",
    ),
    "junk with a name": (
        edit("tracklets.parquet", lambda t: t.with_columns(identity=pl.lit(4))),
        "'h' of .* has kind junk and identity 4",
    ),
    "a person without": (
        edit("tracklets.parquet", lambda t: t.with_columns(identity=pl.lit(-1))),
        "'a' of .* has kind person and identity -1",
    ),
    "a query in training": (
        edit("tracklets.parquet", lambda t: t.with_columns(split=pl.lit("train"))),
        "'d' of .* has kind person, split train and role query",
    ),
    "a query that is nobody": (
        edit("tracklets.parquet", lambda t: t.with_columns(role=pl.col("role").replace("gallery", "query"))),
        "'h' of .* has kind junk, split test and role query",
    ),
    "a shard is missing": (drop("crops/west.tar"), r"west\.tar' are missing"),
    "a shard was cut": (lambda r: (r / "crops/west.tar").write_bytes(b"12"), r"west\.tar' has 2 bytes"),
    "a shard outside": (
        edit("frames.parquet", lambda t: t.with_columns(shard=pl.lit("../other/a.tar"))),
        "outside the dataset's folder",
    ),
    "captions that are none": (lambda r: (r / "captions.jsonl").write_text("hello\n"), "Line 1 of"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_is_refused_in_words(tmp_path, write_own, what):
    damage, sentence = DAMAGE[what]
    root = write_own(tmp_path / "x")
    damage(root)
    with pytest.raises(UsageError, match=sentence) as error:
        read_dataset(root)
    assert "\n" not in str(error.value)


def test_a_tracklet_over_two_shards_is_refused(tmp_path, write_own):
    root = write_own(tmp_path / "x")
    odd = (pl.col("tracklet") == "a") & (pl.col("frame") == 1)
    rewrite(
        root / "frames.parquet",
        lambda t: t.with_columns(
            shard=pl.when(odd).then(pl.lit("crops/west.tar")).otherwise("shard"), offset=pl.lit(0)
        ),
    )
    with pytest.raises(UsageError, match="lies in 2 shards"):
        read_dataset(root)


def test_no_such_folder(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        read_dataset(tmp_path / "nowhere")
