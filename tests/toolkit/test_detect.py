"""Detectors: each layout is decoded to the same boxes, and no foreign pickle is read."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from release_page import File, serving, without_weights

from reidkit.datasets.errors import MissingWeights, UsageError
from reidkit.datasets.files import sha256_file
from reidkit.toolkit.boxes import settled
from reidkit.toolkit.detect import TRACK_CONFIDENCE, load_detector
from reidkit.toolkit.settings import FootageSettings
from reidkit.toolkit.sources import Source
from reidkit.toolkit.video import FrameReader
from reidkit.toolkit.yolo_onnx import _grid, decode_yolox, letterbox, own_shape
from reidkit.training import weights

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
SIZE = 64
CELLS = 8 * 8 + 4 * 4 + 2 * 2


def model(path: Path, output: np.ndarray, meta: dict[str, str] | None = None, batch: object = 1) -> Path:
    """An ONNX file that puts out `output` [1, …] for each image, plus nought times the image's mean."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "axis"], ["flat"]),
        helper.make_node("Mul", ["flat", "nought"], ["zero"]),
        helper.make_node("Add", ["constant", "zero"], ["output"]),
    ]
    constants = {"constant": output.astype(np.float32), "nought": np.zeros(1, np.float32), "axis": np.array([3])}
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for key, value in (meta or {}).items():
        entry = made.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(made, str(path))
    return path


# One person of 16 x 32 pixels at (24, 8) of the 64 x 64 input, a weaker box over it, a chair, a box that is too weak.
BOXES = np.array([[24, 8, 40, 40], [25, 9, 40, 40], [0, 40, 20, 60], [44, 44, 60, 60]], np.float32)
SCORES = np.array([[0.9, 0.0], [0.5, 0.0], [0.0, 0.9], [0.05, 0.0]], np.float32)


def yolox() -> np.ndarray:
    grid, stride = _grid(SIZE, SIZE)
    raw = np.zeros((CELLS, 7), np.float32)
    raw[:, 2:4] = -5
    for cell, (box, scores) in enumerate(zip(BOXES, SCORES, strict=True), start=10):
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        raw[cell, :2] = centre / stride[cell] - grid[cell]
        raw[cell, 2:4] = np.log(size / stride[cell])
        raw[cell, 4] = 0.9
        raw[cell, 5:] = scores / 0.9
    return raw[None]


def ultralytics() -> np.ndarray:
    raw = np.zeros((6, CELLS), np.float32)
    raw[:2, 3:7] = ((BOXES[:, :2] + BOXES[:, 2:]) / 2).T
    raw[2:4, 3:7] = (BOXES[:, 2:] - BOXES[:, :2]).T
    raw[4:, 3:7] = SCORES.T
    return raw[None]


def corners() -> np.ndarray:
    best = SCORES.max(axis=1, keepdims=True)
    return np.concatenate([BOXES, best, SCORES.argmax(axis=1)[:, None]], axis=1)[None]


@pytest.mark.parametrize("layout", [yolox, ultralytics, corners])
def test_every_layout_gives_the_same_person(tmp_path, layout):
    detector = load_detector(model(tmp_path / "d.onnx", layout()), threads=1)
    # 128 x 96 pixels are fitted by one half: boxes come back in the image's own pixels.
    found = detector.detect([np.zeros((96, 128, 3), np.uint8)] * 3)
    assert len(found) == 3
    for people in found:
        assert people.xyxy == pytest.approx(np.array([[48, 16, 80, 80]]), abs=1e-3)
        assert people.confidence == pytest.approx([0.9], abs=1e-5)
    assert detector.input_size == (SIZE, SIZE)
    assert detector.detect([]) == []


def test_confidence_and_the_class_named_person(tmp_path):
    path = model(tmp_path / "d.onnx", ultralytics(), meta={"names": "{0: 'chair', 1: 'person'}"})
    (people,) = load_detector(path, threads=1).detect([np.zeros((64, 64, 3), np.uint8)])
    assert people.xyxy == pytest.approx(np.array([[0, 40, 20, 60]]), abs=1e-3)
    path = model(tmp_path / "e.onnx", ultralytics())
    (people,) = load_detector(path, confidence=0.04, threads=1).detect([np.zeros((64, 64, 3), np.uint8)])
    assert people.confidence == pytest.approx([0.9, 0.05], abs=1e-5)
    (nobody,) = load_detector(path, confidence=0.95, threads=1).detect([np.zeros((64, 64, 3), np.uint8)])
    assert len(nobody) == 0
    with pytest.raises(UsageError, match="between 0 and 1"):
        load_detector(path, confidence=1.5)


def test_a_fixed_batch_size_above_one(tmp_path):
    path = model(tmp_path / "d.onnx", np.repeat(ultralytics(), 2, axis=0), batch=2)
    found = load_detector(path, threads=1).detect([np.zeros((64, 64, 3), np.uint8)] * 3)
    assert [len(people) for people in found] == [1, 1, 1]


