"""What is done to a detector's boxes, whatever detector it is: the flip test, and one box a person.

    detector = refined(detector, flip_test=True, drop_duplicates=True)
    (people,) = detector.detect([image])
    people.metadata["duplicates"]            # second boxes that were dropped

The flip test looks at every image and at its mirror image and fuses the boxes of both (weighted boxes fusion, Solovyev
et al., 2021, arXiv 1910.13302): what was found once only keeps half of its confidence. It takes twice the time.

A duplicate is a clearly weaker box that lies almost wholly in a better one and fills a good part of it, as one of
somebody's upper body does. Somebody small before or behind a large one is none.
"""

from collections.abc import Sequence

import numpy as np
import supervision as sv

from .detect import Detector

SAME = 0.6  # intersection over union from which a box of the mirror image is the same person's
INSIDE = 0.9  # share of a duplicate that lies in the better box
FILLS = 0.4  # least intersection over union of the two
WEAKER = 0.7  # most that a duplicate's confidence is of the better box's


def refined(detector: Detector, *, flip_test: bool, drop_duplicates: bool) -> Detector:
    """`detector` itself where nothing is asked of it."""
    return Refined(detector, flip_test, drop_duplicates) if flip_test or drop_duplicates else detector


class Refined:
    """A detector whose boxes are fused with those of mirrored images, or rid of duplicates, or both."""

    def __init__(self, detector: Detector, flip_test: bool, drop_duplicates: bool) -> None:
        self.detector, self.flip_test, self.drop_duplicates = detector, flip_test, drop_duplicates
        self.name, self.sha256, self.input_size = detector.name, detector.sha256, detector.input_size
        self.calls_at_once = getattr(detector, "calls_at_once", False)
        # Half a confidence may be less than the detector itself would give out.
        self.confidence = getattr(detector, "confidence", 0.0)

    def detect(self, images: Sequence[np.ndarray]) -> list[sv.Detections]:
        """As `Detector.detect`; `metadata["duplicates"]` says how many boxes were dropped."""
        found = self.detector.detect(images)
        if self.flip_test:
            mirrored = self.detector.detect([np.ascontiguousarray(image[:, ::-1]) for image in images])
            found = [
                fuse(one, mirror(two, image.shape[1]), self.confidence)
                for one, two, image in zip(found, mirrored, images, strict=True)
            ]
        return [without_duplicates(people) for people in found] if self.drop_duplicates else found


def mirror(people: sv.Detections, width: int) -> sv.Detections:
    """The same boxes in an image of `width` pixels that is seen in a mirror."""
    x1, y1, x2, y2 = people.xyxy.T
    return _detections(np.stack([width - x2, y1, width - x1, y2], 1), people.confidence)


def fuse(one: sv.Detections, two: sv.Detections, least: float) -> sv.Detections:
    """The boxes of two looks at one image: the mean of a pair, weighted by confidence, and half of what is alone.

    Pairs are made from the best box of `one` on, each with the free box of `two` that overlaps it most, from `SAME` on.

    Args:
        least: fused boxes of a lower confidence are left out.
    """
    overlap = sv.box_iou_batch(one.xyxy, two.xyxy) if len(one) and len(two) else np.zeros((len(one), len(two)))
    free = np.ones(len(two), bool)
    boxes, scores = [], []
    for i in np.argsort(-one.confidence, kind="stable"):
        box, score = one.xyxy[i], one.confidence[i]
        open_to = np.where(free, overlap[i], 0.0)
        j = int(open_to.argmax()) if len(two) else -1
        if j >= 0 and open_to[j] >= SAME:
            free[j] = False
            other = two.confidence[j]
            box = (score * box + other * two.xyxy[j]) / (score + other)
            score = score + other
        boxes.append(box)
        scores.append(score / 2)
    boxes.extend(two.xyxy[free])
    scores.extend(two.confidence[free] / 2)
    fused, values = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)
    order = [int(k) for k in np.argsort(-values, kind="stable") if values[k] >= least]
    return _detections(fused[order], values[order])


def without_duplicates(people: sv.Detections) -> sv.Detections:
    """The boxes that are no duplicate of a better one that stays; `metadata["duplicates"]` counts the others."""
    boxes, scores = people.xyxy.astype(np.float64), people.confidence
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    low, high = np.maximum(boxes[:, None, :2], boxes[:, :2]), np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    # [weaker, better]
    inside = shared >= INSIDE * area[:, None]
    fills = shared >= FILLS * (area[:, None] + area - shared)
    doubles = inside & fills & (scores[:, None] <= WEAKER * scores)
    kept = np.zeros(len(people), bool)
    for i in np.argsort(-scores, kind="stable"):
        kept[i] = not (doubles[i] & kept).any()
    left = _detections(people.xyxy[kept], scores[kept])
    left.metadata["duplicates"] = int((~kept).sum())
    return left


def _detections(boxes: np.ndarray, scores: np.ndarray) -> sv.Detections:
    return sv.Detections(
        xyxy=boxes.astype(np.float32).reshape(-1, 4),
        confidence=scores.astype(np.float32),
        class_id=np.zeros(len(scores), int),
    )
