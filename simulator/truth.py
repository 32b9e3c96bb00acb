"""What `truth.json` says of simulated footage: people with their attributes, and the cameras' calibration.

OUT/<event>/truth/<camera>.txt    MOT lines (`datasets.mot`); the ninth column is the share of a person that is seen
OUT/truth.json                    {"kind", "seed", "fps", "size", "identities", "events", "calibration"}
"""

from .camera import Camera
from .people import Person


def identity(person: Person, event: str) -> dict[str, object]:
    """What truth.json says of one person."""
    return {"event": event, **person.attributes, "height_m": round(person.height, 3)}


def calibration(camera: Camera) -> dict[str, object]:
    """Pinhole calibration: pixels = K (R X + t), X in metres on a floor with z up."""
    return {
        "K": camera.K.round(6).tolist(),
        "R": camera.R.round(9).tolist(),
        "t": camera.t.round(6).tolist(),
        "width": camera.size[0],
        "height": camera.size[1],
    }
