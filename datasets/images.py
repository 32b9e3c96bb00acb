"""The one decoder of JPEG and PNG crops, strict: a cut file is no image.

Example:

    image = crop(tracklet.frames, 0)       # uint8 RGB [H, W, 3], or an error that names the file
    image = decode(data)                   # the same of encoded bytes, or None
"""

import cv2
import numpy as np

from .errors import UsageError
from .tracklet import Frames


def decode(data: bytes, *, upright: bool = False) -> np.ndarray | None:
    """Encoded JPEG or PNG as uint8 RGB [H, W, 3]; None where `data` is no whole image.

    Args:
        upright: whether the picture is turned as its EXIF tag says; crops are stored as they are to be seen.
    """
    # Older OpenCV fills the missing part of a cut JPEG with grey and returns it; the end marker tells.
    if not data or (data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-1024:]):
        return None
    try:
        flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # more pixels than OpenCV allows
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def crop(frames: Frames, index: int) -> np.ndarray:
    """Frame `index` of a tracklet, decoded: uint8 RGB [H, W, 3].

    Raises:
        UsageError: the file is absent, cut, or no JPEG or PNG; it is named.
    """
    image = decode(frames.read(index))
    if image is None:
        path, offset, length = frames.place(index)
        where = "" if length < 0 else f" at byte {offset}"
        raise UsageError(
            f"Frame {index} ('{path}'{where}) is no whole JPEG or PNG. Fetch that file again, or delete it and build "
            "the dataset again."
        )
    return image
