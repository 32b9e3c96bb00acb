"""Training of the shipped detector goes on where it was stopped, and its losses are what plain loops say."""

import importlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (64, 96)


@pytest.fixture
def scripts(monkeypatch):
    pytest.importorskip("ultralytics")
    pytest.importorskip("onnx")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("train_detector"), importlib.import_module("detector_network")


class Few:
    """Six grey frames with two white people each."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.pixels = [rng.integers(90, 130, (72, 128, 3), dtype=np.uint8) for _ in range(6)]
        self.sizes, self.people = [(128, 72)] * 6, []
        for image in self.pixels:
            x = rng.integers(0, 50, 2) + np.array([0, 60])
            self.people.append(np.array([[x[0], 8, x[0] + 14, 60, 1], [x[1], 20, x[1] + 16, 70, 0.6]], np.float32))
            for x1, y1, x2, y2, _ in self.people[-1].astype(int):
                image[y1:y2, x1:x2] = 250

    def __len__(self):
        return len(self.pixels)


def seconds(stop_after=10**9):
    """A clock that goes on by a second with every look at it, and stops the run at last."""
    now = 0.0
    while now < stop_after:
        yield now
        now += 1.0
    raise KeyboardInterrupt


def test_a_stopped_training_goes_on(scripts, tmp_path):
    """Six batches at once, or in three runs of which two are killed: the same weights, rate and moving average."""
    script, _ = scripts
    settings = {"minutes": 6 / 60, "batch": 2, "shape": SHAPE, "every": 1.0}
    frames = Few()
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    script.prepare_ultralytics(tmp_path)
    whole = script.train(tmp_path / "whole", frames, clock=seconds().__next__, **settings)
    for looks in (3, 2):
        with pytest.raises(KeyboardInterrupt):
            script.train(tmp_path / "parts", frames, clock=seconds(looks).__next__, **settings)
    parts = script.train(tmp_path / "parts", frames, clock=seconds().__next__, **settings)
    assert (whole.step, whole.looked, whole.seconds, whole.runs) == (6, 12, 6.0, 1)
    assert (parts.step, parts.looked, parts.seconds, parts.runs) == (6, 12, 6.0, 3)
    for name in ("network", "average"):
        mine, other = (getattr(state, name).state_dict() for state in (parts, whole))
        for key, value in mine.items():
            assert np.allclose(value, other[key], rtol=1e-3, atol=1e-4), (name, key)
    assert parts.optimiser.param_groups[0]["lr"] == whole.optimiser.param_groups[0]["lr"]
    again = script.train(tmp_path / "parts", frames, clock=seconds().__next__, **settings)
    assert (again.step, again.runs) == (6, 4)  # nothing is left to do


def test_assignment_against_plain_loops(scripts):
    import torch

    _, network = scripts
    rng = np.random.default_rng(1)
    centres, strides = network.cells(*SHAPE)
    people = np.array([[8, 4, 30, 60], [20, 6, 44, 62], [70, 10, 74, 40], [0, 0, 0, 0]], np.float32)
    wanted = np.array([True, True, True, False])
    near = people[rng.integers(0, 3, len(centres))]
    boxes = (near + rng.normal(0, 3, near.shape)).astype(np.float32)
    scores = rng.uniform(0.01, 0.9, len(centres)).astype(np.float32)
    made = [torch.from_numpy(value[None]) for value in (scores, boxes)]
    others = [torch.from_numpy(value[None]) for value in (people, wanted)]
    for k in (1, 3):
        index, target = network.assign(*made, centres, strides, *others, k)
        expected = plain_assignment(scores, boxes, centres.numpy(), strides.numpy(), people[:3], k)
        assert index[0].tolist() == [owner for owner, _ in expected]
        assert target[0].numpy() == pytest.approx(np.array([value for _, value in expected]), rel=1e-3, abs=1e-6)


def plain_assignment(scores, boxes, centres, strides, people, k):
    """(person or -1, target score) of each cell."""

    def iou(a, b):
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(0.0, width) * max(0.0, height)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared + 1e-6)

    chosen = {}
    for n, person in enumerate(people):
        able = []
        for c, (x, y) in enumerate(centres):
            reach = [max((person[i + 2] - person[i]) / 2, 0.75 * strides[c]) for i in (0, 1)]
            middle = [(person[i + 2] + person[i]) / 2 for i in (0, 1)]
            if abs(x - middle[0]) < reach[0] and abs(y - middle[1]) < reach[1]:
                able.append((scores[c] ** 0.5 * iou(person, boxes[c]) ** 6 + 1e-9, c))
        for _, c in sorted(able, reverse=True)[:k]:
            if c not in chosen or iou(person, boxes[c]) > iou(people[chosen[c]], boxes[c]):
                chosen[c] = n
    out = [(-1, 0.0)] * len(centres)
    for n, person in enumerate(people):
        mine = [c for c, owner in chosen.items() if owner == n]
        worth = {c: scores[c] ** 0.5 * iou(person, boxes[c]) ** 6 + 1e-9 for c in mine}
        for c in mine:
            best = max(iou(person, boxes[other]) for other in mine)
            out[c] = (n, worth[c] / max(worth.values()) * best)
    return out


def test_an_export_finds_what_the_network_finds(scripts, tmp_path):
    """The file's boxes are those that the network's raw output stands for."""
    import torch

    script, network = scripts
    script.prepare_ultralytics(tmp_path)
    measure = importlib.import_module("measure_detector")
    state = script.begin(tmp_path / "state.pt", None, None)
    for layer in state.average.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values, low, high in (
                (layer.bias, -0.3, 0.3),
                (layer.weight, 0.7, 1.4),
                (layer.running_mean, -0.2, 0.2),
            ):
                torch.nn.init.uniform_(values, low, high)
    state.save(tmp_path / "state.pt")
    measure.export(tmp_path, tmp_path / "detector.onnx", sparse=True)
    from reidkit.toolkit.onnx_session import open_session

    images = torch.rand(1, 3, *SHAPE, generator=torch.Generator().manual_seed(0))
    (found,) = open_session(tmp_path / "detector.onnx", threads=1).run(None, {"images": images.numpy()})
    with torch.no_grad():
        raw = state.average.eval()(images)[1]
        boxes = network.decode(raw, *network.cells(*SHAPE))[0].numpy()
    assert pytest.approx((boxes[:, :2] + boxes[:, 2:]) / 2, rel=1e-3, abs=1e-2) == found[0, :2].T
    assert pytest.approx(boxes[:, 2:] - boxes[:, :2], rel=1e-3, abs=1e-2) == found[0, 2:4].T
    assert found[0, 4] == pytest.approx(raw[0, 4].sigmoid().numpy(), rel=1e-3)
    # The next training may start from the file: its features are these, though its normalisations are gone.
    new = network.Network(tmp_path)
    new.start_from(tmp_path / "detector.onnx", images)
    with torch.no_grad():
        for mine, other in zip(new.eval().features(images), state.average.features(images), strict=True):
            assert mine.numpy() == pytest.approx(other.numpy(), rel=1e-2, abs=1e-3)
