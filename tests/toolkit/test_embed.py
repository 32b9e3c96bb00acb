"""Embedders, and which crops a tracklet is known by."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch
from release_page import without_weights

from reidkit.baselines import resnet50
from reidkit.datasets import UsageError
from reidkit.datasets.clips import IMAGENET_MEAN, IMAGENET_STD
from reidkit.datasets.errors import MissingWeights
from reidkit.datasets.files import sha256_file
from reidkit.datasets.format import FRAME_COLUMNS
from reidkit.toolkit.crops import write_shard
from reidkit.toolkit.embed import (
    ENOUGH,
    FEWEST,
    MOST,
    choose_crops,
    embed_source,
    load_embedder,
    to_batch,
    tracklet_embedding,
)
from reidkit.toolkit.looks import Looks
from reidkit.training import weights
from reidkit.training.recipe import to_dict
from reidkit.training.run_folder import RunFacts, TrainedOn, save_checkpoint, write_facts

WEIGHTS = Path(__file__).resolve().parents[2] / ".." / "shared" / "weights"


def onnx_model(path, shape, axes=(2, 3), keep=0):
    """A model [N, 3, H, W] -> [N, 3], or with `keep` -> [N, 3, 1, 1]: each channel's mean."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    left = [1 if k in axes else side for k, side in enumerate(shape) if keep or k not in axes]
    axes = helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=keep)
    graph = helper.make_graph(
        [node],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, left)],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("batch", [1, 4, "N"])  # OSNet's file takes one image at a time
def test_onnx_embedder_for_any_batch(tmp_path, batch, keep):
    embedder = load_embedder(onnx_model(tmp_path / "m.onnx", [batch, 3, 8, 4], keep=keep))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (h, 9, 3), dtype=np.uint8) for h in (20, 7, 31, 8, 16, 24)]
    found = embedder.embed(images)
    # The same, one image after the other, in plain words.
    for row, image in zip(found, images, strict=True):
        means = to_batch([image], 8, 4, IMAGENET_MEAN, IMAGENET_STD)[0].mean((1, 2))
        assert row == pytest.approx(means / np.linalg.norm(means), abs=1e-4)
    assert found.dtype == np.float32
    assert embedder.name == "m.onnx"


def nhwc_model(path, shape=(1, 8, 4, 3)):
    """A model [N, H, W, 3] -> [N, 3]: each channel's mean."""
    return onnx_model(path, list(shape), axes=(1, 2))


def test_a_file_beside_the_model_states_what_it_takes(tmp_path):
    path = nhwc_model(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match=r"takes \[1, 8, 4, 3\]; .* images \[N, 3, H, W\].*'m.toml' beside it"):
        load_embedder(path)
    images = [np.random.default_rng(k).integers(0, 255, (9, 7, 3), dtype=np.uint8) for k in range(3)]
    text = 'layout = "NHWC"\nchannels = "BGR"\nwhite = 255\nmean = [1, 2, 3]\ndeviation = [2, 4, 8]\n'
    (tmp_path / "m.toml").write_text(text)
    embedder = load_embedder(path)
    for row, image in zip(embedder.embed(images), images, strict=True):
        small = cv2.resize(image, (4, 8), interpolation=cv2.INTER_AREA).astype(np.float64)
        wanted = (small[..., ::-1].mean((0, 1)) - [1, 2, 3]) / [2, 4, 8]  # B, G, R
        assert row == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-4)
    before = embedder.sha256
    assert before != sha256_file(path)
    (tmp_path / "m.toml").write_text(text.replace("BGR", "RGB"))
    assert load_embedder(path).sha256 != before  # a build knows that it was made otherwise


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('layout = "NHCW"', "Invalid enum value 'NHCW'"),
        ("means = [0, 0, 0]", "unknown field `means`"),
        ("deviation = [1, 1, 0]", "deviation"),
        ("mean = [0, 0]", "mean"),
        ("white = [", "can't be used"),
        ('layout = "NTCHW"', r"takes \[1, 8, 4, 3\]"),
        ("", r"takes \[1, 8, 4, 3\]"),
    ],
)
def test_a_stated_form_that_is_none(tmp_path, text, sentence):
    path = nhwc_model(tmp_path / "m.onnx")
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(UsageError, match=sentence):
        load_embedder(path)


def test_a_size_that_the_file_leaves_open_is_stated(tmp_path):
    path = onnx_model(tmp_path / "m.onnx", ["N", 3, "H", "W"])
    with pytest.raises(UsageError, match="height and width known"):
        load_embedder(path)
    (tmp_path / "m.toml").write_text("height = 16\nwidth = 8")
    embedder = load_embedder(path)
    assert (embedder.height, embedder.width) == (16, 8)
    assert embedder.embed([np.full((20, 10, 3), 90, np.uint8)]).shape == (1, 3)


