"""`truth.json`, what is known of footage besides its boxes: who the people are, and how the cameras stand.

    truth = read_truth(raw / "truth.json")
    truth.identities["7"]["shoes"]                        # "red shoes"; the id is that of the annotated boxes
    truth.calibration["sports01"]["cam1"].K

An id means one person in all footage beside which the file lies. Only `identities` is needed.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from .files import write_json
from .schema import read_json

TRUTH = "truth.json"
Vector = tuple[float, float, float]


class EventTruth(msgspec.Struct, frozen=True, kw_only=True):
    """One event.

    Attributes:
        cameras: names of its videos.
        sequences: names of the MOTChallenge sequences that show it.
        people: ids.
        frames: of each camera.
    """

    kind: str | UnsetType = UNSET
    cameras: tuple[str, ...] | UnsetType = UNSET
    sequences: tuple[str, ...] | UnsetType = UNSET
    people: tuple[int, ...]
    frames: int | UnsetType = UNSET


class Calibration(msgspec.Struct, frozen=True):
    """A pinhole camera: pixels = K (R X + t), X in metres on a floor with z up; width and height in pixels."""

    K: tuple[Vector, Vector, Vector]
    R: tuple[Vector, Vector, Vector]
    t: Vector
    width: int
    height: int


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        size: width and height of the pictures in pixels.
        note: what a reader must know of the ids.
        identities: id -> attributes of the person.
        annotated_ids: sequence -> id in its original annotation -> id.
        calibration: event -> camera.
    """

    kind: str | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    fps: float | UnsetType = UNSET
    seconds: float | UnsetType = UNSET
    size: tuple[int, int] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    identities: dict[str, dict[str, Any]]
    annotated_ids: dict[str, dict[str, int]] | UnsetType = UNSET
    events: dict[str, EventTruth] = {}
    calibration: dict[str, dict[str, Calibration]] = {}


def read_truth(path: Path) -> Truth:
    """
    Raises:
        UsageError: the file can't be read, or has another form; the place in it is named.
    """
    return read_json(path, Truth, "Mend that file, or take it away.")


def write_truth(path: Path, truth: Truth) -> None:
    """Writes the file, whole or not at all."""
    write_json(path, msgspec.to_builtins(truth))
