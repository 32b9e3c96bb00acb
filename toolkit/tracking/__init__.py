"""People followed through one take by boxes, motion and looks: `track_people(detections, looks, FollowSettings(...))`.

`follow` joins the boxes of one frame to those of the next, `mending` cuts and joins what it made with hindsight, and
`people` calls both.
"""

from .follow import Fate, Followed, FollowSettings, Seen, follow
from .looks import looks_of
from .people import track_people

__all__ = ["Fate", "FollowSettings", "Followed", "Seen", "follow", "looks_of", "track_people"]
