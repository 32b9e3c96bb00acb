"""Whether the clocks that feet ask for hold: `checked(tracks, frame, known)`.

The matches are divided in two halves, each of which is asked for itself. A correction is used where it is told from
none, and where the halves agree on it.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from .feet import FootTrack, resample
from .frame import Frame, refined

TOLD = 3.0  # standard deviations that a correction must be from none
LEAST = 0.03  # seconds; less is below a frame
APART = 0.1  # seconds that the halves may differ by, or `TOLD` of their own deviations


def checked(
    tracks: Sequence[FootTrack], frame: Frame, known: Collection[int], movable: Collection[int]
) -> dict[int, str]:
    """Camera -> why its correction isn't used, "" where it is; of the movable cameras but the one compared with.

    Args:
        tracks: on the clocks that the frame was found with. known: cameras whose homography is known.
        movable: those whose clocks may be corrected.
    """
    late = [camera for camera in frame.on_floor if camera != frame.home and camera in movable]
    asked = [camera for camera in late if _told(frame, camera)]
    found = {camera: "" if camera in asked else "no difference can be told" for camera in late}
    if not asked:
        return found
    feet = resample(tracks, frame.offset, frame.drift)
    last = float(feet.step.max()) if len(feet.step) else 0.0
    halves = []
    for half in range(2):
        pairs = [replace(p, agrees=p.agrees & (np.arange(len(p.agrees)) % 2 == half)) for p in frame.used]
        halves.append(refined(feet, pairs, frame.on_floor, known, asked)[1:])
    (one, one_error), (other, other_error) = halves
    for camera in asked:
        for moment in (0.0, last):
            apart = abs(_at(one, camera, moment) - _at(other, camera, moment))
            allowed = TOLD * np.hypot(_at(one_error, camera, moment), _at(other_error, camera, moment))
            if apart > max(APART, min(allowed, 3 * APART)):
                found[camera] = f"refused: two halves of the matches ask for clocks {apart:.2f} s apart"
    return found


def _told(frame: Frame, camera: int) -> bool:
    offset, drift = abs(frame.offset[camera]), abs(frame.drift[camera])
    by_offset = offset > max(LEAST, TOLD * frame.offset_error[camera])
    return bool(by_offset or (drift > 0 and drift > TOLD * frame.drift_error[camera]))


def _at(values: np.ndarray, camera: int, moment: float) -> float:
    return float(values[0, camera] + values[1, camera] * moment)
