"""People followed through one take by boxes, motion and looks.

    standing = stand_still(detections)                      # with the camera's motion taken out
    looks = looks_of(take, detections, standing, embedder, 30.0, folder)
    tracks, counts = track_people(detections, standing, looks, FollowSettings(fps=25.0))

`follow` joins the boxes of one frame to those of the next, `mending` cuts and joins what it made with hindsight, and
`people` calls both.
"""

from .camera import stand_still
from .follow import Fate, Followed, FollowSettings, Seen, follow
from .looks import looks_of
from .people import track_people

__all__ = ["Fate", "FollowSettings", "Followed", "Seen", "follow", "looks_of", "stand_still", "track_people"]
