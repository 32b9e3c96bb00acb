"""Twelve faults and more, each planted in a clean dataset and found by its check, which names the tracklets."""

import io
import json
import shutil

import numpy as np
import polars as pl
import pytest
from PIL import Image

from reidkit.datasets.format import FRAMES, MANIFEST, TRACKLETS
from reidkit.toolkit.check import find_problems


@pytest.fixture
def copy(built, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(built[0], out)
    return out


def rows(out, **where):
    return pl.read_parquet(out / TRACKLETS).filter(**where).sort("id")


def change(out, name, *columns):
    pl.read_parquet(out / name).with_columns(*columns).write_parquet(out / name)


def flip(out):
    shard = next((out / "crops").glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[512:520] = b"no image"
    shard.write_bytes(bytes(data))
    first = pl.read_parquet(out / FRAMES).filter(shard=f"crops/{shard.name}").sort("offset")
    return {first["tracklet"][0]}


def lose_shard(out):
    next((out / "crops").glob("*.tar")).unlink()


def lose_column(out):
    pl.read_parquet(out / TRACKLETS).drop("role").write_parquet(out / TRACKLETS)


def wrong_count(out):
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["counts"]["crops"] += 1
    (out / MANIFEST).write_text(json.dumps(manifest))


def identity_on_both_sides(out):
    one, other = rows(out, split="train", kind="person")["id"][0], rows(out, split="test", kind="person")
    identity = other["identity"][0]
    change(out, TRACKLETS, pl.when(pl.col("id") == one).then(identity).otherwise("identity").alias("identity"))
    return {one, *other.filter(identity=identity)["id"]}


def event_on_both_sides(out):
    one, event = rows(out, split="train")["id"][0], rows(out, split="test")["event"][0]
    change(out, TRACKLETS, pl.when(pl.col("id") == one).then(pl.lit(event)).otherwise("event").alias("event"))
    return {one}


def confidences_of_others(out):
    table = pl.read_parquet(out / "identities.parquet")
    table.with_columns(pl.col("identity") + 1).write_parquet(out / "identities.parquet")


def encode_again(out, one, other):
    """The crops of `one` take the place of those of `other`, encoded at another quality: other bytes, same picture."""
    frames = pl.read_parquet(out / FRAMES)
    here, there = (frames.filter(tracklet=id_).sort("frame").to_dicts() for id_ in (one, other))
    n = min(len(here), len(there))
    data, places = bytearray((out / there[0]["shard"]).read_bytes()), []
    for row in here[:n]:
        jpeg = (out / row["shard"]).read_bytes()[row["offset"] :][: row["length"]]
        buffer = io.BytesIO()
        Image.open(io.BytesIO(jpeg)).save(buffer, "JPEG", quality=80)
        places.append((len(data), len(buffer.getvalue())))
        data += buffer.getvalue()
    (out / there[0]["shard"]).write_bytes(bytes(data))
    rest = frames.filter(pl.col("tracklet") != other)
    kept = pl.DataFrame(there[:n], schema=frames.schema).with_columns(
        pl.Series("offset", [p[0] for p in places]), pl.Series("length", [p[1] for p in places])
    )
    pl.concat([rest, kept]).write_parquet(out / FRAMES)
    change(out, TRACKLETS, pl.when(pl.col("id") == other).then(n).otherwise("frames").alias("frames"))


def near_duplicate(out):
    one, other = (rows(out, split=split, kind="person")["id"][0] for split in ("train", "test"))
    encode_again(out, one, other)
    return {one, other}


def video_under_two_names(out):
    """Everybody in one video, encoded again, in another event: no bytes and no checksum tell."""
    here, there = (rows(out, event=event, camera="right")["id"].to_list() for event in ("gala", "match"))
    for one, other in zip(here, there, strict=True):
        encode_again(out, one, other)
    return {*here, *there}


def query_without_match(out):
    query = rows(out, role="query")
    camera = query["camera"][0]
    same = pl.col("identity") == query["identity"][0]
    change(out, TRACKLETS, pl.when(same).then(pl.lit(camera)).otherwise("camera").alias("camera"))
    return {query["id"][0]}


def one_camera_has_all(out):
    test = pl.col("split") == "test"
    many = pl.when(test & (pl.col("camera") == "left")).then(pl.col("frames") * 100).otherwise("frames")
    change(out, TRACKLETS, many.alias("frames"))
    return set(rows(out, split="test", camera="left", kind="person")["id"])


def scraps(out):
    train = pl.col("split") == "train"
    change(out, TRACKLETS, pl.when(train).then(1).otherwise("frames").alias("frames"))
    return set(rows(out, split="train", kind="person")["id"])


def contradicting_captions(out):
    table = rows(out, kind="person")
    ids = table.filter(pl.len().over("identity") > 1).sort("identity", "id")["id"].to_list()[:2]
    texts = ("red shoes, long black hair", "blue shoes, long black hair")
    lines = [json.dumps({"tracklet": id_, "text": text}) for id_, text in zip(ids, texts, strict=True)]
    (out / "captions.jsonl").write_text("\n".join(lines) + "\n")
    return set(ids)


def stale_decision(out):
    (out / "decisions.jsonl").write_text('{"number": 1, "do": "junk", "tracklets": ["gone"]}\n')


FAULTS = {
    "checksums": flip,
    "crops": flip,
    "structure": lose_column,
    "structure, a shard": lose_shard,
    "counts": wrong_count,
    "identities": identity_on_both_sides,
    "events": event_on_both_sides,
    "near-duplicates": near_duplicate,
    "one video twice": video_under_two_names,
    "matches": query_without_match,
    "camera balance": one_camera_has_all,
    "length balance": scraps,
    "captions": contradicting_captions,
    "confidences": confidences_of_others,
    "decisions": stale_decision,
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_its_tracklets_named(copy, name):
    ids = FAULTS[name](copy) or set()
    check = name.partition(",")[0]
    found = [problem for problem in find_problems(copy) if problem.check == check]
    assert found, [problem.text for problem in find_problems(copy)]
    if check != "checksums":
        assert ids <= {id_ for problem in found for id_ in problem.tracklets}
    assert all(problem.text.isprintable() for problem in found)


def test_a_clean_set_has_none(built):
    assert find_problems(built[0]) == []


def test_the_hash_of_a_crop_hardly_changes_with_its_encoding():
    """The slow twin of the hash: signs of differences in plain loops; and how far encodings move it."""
    from reidkit.toolkit.checks.material import SLOPE, _hash

    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (16, 17), dtype=np.uint8)
    bits, _ = _hash(np.repeat(coarse[..., None], 3, axis=2))
    slow = [int(coarse[y, x + 1]) - int(coarse[y, x]) > SLOPE for y in range(16) for x in range(16)]
    assert np.unpackbits(bits).astype(bool).tolist() == slow


def test_a_merge_of_people_of_both_sides_is_no_fault(copy):
    """They are on one side then."""
    ids = [rows(copy, split=split, kind="person")["id"][0] for split in ("train", "test")]
    (copy / "decisions.jsonl").write_text(json.dumps({"number": 1, "do": "merge", "tracklets": ids}) + "\n")
    assert [problem.text for problem in find_problems(copy) if problem.check in ("identities", "events")] == []
