"""Stage 7: which tracklets of an event show the same person."""

from .calibration import Calibration
from .link import UNDECIDED, Links, LinkSettings, link
from .observations import Evidence, Observations
from .returning import Candidate, Portraits, portraits, returning

__all__ = [
    "UNDECIDED",
    "Calibration",
    "Candidate",
    "Evidence",
    "LinkSettings",
    "Links",
    "Observations",
    "Portraits",
    "link",
    "portraits",
    "returning",
]
