"""Made-up footage for the builder: coloured people on grey, a detector and an embedder that see colour.

A test's processes import this module by its name.
"""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import supervision as sv

SIZE, RATE, SECONDS = (240, 160), 10, 3
# The first event's people and the second's, RGB.
PEOPLE = {1: (220, 40, 40), 2: (40, 200, 60), 3: (50, 70, 220), 4: (220, 200, 40), 5: (200, 60, 200), 6: (40, 210, 210)}


def paint(people, frame, camera):
    """People walk side by side, a little differently in each camera; boxes are [x, y, w, h]."""
    image = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    boxes = {}
    for place, person in enumerate(people):
        x = 8 + 78 * place + 3 * camera + int(8 * np.sin(0.3 * frame + place))
        y = 30 + 10 * camera + 2 * place
        image[y : y + 84, x : x + 40] = PEOPLE[person]
        image[y : y + 14, x + 10 : x + 30] = 225  # a head
        image[y + 20 + frame % 7 : y + 24 + frame % 7, x : x + 40] = 30  # something that moves: no near-duplicates
        boxes[person] = (x, y, 40, 84)
    return image, boxes


def film(path, people, camera, seconds=SECONDS, truth=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 4_000_000
        for index in range(seconds * RATE):
            image, boxes = paint(people, index, camera)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
            lines += [f"{index + 1},{p},{x},{y},{w},{h},1,1,1" for p, (x, y, w, h) in boxes.items()]
        for packet in stream.encode():
            container.mux(packet)
    if truth:
        notes = path.parent / "truth" / f"{path.stem}.txt"
        notes.parent.mkdir(exist_ok=True)
        notes.write_text("\n".join(lines) + "\n")


class ColourDetector:
    """Boxes of what is strongly coloured."""

    name, sha256, input_size, confidence = "colour", "0" * 64, SIZE, 0.1

    def detect(self, images):
        found = []
        for image in images:
            strong = (image.max(2).astype(int) - image.min(2) > 60).astype(np.uint8)
            strong = cv2.morphologyEx(strong, cv2.MORPH_CLOSE, np.ones((13, 13), np.uint8))
            count, _, stats, _ = cv2.connectedComponentsWithStats(strong)
            boxes = [(x, y - 2, x + w, y + h) for x, y, w, h, area in stats[1:count] if area > 400]
            found.append(
                sv.Detections(
                    xyxy=np.array(boxes, np.float32).reshape(-1, 4),
                    confidence=np.full(len(boxes), 0.9, np.float32),
                    class_id=np.zeros(len(boxes), int),
                )
            )
        return found


class ColourEmbedder:
    """A crop's histogram of hue."""

    name, sha256 = "hue", "1" * 64

    def embed(self, images):
        rows = []
        for image in images:
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            hue = np.histogram(hsv[..., 0][hsv[..., 1] > 90], 12, (0, 180))[0].astype(np.float32) + 1.0
            rows.append(hue / np.linalg.norm(hue))
        return np.array(rows, np.float32)


def load_colour_detector(threads=None):
    return ColourDetector()


def load_colour_embedder(threads=None):
    return ColourEmbedder()


def write_footage(raw: Path) -> Path:
    """Two events with three people each, two cameras; the second camera sees two of them. Who they are lies beside."""
    for event, people in (("gala", (1, 2, 3)), ("match", (4, 5, 6))):
        film(raw / event / "left.mp4", people, 0)
        film(raw / event / "right.mp4", people[::-1][:2], 1)
    identities = {str(p): {"shirt": f"colour {p}", "height": 170 + p} for p in PEOPLE}
    (raw / "truth.json").write_text(json.dumps({"identities": identities}))
    return raw
