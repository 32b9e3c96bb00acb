"""Stage 7: which tracklets of an event show the same person."""

from .calibration import Calibration
from .link import UNDECIDED, Links, LinkSettings, link
from .observations import Observations

__all__ = ["UNDECIDED", "Calibration", "LinkSettings", "Links", "Observations", "link"]
