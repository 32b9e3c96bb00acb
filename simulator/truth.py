"""Ground truth of simulated footage: boxes a camera as MOT lines, and `truth.json` with attributes and calibration.

OUT/<event>/truth/<camera>.txt    frame (from 1), id, x, y, w, h (pixels), 1, 1, visible share
OUT/truth.json                    {"kind", "seed", "fps", "size", "identities", "events", "calibration"}
"""

from pathlib import Path

from ..datasets.errors import UsageError
from ..datasets.files import write_atomic
from .camera import Camera
from .people import Person


def mot_line(frame: int, person: int, box: tuple[float, float, float, float], visible: float) -> str:
    """One MOTChallenge line; `frame` counts from 1, `box` is x, y, w, h in pixels from the top left corner."""
    x, y, w, h = box
    return f"{frame},{person},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,1,{visible:.3f}"


def write_mot(path: Path, lines: list[str]) -> None:
    write_atomic(path, "".join(f"{line}\n" for line in lines))


def read_mot(path: Path | str) -> list[tuple[int, int, float, float, float, float, float]]:
    """(frame, id, x, y, w, h, visibility) of every line, in the file's order.

    Raises:
        UsageError: a line is not `frame,id,x,y,w,h,…` in numbers.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split(",")
        try:
            frame, person = int(float(parts[0])), int(float(parts[1]))
            x, y, w, h = (float(v) for v in parts[2:6])
            visible = float(parts[8]) if len(parts) > 8 else 1.0
        except (ValueError, IndexError) as error:
            raise UsageError(
                f"Line {number} of '{path}' is '{line[:60]}', expected MOT `frame,id,x,y,w,h,…` in numbers."
            ) from error
        rows.append((frame, person, x, y, w, h, visible))
    return rows


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
