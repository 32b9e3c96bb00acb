"""Ultralytics checkpoints (.pt) as detectors. Use `detect.load_detector("yolo11m.pt", trust_weights=True)`.

Ultralytics is AGPL-3.0 and comes with the extra `yolo`. Reading its checkpoints unpickles them; `detect` decides
whether it may.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import supervision as sv

from ..datasets.errors import UsageError

INPUT = 640
NMS_IOU = 0.6
# Ultralytics reads these when it is imported: no telemetry, downloads or installs, no settings file in the user's home.
SWITCHED_OFF = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def import_yolo() -> type:
    """Ultralytics' class `YOLO`, imported with everything off that it would do unasked."""
    for name, value in SWITCHED_OFF.items():
        os.environ.setdefault(name, value)
    if "YOLO_CONFIG_DIR" not in os.environ:
        os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="reidkit-ultralytics-")
    import PIL.Image

    pillow_open = PIL.Image.open
    from ultralytics import YOLO

    PIL.Image.open = pillow_open  # Ultralytics puts its own in the place of Pillow's
    return YOLO


class UltralyticsDetector:
    """A YOLO checkpoint of Ultralytics; on the GPU where torch has one.

    Raises:
        UsageError: the file can't be read, or finds no people.
    """

    def __init__(self, path: Path, *, sha256: str, confidence: float, threads: int) -> None:
        import torch

        self.name, self.sha256, self.confidence = path.name, sha256, confidence
        self.input_size = (INPUT, INPUT)
        self.device = "cuda:0" if torch.cuda.is_available() else "cpu"
        torch.set_num_threads(threads)
        try:
            self.model = import_yolo()(str(path), task="detect")
            names = self.model.names
        except Exception as error:  # whatever a broken or foreign pickle raises
            raise UsageError(
                f"Ultralytics cannot read '{path}' ({type(error).__name__}: {error}). Fetch the file again."
            ) from None
        self._person = next((index for index, name in names.items() if name.lower() == "person"), None)
        if self._person is None:
            known = ", ".join(list(names.values())[:5])
            raise UsageError(
                f"'{path}' finds no people: its classes are {known} … Use one that has the class 'person'."
            )

    def detect(self, images: Sequence[np.ndarray]) -> list[sv.Detections]:
        """People in each image (uint8 RGB [H, W, 3]), boxes in its pixels, best first."""
        if not images:
            return []
        results = self.model.predict(
            [np.ascontiguousarray(image[..., ::-1]) for image in images],  # it takes arrays as BGR
            conf=self.confidence,
            iou=NMS_IOU,
            imgsz=INPUT,
            classes=[self._person],
            device=self.device,
            verbose=False,
        )
        found = []
        for result in results:
            people = sv.Detections.from_ultralytics(result)
            order = np.argsort(-people.confidence, kind="stable")
            found.append(
                sv.Detections(
                    xyxy=people.xyxy[order].astype(np.float32),
                    confidence=people.confidence[order].astype(np.float32),
                    class_id=np.zeros(len(order), int),
                )
            )
        return found
