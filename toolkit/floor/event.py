"""The floor of one event from its pieces of tracklets: `event_floor(works, pieces, observations, settings)`.

    floor = event_floor(works, pieces, seen, FloorSettings())
    scene = scene_of(works, pieces, floor, identity)        # for `picture.write_picture`

The settings say whether it is looked for at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..linking.observations import Observations, camera_centred
from ..pieces import Piece, SourceWork
from ..video import FrameReader
from .feet import STEP, Feet, FootTrack, foot_track, none_of, resample, stands
from .find import Floor, find_floor
from .picture import Scene, View, moment
from .settings import FloorSettings
from .sound import loudness

# Share of a take's frames in which the camera is seen to move, from which it has no floor. A standing one may seem to,
# under moving light; one that moves less doesn't pass the check on held-out matches.
MOVES = 0.5
PICTURE = (960, 960)  # pixels that a view's picture is shrunk to fit within


@dataclass(frozen=True)
class EventFloor:
    """An event's floor.

    Attributes:
        floor: what was found. feet: of all pieces, on its clocks; None where there is no floor.
    """

    floor: Floor
    feet: Feet | None


def event_floor(
    works: Sequence[SourceWork], pieces: Sequence[Piece], seen: Observations, settings: FloorSettings
) -> EventFloor:
    """What the floor says of an event's tracklets.

    Args:
        works: its takes, one a camera.
        pieces: those that are linked. seen: what linking sees of them.
    """
    names = [work.take.source.camera for work in works]
    if settings.use == "off" or len(works) < 2 or not len(pieces):
        return EventFloor(find_floor(names, [], np.zeros((0, 1)), {}, [], [], settings), None)
    moving = {k for k, work in enumerate(works) if _moves(work)}
    tracks = foot_tracks(works, pieces)
    tracks = [none_of(track) if track.camera in moving else track for track in tracks]
    given = {k: np.array(work.take.source.floor) for k, work in enumerate(works) if work.take.source.floor}
    sources = [work.take.source for work in works]
    sounds = [loudness(source.path) if source.images is None else None for source in sources]
    offsets = [source.offset for source in sources]
    floor = find_floor(names, tracks, camera_centred(seen), given, sounds, offsets, settings)
    frame = floor.frame
    if moving:
        floor.facts["moving"] = [names[k] for k in sorted(moving)]
    return EventFloor(floor, resample(floor.tracks, frame.offset, frame.drift) if frame else None)


def _moves(work: SourceWork) -> bool:
    """Whether the camera moves: no one homography holds then."""
    counts = work.extracted.counts
    return counts.get("frames_camera_moved", 0) > MOVES * counts.get("frames_read", 0)


def foot_tracks(works: Sequence[SourceWork], pieces: Sequence[Piece]) -> list[FootTrack]:
    """The feet of each piece on the event's clock; cameras are numbered as the takes are."""
    number = {work.take.source.key: k for k, work in enumerate(works)}
    feet: list[dict[int, pl.DataFrame]] = []
    for work in works:
        table = stands(work.extracted.tracks, work.take.width, work.take.height)
        feet.append({int(track): rows for (track,), rows in table.group_by(["track"], maintain_order=True)})
    none = stands(works[0].extracted.tracks.head(0), 1, 1)
    found = []
    for piece in pieces:
        source = piece.work.take.source
        camera = number[source.key]
        rows = feet[camera].get(int(piece.local), none)
        found.append(foot_track(camera, rows, piece.start, piece.end, source.offset))
    return found


def scene_of(
    works: Sequence[SourceWork], pieces: Sequence[Piece], found: EventFloor, identity: np.ndarray
) -> Scene | None:
    """What the picture shows of an event; None where no floor is known.

    Args:
        identity: [pieces] number of each one's person, below 0 for junk.
    """
    frame, feet = found.floor.frame, found.feet
    if frame is None or feet is None:
        return None
    step = moment(feet, list(frame.on_floor))
    views = []
    for camera, work in enumerate(works):
        source = work.take.source
        offset, drift = found.floor.clocks.get(camera, (0.0, 0.0))
        own = (step * STEP - offset) / (1 + drift) - source.offset
        start = float(np.clip(own, 0, max(work.take.duration - 1 / work.take.fps, 0)))
        reader = FrameReader(source, max(0.0, start - 0.5 / work.take.fps), start + 3 / work.take.fps, size=PICTURE)
        image = next((shown.image for shown in reader), None) if camera in frame.on_floor else None
        views.append(View(source.camera, image, work.take.width, work.take.height))
    return Scene(works[0].take.source.event, frame, feet, identity, step, views)