def test_yolox_decoding_against_plain_loops():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(CELLS, 7)).astype(np.float32)
    boxes, scores = decode_yolox(raw, *_grid(SIZE, SIZE), person=1)
    cell = 0
    for stride in (8, 16, 32):
        for row in range(SIZE // stride):
            for column in range(SIZE // stride):
                x, y = (raw[cell, 0] + column) * stride, (raw[cell, 1] + row) * stride
                w, h = np.exp(raw[cell, 2]) * stride, np.exp(raw[cell, 3]) * stride
                assert boxes[cell] == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2], rel=1e-4, abs=1e-3)
                assert scores[cell] == pytest.approx(raw[cell, 4] * raw[cell, 6])
                cell += 1
    assert cell == CELLS


@pytest.mark.parametrize(("shape", "inside"), [((30, 60), (32, 64)), ((200, 100), (64, 32)), ((64, 64), (64, 64))])
def test_letterbox(shape, inside):
    picture, scale = letterbox(np.full((*shape, 3), 7, np.uint8), (64, 64))
    assert scale == pytest.approx(inside[0] / shape[0])
    assert (picture[: inside[0], : inside[1]] == 7).all()
    assert (picture == 114).all(axis=2).sum() == 64 * 64 - inside[0] * inside[1]


@pytest.mark.parametrize(
    ("image", "longest", "size"),
    [
        ((640, 360), 544, (544, 320)),
        ((360, 640), 544, (320, 544)),
        ((1920, 1080), 640, (640, 384)),
        ((320, 320), 640, (640, 640)),
        ((5000, 10), 640, (640, 32)),  # no side comes to nothing
    ],
)
def test_an_image_keeps_its_shape(image, longest, size):
    assert own_shape(*image, longest) == size
    assert min(size[0] / image[0], size[1] / image[1]) <= longest / max(image)  # nothing of it is left out


