"""Which frames the first CLIP-Memory is made of; the memory itself is TF-CLIP's (`baselines.clip_memory`).

    tracklets = [thin(tracklet, 4) for tracklet in dataset.train]

A few frames of a tracklet are enough where the tower trains from scratch and leaves its first prototypes behind.
"""

from dataclasses import replace

from ..datasets import Tracklet
from ..datasets.sampling import middle_frames


def thin(tracklet: Tracklet, count: int) -> Tracklet:
    """The tracklet with `count` of its frames, evenly spread; itself where it has no more, or `count` is 0."""
    frames = tracklet.frames
    if count == 0 or len(frames) <= count:
        return tracklet
    keep = middle_frames(len(frames), count)

    def pick(values: tuple) -> tuple:
        return tuple(values[i] for i in keep)

    if frames.offsets is None:
        return replace(tracklet, frames=replace(frames, files=pick(frames.files)))
    return replace(tracklet, frames=replace(frames, offsets=pick(frames.offsets), lengths=pick(frames.lengths)))
