"""YOLO detectors in ONNX files: YOLOX (undecoded) and those that Ultralytics exports. Use `detect.load_detector(path)`.

The output's shape says which it is:

    [B, N, 5 + C]   YOLOX (Ge et al., 2021, arXiv 2107.08430): offsets of the centre to a grid, logarithm of the size,
                    objectness, classes
    [B, 4 + C, N]   Ultralytics: centre and size of the box in pixels of the input, classes
    [B, N, 6]       Ultralytics with suppression inside: corners, confidence, class

A file whose input has a height and width of its own is given images fitted into these; one of dynamic size is given
every image in its own shape, with the longer side as long as the file says its input is.
"""

import ast
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import supervision as sv

from ..datasets.errors import UsageError
from .onnx_session import open_session, with_one_thread

STRIDES = (8, 16, 32)
BACKGROUND = 114  # grey of the letterbox, as both families were trained with
# At 0.65 the second box of a doubled person survives often enough to break a track.
NMS_IOU = 0.6
DEFAULT_SIZE = 640  # of exports with a dynamic size that don't say theirs
PERSON = "person"


class OnnxDetector:
    """A YOLO in an .onnx file, on the GPU where ONNX Runtime has one.

    Raises:
        UsageError: the file is no ONNX model, or its input or output is not one of the three above.
    """

    def __init__(self, path: Path, *, name: str, sha256: str, confidence: float, threads: int) -> None:
        self.name, self.sha256, self.confidence = name, sha256, confidence
        self.calls_at_once, self._path = False, path
        self.session = open_session(path, threads)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        meta = self.session.get_modelmeta().custom_metadata_map
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != 3:
            raise UsageError(
                f"'{path}' takes {shape or 'several inputs'}; a detector takes one image tensor [B, 3, H, W]."
            )
        self._input = inputs[0].name
        self._half = "float16" in inputs[0].type
        self._fixed = isinstance(shape[2], int) and isinstance(shape[3], int)
        width, height = _size(shape, meta)
        # Of a dynamic one the square into which frames of any shape are shrunk before it sees them.
        self.input_size = (width, height) if self._fixed else (max(width, height),) * 2
        self._batch = shape[0] if isinstance(shape[0], int) else None
        self._output = outputs[0].name
        # The shape in the file may be symbolic: the layout is read off a real output.
        found = self._run(np.zeros((1, height, width, 3), np.uint8), layout="ultralytics").shape
        cells = len(_grid(width, height)[0])
        self._layout = _layout(found, cells)
        if self._layout is None:
            raise UsageError(
                f"'{path}' puts out {list(found)}; known are YOLOX [B, {cells}, 5 + classes] "
                "and Ultralytics [B, 4 + classes, N] or [B, N, 6]."
            )
        self._person = _person_class(meta)

    def one_thread_a_call(self) -> "OnnxDetector":
        """The same, for several calls at once (`at_once`); itself on a GPU."""
        return with_one_thread(self)

    def detect(self, images: Sequence[np.ndarray]) -> list[sv.Detections]:
        """People in each image (uint8 RGB [H, W, 3]), boxes in its pixels, best first."""
        found: list[sv.Detections] = [sv.Detections.empty()] * len(images)
        sizes = [self.size_for(image.shape[1], image.shape[0]) for image in images]
        for size in dict.fromkeys(sizes):
            alike = [k for k, other in enumerate(sizes) if other == size]
            for k, people in zip(alike, self._detect_alike([images[k] for k in alike], size), strict=True):
                found[k] = people
        return found

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the input that an image of that size is given in."""
        return self.input_size if self._fixed else own_shape(width, height, self.input_size[0])

    def _detect_alike(self, images: Sequence[np.ndarray], size: tuple[int, int]) -> list[sv.Detections]:
        """`detect` for images that are given in one size."""
        boxed = [letterbox(image, size) for image in images]
        batch = np.stack([picture for picture, _ in boxed])
        step = self._batch or len(batch)
        found = []
        for at in range(0, len(batch), step):
            part = batch[at : at + step]
            short = step - len(part)
            if short:  # a fixed batch size above one
                part = np.concatenate([part, np.zeros((short, *part.shape[1:]), np.uint8)])
            found.extend(self._run(part, self._layout)[: step - short])
        return [self._people(raw, scale, size) for raw, (_, scale) in zip(found, boxed, strict=True)]

    def _run(self, batch: np.ndarray, layout: str) -> np.ndarray:
        """Raw output of `batch` (uint8 RGB [B, H, W, 3]). YOLOX takes BGR 0-255, Ultralytics RGB 0-1."""
        if layout == "yolox":
            values = batch[..., ::-1].astype(np.float32)
        else:
            values = batch.astype(np.float32) / 255.0
        values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        if self._half:
            values = values.astype(np.float16)
        if self._batch and len(values) < self._batch:
            values = np.repeat(values, self._batch, axis=0)
        return np.asarray(self.session.run([self._output], {self._input: values})[0], np.float32)

    def _people(self, raw: np.ndarray, scale: float, size: tuple[int, int]) -> sv.Detections:
        """Boxes of one image in its own pixels: above the confidence, overlapping ones suppressed."""
        if self._layout == "corners":
            boxes, scores = raw[:, :4], raw[:, 4] * (raw[:, 5].round() == self._person)
        elif self._layout == "yolox":
            boxes, scores = decode_yolox(raw, *_grid(*size), self._person)
        else:
            boxes, scores = _corners(raw[:4].T), raw[4 + self._person]
        keep = scores >= self.confidence
        boxes, scores = boxes[keep] / scale, scores[keep]
        order = np.argsort(-scores, kind="stable")
        found = sv.Detections(
            xyxy=boxes[order].astype(np.float32).reshape(-1, 4),
            confidence=scores[order].astype(np.float32),
            class_id=np.zeros(len(order), int),
        )
        return found.with_nms(threshold=NMS_IOU, class_agnostic=True) if len(found) else found


def own_shape(width: int, height: int, longest: int) -> tuple[int, int]:
    """The least multiples of the largest stride that hold an image of that shape with a longer side of `longest`.

    >>> own_shape(1920, 1080, 640), own_shape(360, 640, 544)
    ((640, 384), (320, 544))
    """
    scale, step = longest / max(width, height), STRIDES[-1]
    wide, high = (step * math.ceil(max(1, round(side * scale)) / step) for side in (width, height))
    return wide, high


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """`image` fitted into the top left corner of a grey picture of `size` (width, height), and the scale of that.

    >>> picture, scale = letterbox(np.zeros((360, 640, 3), np.uint8), (320, 320))
    >>> picture.shape, scale
    ((320, 320, 3), 0.5)
    """
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    if fitted != (width, height):
        image = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)
    picture = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    picture[: fitted[1], : fitted[0]] = image
    return picture, scale


def decode_yolox(raw: np.ndarray, grid: np.ndarray, stride: np.ndarray, person: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners [N, 4] in input pixels and confidences [N] of YOLOX's output [N, 5 + C]: (xy + grid) * s, exp(wh) * s."""
    centre = (raw[:, :2] + grid) * stride
    size = np.exp(np.minimum(raw[:, 2:4], 20.0)) * stride
    return _corners(np.concatenate([centre, size], axis=1)), raw[:, 4] * raw[:, 5 + person]


