"""What `truth.json` (`datasets.truth`) says of a simulated person and of a simulated camera."""

from ..datasets.truth import Calibration
from .camera import Camera
from .people import Person


def identity(person: Person, event: str) -> dict[str, object]:
    """The attributes of one person; height in metres."""
    return {"event": event, **person.attributes, "height_m": round(person.height, 3)}


def calibration(camera: Camera) -> Calibration:
    """How the camera stands and what it sees."""
    return Calibration(
        K=tuple(map(tuple, camera.K.round(6).tolist())),
        R=tuple(map(tuple, camera.R.round(9).tolist())),
        t=tuple(camera.t.round(6).tolist()),
        width=camera.size[0],
        height=camera.size[1],
    )
