"""What a video re-ID dataset is, and how to read one."""

from .errors import LossError, ReidkitError, UsageError
from .tracklet import DISTRACTOR, JUNK, Frames, Kind, ReidDataset, Tracklet

__all__ = [
    "DISTRACTOR",
    "JUNK",
    "Frames",
    "Kind",
    "LossError",
    "ReidDataset",
    "ReidkitError",
    "Tracklet",
    "UsageError",
]
