"""People followed through one take by boxes, motion and looks.

    boxes = by_frame(detections, steps)             # of the camera (`camera_path`)
    looks = looks_of(take, detections, boxes, embedder, 30.0, folder)
    tracks, counts = track_people(detections, boxes, looks, FollowSettings(fps=25.0))

`follow` joins the boxes of one frame to those of the next, `mending` cuts and joins what it made with hindsight, and
`people` calls both.
"""

from .by_frame import by_frame
from .follow import Fate, Followed, FollowSettings, Seen, follow
from .looks import looks_of
from .people import track_people

__all__ = ["Fate", "FollowSettings", "Followed", "Seen", "by_frame", "follow", "looks_of", "track_people"]
