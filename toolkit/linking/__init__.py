"""Stage 7: which tracklets of an event show the same person."""

from .calibration import Calibration
from .link import UNDECIDED, Links, LinkSettings, link
from .observations import Evidence, Observations

__all__ = ["UNDECIDED", "Calibration", "Evidence", "LinkSettings", "Links", "Observations", "link"]
