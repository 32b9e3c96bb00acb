"""Heads covered: by proportion, of bystanders, with a detector; and nothing of them left in the file."""

import io
import json

import numpy as np
import onnx
import pytest
from command_line import call
from onnx import TensorProto, helper
from PIL import Image

from reidkit.datasets.errors import UsageError
from reidkit.datasets.heads import cover, cover_by_proportion, cover_jpeg, head_region
from reidkit.datasets.images import decode
from reidkit.toolkit import faces
from reidkit.toolkit.export.content import read_content
from reidkit.toolkit.export.export import export
from reidkit.toolkit.faces import FaceFinder, HeadCover, kind_of, regions_of


def row(box, **more):
    sides = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
    return {"occlusion": 0.0, "truncation": 0.0, "tracklet": "a", "frame": 0, "time": 1.0, **sides, **more}


def test_a_region_is_one_colour_and_the_rest_is_as_it_was():
    picture = np.random.default_rng(0).integers(0, 256, (80, 40, 3), dtype=np.uint8)
    out = cover(picture, [(-5, -5, 20.5, 30.2), (30, 70, 90, 90), (50, 0, 60, 10)])
    assert len(np.unique(out[:31, :21].reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(out[70:, 30:].reshape(-1, 3), axis=0)) == 1
    same = np.ones((80, 40), bool)
    same[:31, :21] = same[70:, 30:] = False
    assert (out[same] == picture[same]).all()


@pytest.mark.parametrize(
    ("box", "truncation", "down"),
    [
        ((0, 0, 40, 100), 0.0, 30.0),
        ((0, 0, 40, 100), 0.25, 40.0),  # cut off below: the head is a larger part
        ((0, 0, 80, 100), 0.0, 36.0),  # wide: by the width
        ((0, 0, 300, 100), 0.0, 100.0),  # lying: all of it
        ((0, 0, 40, 100), 1.0, 60.0),
    ],
)
def test_the_region_of_a_box(box, truncation, down):
    x1, y1, x2, y2 = head_region(box, truncation)
    assert (round(y2, 3), x1 < 0, y1 < 0, x2 > box[2]) == (down, True, True, True)


def test_regions_are_in_the_crops_pixels_where_the_box_leaves_the_picture():
    ((x1, y1, _, y2),) = regions_of(row((-10.5, -20, 29.5, 80)), [])
    assert (round(x1, 2), round(y1, 2), round(y2, 2)) == (-12.9, -26.0, 10.0)  # the crop begins at 0, 0
    assert kind_of(row((0, 0, 40, 100))) == "upright"
    assert kind_of(row((0, 0, 80, 100))) == "wide"
    assert kind_of(row((0, 0, 40, 100), occlusion=0.5)) == "hidden or cut"


def test_a_jpeg_is_encoded_once_and_holds_nothing_of_the_head():
    pictures = []
    for head in (np.random.default_rng(1), np.random.default_rng(2)):  # two heads of one mean on one body
        picture = np.full((100, 40, 3), 90, np.uint8)
        half = head.integers(0, 2, (16, 40), dtype=np.uint8).astype(bool)
        picture[:16], picture[16:32] = np.where(half[..., None], 0, 200), np.where(half[..., None], 200, 0)
        pictures.append(picture)
    regions = [(0, 0, 40, 32)]
    files = [cover(p, regions) for p in pictures]
    assert (files[0] == files[1]).all()
    out = io.BytesIO()
    Image.fromarray(pictures[0]).save(out, "JPEG", comment=b"a thumbnail")
    covered = cover_jpeg(out.getvalue(), regions)
    assert covered is not None
    assert b"thumbnail" not in covered
    assert cover_jpeg(b"\xff\xd8 no picture", regions) is None
    crop = cover_by_proportion(pictures[0])
    assert len(np.unique(crop[:30].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("format", ["mars", "mevid", "market", "webdataset", "parquet-images"])
def test_every_export_of_pictures_covers_them(small, tmp_path, format):
    plain, blurred = tmp_path / "plain", tmp_path / "blurred"
    before = b"".join(p.read_bytes() for p in sorted(small.rglob("*.tar")))
    export(small, plain, format)
    done = export(small, blurred, format, blur_faces=True)
    assert done.faces is not None
    assert done.faces["crops"] == json.loads((blurred / "export.json").read_text())["faces"]["crops"] > 0
    crops = [data for item in read_content(small).items for data in _crops(small, item)]
    data = b"".join(p.read_bytes() for p in sorted(blurred.rglob("*")) if p.is_file())
    assert not any(crop in data for crop in crops)
    assert any(crop in b"".join(p.read_bytes() for p in plain.rglob("*") if p.is_file()) for crop in crops)
    assert before == b"".join(p.read_bytes() for p in sorted(small.rglob("*.tar")))


def _crops(root, item):
    for shard, offset, length in item.rows.select("shard", "offset", "length").iter_rows():
        yield (root / shard).read_bytes()[offset : offset + length]


def test_bystanders_heads_are_covered_too(small):
    content = read_content(small)
    tables = _tables(small)
    near = HeadCover(*tables)._bystanders
    crop = next(item for item in content.items if item.id == "a").rows.to_dicts()[0]
    place = {**crop, "event": "final", "camera": "north"}
    boxes = near.near(place)
    for box in boxes:  # whoever is near meets the box
        assert box[0] <= crop["x2"]
        assert box[2] >= crop["x1"]
    # at the same place and time another person: c is two widths away, so stretch the crop
    assert len(near.near({**place, "x2": crop["x2"] + 200})) > len(boxes)


def _tables(root):
    from reidkit.datasets.own import reviewed_tables

    return reviewed_tables(root)


@pytest.fixture
def detector(tmp_path):
    """A YOLO of Ultralytics' form that finds one face in the middle of the lower half of its 64 x 64 input."""
    rows = np.zeros((1, 5, 8), np.float32)
    rows[0, :, 0] = (16, 48, 10, 10, 0.9)
    node = helper.make_node("Constant", [], ["found"], value=onnx.numpy_helper.from_array(rows, "rows"))
    zero = helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0)
    none = helper.make_node("Mul", ["sum", "nothing"], ["zero"])
    total = helper.make_node("Add", ["found", "zero"], ["output"])
    graph = helper.make_graph(
        [node, zero, none, total],
        "faces",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 5, 8])],
        [onnx.numpy_helper.from_array(np.zeros((), np.float32), "nothing")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "face.onnx")
    return tmp_path / "face.onnx"