def dynamic(path: Path, imgsz: tuple[int, int]) -> Path:
    """An ONNX file of any input size with one box: centre, size and confidence (0.9), as large as the input itself."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "sides"], ["size"]),  # width, height
        helper.make_node("Cast", ["size"], ["pixels"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "half"], ["centre"]),
        helper.make_node("Concat", ["centre", "pixels", "score"], ["row"], axis=0),
        helper.make_node("Reshape", ["row", "column"], ["box"]),
        helper.make_node("Concat", ["box", "nobody"], ["output"], axis=2),
    ]
    constants = {
        "sides": np.array([3, 2]),
        "half": np.array([0.5], np.float32),
        "score": np.array([0.9], np.float32),
        "column": np.array([1, 5, 1]),
        "nobody": np.zeros((1, 5, 20), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    entry = made.metadata_props.add()
    entry.key, entry.value = "imgsz", str(list(imgsz))
    onnx.save(made, str(path))
    return path


def test_a_dynamic_input_takes_every_image_in_its_own_shape(tmp_path):
    detector = load_detector(dynamic(tmp_path / "d.onnx", (256, 448)), threads=1)
    assert detector.input_size == (448, 448)
    images = [np.zeros((*shape, 3), np.uint8) for shape in ((252, 448), (448, 252), (504, 896), (448, 448))]
    found = detector.detect(images)
    # The box is the whole input: 448 x 256 and so on, in the pixels of the image.
    sizes = [people.xyxy[0].tolist() for people in found]
    assert sizes == [[0, 0, 448, 256], [0, 0, 256, 448], [0, 0, 896, 512], [0, 0, 448, 448]]


def test_unusable_models_are_one_sentence(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    cases = [
        (tmp_path / "text.onnx", "no ONNX model"),
        (model(tmp_path / "shape.onnx", np.zeros((1, 10, 3))), "puts out"),
        (tmp_path / "absent.onnx", "no detector file .*absent.onnx'. `reidkit weights` lists"),
        ("simulatd", "Did you mean 'simulated'"),
    ]
    for name, says in cases:
        with pytest.raises(UsageError, match=says):
            load_detector(name)


@pytest.mark.parametrize(
    ("name", "gets"), [("yolo11m.pt", "yolo11m.pt"), ("yolo11s", "yolo11s.pt"), ("yolox_s.onnx", "yolox_s.onnx")]
)
def test_a_release_that_is_not_here_is_asked_for_by_name(tmp_path, monkeypatch, name, gets):
    if gets.endswith(".pt"):
        pytest.importorskip("ultralytics")
    without_weights(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingWeights, match=f"`reidkit weights get {gets}` fetches them; or ") as caught:
        load_detector(name)
    assert caught.value.names == (gets,)


def test_the_working_folder_comes_before_the_cache(tmp_path, monkeypatch):
    cache = without_weights(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    cache.mkdir()
    model(cache / "yolox_s.onnx", yolox())
    cached = load_detector("yolox_s.onnx", threads=1).sha256
    assert cached == sha256_file(cache / "yolox_s.onnx")
    model(tmp_path / "yolox_s.onnx", corners())
    assert load_detector("yolox_s.onnx", threads=1).sha256 == sha256_file(tmp_path / "yolox_s.onnx") != cached


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_foreign_pickle_is_not_read(tmp_path):
    pytest.importorskip("ultralytics")
    path, sprung = tmp_path / "yolo11m.pt", tmp_path / "sprung"
    path.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(UsageError, match=r"no known release and was not fetched .*--trust-weights"):
        load_detector(path)
    assert not sprung.exists()


def test_what_was_fetched_needs_no_trust_until_it_changes(tmp_path, monkeypatch):
    """A file of the record goes to Ultralytics, wherever it lies; one byte more and it does not."""
    pytest.importorskip("ultralytics")
    without_weights(monkeypatch, tmp_path)
    path = tmp_path / "yolo26s.pt"
    path.write_bytes(b"no checkpoint")
    entry = weights.known(path.name)
    weights.record(entry, sha256_file(path), entry.source, path.stat().st_size)
    with pytest.raises(UsageError, match="Ultralytics cannot read"):
        load_detector(path)
    path.write_bytes(b"no checkpoint!")
    with pytest.raises(UsageError, match="--trust-weights"):
        load_detector(path)


def test_a_broken_checkpoint_that_is_trusted(tmp_path):
    pytest.importorskip("ultralytics")
    (tmp_path / "mine.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match="cannot read"):
        load_detector(tmp_path / "mine.pt", trust_weights=True)


def test_a_checkpoint_that_was_fetched_is_read_without_trust(tmp_path, monkeypatch):
    """From the release page, here on the loopback address, to a detector."""
    pytest.importorskip("ultralytics")
    from reidkit.toolkit.ultralytics_yolo import import_yolo
    from reidkit.training.fetch import get

    without_weights(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    fresh = import_yolo()("yolo11n.yaml", task="detect")
    fresh.model.names = {0: "person"} | {i: f"thing {i}" for i in range(1, 80)}
    fresh.save(str(tmp_path / "fresh.pt"))
    asset = "/github.com/ultralytics/assets/releases/download/v8.4.0/yolo26n.pt"
    with serving({asset: File((tmp_path / "fresh.pt").read_bytes())}) as server:
        monkeypatch.setenv("REIDKIT_WEIGHTS_SOURCE", server.address)
        assert get("yolo26n.pt").fetched
    assert load_detector("yolo26n", threads=1).name == "yolo26n.pt"


@pytest.mark.slow
def test_an_ultralytics_checkpoint(tmp_path):
    """An untrained YOLO11n finds nothing that means anything: boxes must lie in the image, people only, best first."""
    pytest.importorskip("ultralytics")
    from reidkit.toolkit.ultralytics_yolo import import_yolo

    path = tmp_path / "fresh.pt"
    fresh = import_yolo()("yolo11n.yaml", task="detect")
    fresh.model.names = {0: "person"} | {i: f"thing {i}" for i in range(1, 80)}
    fresh.save(str(path))
    detector = load_detector(path, trust_weights=True, confidence=1e-6, threads=1)
    image = np.random.default_rng(0).integers(0, 255, (120, 200, 3), dtype=np.uint8)
    first, second = detector.detect([image, image[:60]])
    assert len(first) > 0
    assert (np.diff(first.confidence) <= 0).all()
    assert first.xyxy.min() >= 0
    assert (first.xyxy <= [200, 120, 200, 120]).all()
    assert (second.xyxy <= [200, 60, 200, 60]).all()


@pytest.mark.skipif(not (SHARED / "weights" / "yolox_nano.onnx").is_file(), reason="no YOLOX weights in ../shared")
def test_real_people_in_real_footage():
    footage = SHARED / "footage" / "pose2sim-multiperson" / "cam03.mp4"
    if not footage.is_file():
        pytest.skip("no footage in ../shared")
    detector = load_detector(SHARED / "weights" / "yolox_nano.onnx", confidence=0.5, threads=1)
    frame = next(iter(FrameReader(Source("e", "cam03", footage))))
    (full,) = detector.detect([frame.image])
    assert len(full) == 2
    for box in ([476, 419, 801, 1304], [158, 498, 357, 1045]):
        assert np.abs(full.xyxy - box).max(axis=1).min() < 40
    # The same from an image that was shrunk before: what the builder does.
    small = cv2.resize(frame.image, (236, 416), interpolation=cv2.INTER_AREA)
    (shrunk,) = detector.detect([small])
    assert shrunk.xyxy * (1088 / 236) == pytest.approx(full.xyxy, abs=40)


def test_the_simulated_detector_says_where_its_tracks_start():
    """Its boxes are less sure than those of a large detector; a confidence that is asked for is kept."""
    detector = load_detector("simulated", threads=1)
    assert detector.confidence < detector.track_confidence < TRACK_CONFIDENCE
    assert settled(FootageSettings(), detector).confidence == detector.track_confidence
    assert settled(FootageSettings(confidence=0.7), detector).confidence == 0.7
    assert settled(FootageSettings(), object()).confidence == TRACK_CONFIDENCE
    assert load_detector("simulated", confidence=0.2, threads=1).confidence == 0.2
