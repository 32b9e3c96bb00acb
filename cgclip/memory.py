"""Which frames the first CLIP-Memory is made of; the memory itself is TF-CLIP's (`baselines.clip_memory`).

    tracklets = [thin(tracklet, 4) for tracklet in dataset.train]

A tower that trains from scratch reads a few frames of each tracklet instead of all.
"""

from dataclasses import replace

from ..datasets import Tracklet


def thin(tracklet: Tracklet, count: int) -> Tracklet:
    """The tracklet with `count` of its frames, evenly spread; itself where it has no more, or `count` is 0.

    For a tower that trains from scratch: its first prototypes are soon left behind, so they need not cost all frames.
    """
    frames = tracklet.frames
    if count == 0 or len(frames) <= count:
        return tracklet
    keep = [(2 * i + 1) * len(frames) // (2 * count) for i in range(count)]

    def pick(values: tuple) -> tuple:
        return tuple(values[i] for i in keep)

    if frames.offsets is None:
        return replace(tracklet, frames=replace(frames, files=pick(frames.files)))
    return replace(tracklet, frames=replace(frames, offsets=pick(frames.offsets), lengths=pick(frames.lengths)))