def test_with_a_detector_what_it_finds_is_covered(small, detector, monkeypatch):
    crop = next(item for item in read_content(small).items if item.id == "a")
    first, data = crop.rows.to_dicts()[0], next(_crops(small, crop))
    found = FaceFinder(detector).find(decode(data))  # 40 x 20 pixels in 64 x 64
    assert len(found) == 1
    cover_heads = HeadCover(*_tables(small), finder=FaceFinder(detector))
    given = []
    monkeypatch.setattr(faces, "cover_jpeg", lambda data, regions: given.extend(regions) or data)
    cover_heads(first, data)
    assert given[0] == found[0]
    assert len(given) > 1  # it lies too low to be the person's own head: that is covered by proportion
    facts = cover_heads.estimate()
    assert (facts["crops"], facts["detector"]) == (1, "face.onnx")


def test_a_detector_without_its_use_or_its_file(small, tmp_path, capsys):
    arguments = ("export", small, "-o", tmp_path / "out", "--format", "mars", "--faces", tmp_path / "no.onnx")
    code, _, err = call(capsys, *arguments)
    assert (code, "give both" in err) == (2, True)
    code, _, err = call(capsys, *arguments, "--blur-faces")
    assert (code, "There is no detector" in err) == (2, True)
    with pytest.raises(UsageError, match="no detector"):
        FaceFinder(tmp_path)
