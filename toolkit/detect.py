"""Person detectors by name or file: `load_detector("yolox_nano.onnx").detect([image])`.

    detector = load_detector("simulated")                    # ships with reidkit, for simulated footage
    detector = load_detector("weights/yolox_nano.onnx")      # YOLOX (Apache-2.0) through ONNX Runtime
    detector = load_detector("exported/yolo11m.onnx")        # exported by Ultralytics; the output's shape tells
    detector = load_detector("yolo11m.pt")                   # Ultralytics itself (AGPL, extra `yolo`)

A bare name is looked for in the working folder, then in the cache that `reidkit weights get` fills. An .onnx file is
data. An Ultralytics .pt is a pickle, which runs code when it is read: it is read only when it is a known release or was
fetched by `reidkit weights get` (`training.weights.vouched`), or when the caller trusts it.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..datasets.cores import usable_cores
from ..datasets.errors import UsageError, choices
from ..datasets.files import sha256_file
from ..training import weights

if TYPE_CHECKING:
    import supervision as sv

ASSETS = Path(__file__).resolve().parent / "assets"
SIMULATED = "simulated"
# Low, because ByteTrack's second association lives on boxes that no track may start from.
DEFAULT_CONFIDENCE = 0.1
# Where tracks start, for detectors that don't say otherwise.
TRACK_CONFIDENCE = 0.5
# The detector of simulated footage is small and cautious: at 0.4 its precision is 0.95, its recall 0.8. Below 0.3 its
# second boxes on one person, each of them a rival, cut more tracks than its weak boxes keep alive.
SIMULATED_CONFIDENCE = 0.3
SIMULATED_TRACK_CONFIDENCE = 0.4

_FAMILIES = ("yolov8", "yolov9", "yolov10", "yolo11", "yolo12", "yolo26")


class Detector(Protocol):
    """What the builder asks of a detector.

    It may say with an attribute `track_confidence` which of its boxes a track may start from (`TRACK_CONFIDENCE` else),
    and with `drop_duplicates` whether second boxes on a person are to be dropped (`refine`; they are, else).

    Attributes:
        name: for the manifest. sha256: of the weights.
        input_size: (width, height) in pixels that images are fitted into; smaller ones may be given, larger ones waste
            time.
    """

    name: str
    sha256: str
    input_size: tuple[int, int]

    def detect(self, images: Sequence[np.ndarray]) -> "list[sv.Detections]":
        """People in each image (uint8 RGB [H, W, 3]): `xyxy` in that image's pixels, `confidence`, best first."""
        ...


def load_detector(
    name: str | Path, *, confidence: float | None = None, trust_weights: bool = False, threads: int | None = None
) -> Detector:
    """The detector of that name or file.

    Args:
        name: "simulated", an .onnx or .pt file, or the name of an Ultralytics release ("yolo11m.pt", "yolo11m").
        confidence: boxes below are left out; None is `DEFAULT_CONFIDENCE`, `SIMULATED_CONFIDENCE` for "simulated".
        trust_weights: read a .pt that nobody vouches for.
        threads: of ONNX Runtime and torch; None is all processors of this process.

    Raises:
        MissingWeights: a file that `reidkit weights get` can fetch is not here.
        UsageError: unknown name, absent or unusable file, a .pt that nobody vouches for, missing extra.
    """
    text = str(name)
    if confidence is None:
        confidence = SIMULATED_CONFIDENCE if text == SIMULATED else DEFAULT_CONFIDENCE
    if not 0 < confidence < 1:
        raise UsageError(f"Detector confidence {confidence} is out of range; it lies between 0 and 1, as 0.1.")
    threads = threads or usable_cores()
    if text == SIMULATED:
        path = ASSETS / "detector.onnx"
        if not path.is_file():
            raise UsageError(
                f"The detector of simulated footage is not installed ('{path.name}'); install reidkit again."
            )
        detector = _onnx(path, SIMULATED, confidence, threads)
        detector.track_confidence = SIMULATED_TRACK_CONFIDENCE
        # In the simulator's crowds as many boxes that look like duplicates are on people half hidden.
        detector.drop_duplicates = False
        return detector
    path = Path(text).expanduser()
    if path.suffix == "" and not path.exists() and text.startswith(_FAMILIES):
        path = path.with_name(path.name + ".pt")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        otherwise = "give the path of a YOLOX or Ultralytics .onnx file, or --detector simulated"
        path = weights.at_hand(path, "detector", otherwise)
        return _onnx(path, path.name, confidence, threads)
    if suffix == ".pt":
        return _ultralytics(path, confidence, trust_weights, threads)
    known = (SIMULATED, "PATH.onnx", "PATH.pt", *(f"{family}{size}.pt" for family in _FAMILIES[3:] for size in "nsmlx"))
    raise UsageError(choices(text, known, "detector"))


def _onnx(path: Path, name: str, confidence: float, threads: int) -> Detector:
    from .yolo_onnx import OnnxDetector

    return OnnxDetector(path, name=name, sha256=sha256_file(path), confidence=confidence, threads=threads)


def _ultralytics(path: Path, confidence: float, trust_weights: bool, threads: int) -> Detector:
    if find_spec("ultralytics") is None:
        raise UsageError(
            f"'{path.name}' needs Ultralytics (AGPL-3.0), which is not installed. "
            "`pip install 'reidkit[yolo]'`, or use a YOLOX file, which needs nothing more: --detector yolox_s.onnx."
        )
    otherwise = "use a YOLOX file (Apache-2.0), as --detector yolox_s.onnx"
    path = weights.at_hand(path, "detector", otherwise)
    digest = sha256_file(path)
    if not trust_weights and not weights.vouched(digest):
        raise UsageError(
            f"'{path}' (sha256 {digest}) is no known release and was not fetched by `reidkit weights get`, and reading "
            "a .pt runs code that is in it. If you know where it comes from add --trust-weights, or use an .onnx file."
        )
    from .ultralytics_yolo import UltralyticsDetector

    return UltralyticsDetector(path, sha256=digest, confidence=confidence, threads=threads)