def test_open_model_zoo_file(tmp_path):
    """person-reidentification-retail-0287 takes NHWC, BGR, levels to 255, one picture at a time."""
    theirs = WEIGHTS / "person-reidentification-retail-0287.onnx"
    if not theirs.is_file():
        pytest.skip("the file is not here")
    path = tmp_path / "retail.onnx"
    path.symlink_to(theirs.resolve())
    (tmp_path / "retail.toml").write_text(
        'layout = "NHWC"\nchannels = "BGR"\nwhite = 255\nmean = [0, 0, 0]\ndeviation = [1, 1, 1]\n'
    )
    image = np.random.default_rng(0).integers(0, 255, (256, 128, 3), dtype=np.uint8)
    found = load_embedder(path).embed([image, image[:, ::-1]])
    assert found.shape == (2, 256)
    session = load_embedder(path).session
    raw = session.run(None, {session.get_inputs()[0].name: image[None, ..., ::-1].astype(np.float32)})[0][0]
    assert found[0] == pytest.approx(raw / np.linalg.norm(raw), abs=1e-4)


def test_weights_that_are_not_here_are_asked_for_by_name(tmp_path, monkeypatch):
    cache = without_weights(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    name = "person_reid_youtu_2021nov.onnx"
    with pytest.raises(MissingWeights, match=rf"`reidkit weights get {name}` fetches them; or give the path"):
        load_embedder(name)
    cache.mkdir()
    onnx_model(cache / name, [1, 3, 8, 4])
    assert load_embedder(name).name == name

    def no_clip(*_):
        raise weights.missing("clip", otherwise="train without")

    monkeypatch.setattr("reidkit.baselines.clip.load_clip", no_clip)
    with pytest.raises(MissingWeights, match=r"get clip` fetches them; or name another embedder: --embedder FILE"):
        load_embedder("clip")


def test_batches_are_rgb_and_normalised():
    red = np.zeros((10, 6, 3), np.uint8)
    red[..., 0] = 255
    batch = to_batch([red], 8, 4, IMAGENET_MEAN, IMAGENET_STD)
    assert batch.shape == (1, 3, 8, 4)
    expected = [(v - m) / s for v, m, s in zip((1, 0, 0), IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    assert batch[0, :, 0, 0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("osnett", "Unknown embedder 'osnett'. Known: clip, simulated"),
        ("nowhere.onnx", "no embedder file 'nowhere.onnx'"),
    ],
)
def test_unknown_embedders(name, sentence):
    with pytest.raises(UsageError, match=sentence):
        load_embedder(name)


def test_files_that_are_no_embedder(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(UsageError, match="no ONNX model that can be run"):
        load_embedder(tmp_path / "broken.onnx")
    with pytest.raises(UsageError, match=r"an embedder gives \[N, D\]"):
        load_embedder(onnx_model(tmp_path / "map.onnx", [1, 3, 8, 4], axes=(2,)))
    with pytest.raises(UsageError, match="is no run of reidkit with a checkpoint"):
        load_embedder(tmp_path)


def test_a_trained_run_gets_clips_of_one_frame(tmp_path):
    """Its rows are what the model gives for each crop as a clip of one frame from camera 0."""
    recipe = resnet50.RECIPES["tiny"].changed(backbone_width=4, height=16, width=8)
    facts = RunFacts("", "resnet50", "tiny", to_dict(recipe), 3, 2, TrainedOn("made-up", ""))
    torch.manual_seed(0)
    model = resnet50.build(recipe, 3, 2)
    write_facts(tmp_path, facts)
    save_checkpoint(tmp_path, model, None, 1)
    embedder = load_embedder(tmp_path)
    images = [np.random.default_rng(k).integers(0, 255, (20, 10, 3), dtype=np.uint8) for k in range(20)]
    rows = embedder.embed(images)
    batch = torch.from_numpy(to_batch(images, 16, 8, IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        expected = [model.eval().embed(image[None, None], torch.zeros(1, dtype=torch.long))[0] for image in batch]
    expected = torch.nn.functional.normalize(torch.stack(expected), dim=1).numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    digest = sha256_file(tmp_path / "model.safetensors")
    assert embedder.sha256 == hashlib.sha256(digest.encode()).hexdigest()  # a build's key: as it always was


def frames(tmp_path, counts, seconds=1.0):
    """A source of tracklets with so many crops, each crop a colour of its own; quality grows and falls."""
    members, rows = [], []
    for number, count in enumerate(counts):
        for k in range(count):
            image = np.full((64, 32, 3), (40 * number, 5 * k % 250, 99), np.uint8)
            members.append((f"{number}/{k}.jpg", cv2.imencode(".jpg", image)[1].tobytes()))
            rows.append({"tracklet": f"{number:05d}", "frame": k, "time": k * seconds, "sharpness": float(k * 7 % 5)})
    places = write_shard(tmp_path / "crops" / "a.tar", members)
    for row, (offset, length) in zip(rows, places, strict=True):
        row |= {"x1": 0.0, "y1": 0.0, "x2": 50.0, "y2": 128.0, "confidence": 0.9, "occlusion": 0.0, "truncation": 0.0}
        row |= {"shard": "crops/a.tar", "offset": offset, "length": length}
    return pl.DataFrame(rows, schema=FRAME_COLUMNS)


@pytest.mark.parametrize(
    ("count", "seconds", "chosen"),
    [
        (3, 1.0, 3),  # fewer than the least: all
        (100, 0.1, 30),  # ten seconds, three a second
        (500, 0.1, MOST),
        (40, 0.01, FEWEST),
    ],
)
def test_how_many_crops(tmp_path, count, seconds, chosen):
    table = frames(tmp_path, [count], seconds)
    rows = choose_crops(table, table["sharpness"].to_numpy(), np.zeros(count, bool))
    assert len(rows) == chosen
    assert (np.diff(rows) > 0).all()


def test_the_best_crop_of_each_time_is_taken(tmp_path):
    table = frames(tmp_path, [80], 0.05)
    quality = np.random.default_rng(0).random(80)
    rows = choose_crops(table, quality, np.zeros(80, bool))
    bins = np.minimum((table["time"].to_numpy() / 3.95 * 12).astype(int), 11)
    assert rows.tolist() == [max(np.flatnonzero(bins == b), key=lambda r: quality[r]) for b in range(12)]


class Counting:
    name, sha256, calls = "counting", "0", 0

    def embed(self, images):
        self.calls += 1
        return np.array([image.mean((0, 1)) for image in images], np.float32)


def test_embeddings_are_kept(tmp_path):
    table, embedder = frames(tmp_path, [4, 6]), Counting()
    first = embed_source(table, Looks.nothing(10), embedder, tmp_path, tmp_path / "cache.npz")
    calls = embedder.calls
    again = embed_source(table, Looks.nothing(10), embedder, tmp_path, tmp_path / "cache.npz")
    assert embedder.calls == calls > 0
    assert (first.features == again.features).all()
    assert first.row.tolist() == list(range(10))
    assert first.features[5, 2] == pytest.approx(40, abs=3)  # OpenCV wrote it as blue: the second tracklet's colour


def test_what_is_embedded_already_is_not_embedded_again(tmp_path):
    """Of the first tracklet two crops are, and two more are wanted; of the second one enough."""
    table, embedder = frames(tmp_path, [6, 8]), Counting()
    there = np.zeros((14, 3))
    there[[1, 2, 6, 8, 9, 11, 13]] = (0.6, 0.8, 0.0)
    found = embed_source(table, Looks.of(there), embedder, tmp_path, tmp_path / "cache.npz")
    known = there[found.row].any(1)
    assert len(found.row) == ENOUGH + 5
    assert found.row[known].tolist() == [1, 2, 6, 8, 9, 11, 13]
    assert (found.row[~known] < 6).all()
    assert found.features[known] == pytest.approx(there[found.row[known]])
    assert (found.features[~known].max(1) > 1).all()  # means of grey levels


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_damaged_embeddings_are_made_again(tmp_path, content):
    table, embedder = frames(tmp_path, [4, 6]), Counting()
    first = embed_source(table, Looks.nothing(10), embedder, tmp_path, tmp_path / "cache.npz")
    (tmp_path / "cache.npz").write_bytes(content)
    again = embed_source(table, Looks.nothing(10), embedder, tmp_path, tmp_path / "cache.npz")
    assert (first.features == again.features).all()
    with np.load(tmp_path / "cache.npz") as stored:
        assert len(stored["row"]) == 10


def test_nobody(tmp_path):
    found = embed_source(
        pl.DataFrame(schema=FRAME_COLUMNS), Looks.nothing(0), Counting(), tmp_path, tmp_path / "cache.npz"
    )
    assert len(found.row) == len(found.features) == 0


def test_a_tracklet_is_the_weighted_mean_of_its_better_half():
    features = np.random.default_rng(0).normal(size=(10, 4))
    quality = np.arange(10) / 10
    expected = sum(quality[i] * features[i] for i in range(5, 10))
    assert tracklet_embedding(features, quality) == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs ../shared/weights")
def test_osnet_loads():
    embedder = load_embedder(WEIGHTS / "osnet_x0_25_msmt17.onnx", threads=1)
    rows = embedder.embed([np.random.default_rng(0).integers(0, 255, (200, 90, 3), dtype=np.uint8)] * 2)
    assert rows.shape == (2, 512)
    assert rows[0] @ rows[1] == pytest.approx(1, abs=1e-4)