def _corners(boxes: np.ndarray) -> np.ndarray:
    """[N, 4] centre and size -> corners."""
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


@cache
def _grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Cell positions [N, 2] and strides [N, 1] of YOLOX's three levels, row by row."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((cells[-1].shape[0], 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _layout(shape: tuple[int, ...], cells: int) -> str | None:
    if len(shape) != 3:
        return None
    if shape[2] == 6 and shape[1] != cells:
        return "corners"
    if shape[1] == cells and shape[2] >= 6:
        return "yolox"
    return "ultralytics" if 5 <= shape[1] < shape[2] else None


def _size(shape: Sequence[object], meta: dict[str, str]) -> tuple[int, int]:
    """(width, height) of the input: fixed in the graph, or in Ultralytics' metadata `imgsz` ([height, width])."""
    height, width = shape[2], shape[3]
    if isinstance(height, int) and isinstance(width, int):
        return width, height
    try:
        height, width = ast.literal_eval(meta.get("imgsz", ""))
        return int(width), int(height)
    except (ValueError, SyntaxError, TypeError):
        return DEFAULT_SIZE, DEFAULT_SIZE


def _person_class(meta: dict[str, str]) -> int:
    """Index of the class "person" in Ultralytics' metadata; 0, as in COCO, where there are no names."""
    try:
        names = ast.literal_eval(meta.get("names", ""))
    except (ValueError, SyntaxError):
        return 0
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return next((int(index) for index, name in pairs if str(name).lower() == PERSON), 0)
