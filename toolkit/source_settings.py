"""`raw/reidkit.toml`: names, clocks, frame rates and regions to ignore, where the folders don't say enough.

    settings = read_source_settings(raw / "reidkit.toml")
    settings.cameras, settings.offsets

`CAMERA` is `event/camera`, or `camera` for that camera of every event; names are those after renaming:

    single_camera = true                # the views are clips of one moving camera (default: true for sequences only)
    [cameras]                           # file or folder name (without ending), or event/name -> camera
    GOPR0123 = "left"
    [events]                            # event folder or sequence -> event; sequences may share one
    v_abc_c001 = "final"
    [activities]                        # event -> its sport or dance; train and test get their share of each
    final = "basketball"
    [offsets]                           # CAMERA -> seconds to add to its times, so that the clocks of an event agree
    "final/left" = -1.25
    [frame_rates]                       # CAMERA -> images a second of a folder of images (25 where nothing is said)
    right = 30
    [ignore]                            # CAMERA -> boxes [x1, y1, x2, y2] in pixels; people standing there are left out
    left = [[0, 0, 320, 180]]
    [floor]                             # CAMERA -> where its floor lies; found from the people where it isn't given
    left = {points = [[102, 310, 0, 0], [540, 300, 9, 0], [400, 180, 9, 6], [190, 185, 0, 6]]}
    [consent]                           # EVENT or EVENT/IDENTITY -> given, unknown or refused (`datasets.rights`)
    "final/7" = "refused"
    [licence]                           # EVENT or EVENT/IDENTITY -> under which licence its pictures may be used
    final = "CC-BY-NC-4.0"
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ..datasets.errors import UsageError, choices
from ..datasets.mot import Rate
from ..datasets.names import check_name
from ..datasets.rights import Consent, Licence, Rights
from ..datasets.schema import read_toml
from ..datasets.text import printable
from .floor.known import FORM, GivenFloor, floor_of
from .sources import Box

CONFIG = "reidkit.toml"

Number = Annotated[float, Meta(ge=-1e9, le=1e9)]

# What a line of each table holds, and how that is said.
_TABLES: dict[str, tuple[object, str]] = {
    "cameras": (str, '"camera"'),
    "events": (str, '"event"'),
    "activities": (str, '"sport or dance"'),
    "offsets": (Number, "seconds"),
    "frame_rates": (Rate, "frames a second, from 0.1 to 1000"),
    "ignore": (tuple[tuple[Number, Number, Number, Number], ...], "[[x1, y1, x2, y2], …] with x1 < x2 and y1 < y2"),
    "floor": (GivenFloor, FORM),
    "consent": (Consent, '"given", "unknown" or "refused"'),
    "licence": (Licence, '"licence"'),
}
_RIGHTS = ("consent", "licence")


@dataclass(frozen=True)
class SourceSettings:
    """What reidkit.toml says, table by table.

    Attributes:
        single_camera: whether the views of an event are clips of one moving camera; None where it isn't said.
        cameras, events: name of a file or folder -> name. activities: event -> name.
        offsets: seconds to add. frame_rates: frames a second of images. ignore: boxes in pixels.
        floor: homography [3][3] from pixels to metres.
        consent, licence: EVENT or EVENT/IDENTITY -> what holds there.
    """

    single_camera: bool | None = None
    cameras: dict[str, str] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    activities: dict[str, str] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    frame_rates: dict[str, float] = field(default_factory=dict)
    ignore: dict[str, tuple[Box, ...]] = field(default_factory=dict)
    floor: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    consent: dict[str, Consent] = field(default_factory=dict)
    licence: dict[str, str] = field(default_factory=dict)

    @property
    def rights(self) -> Rights:
        """Consent and licence."""
        return Rights(self.consent, self.licence)

    def keys(self) -> set[tuple[str, str]]:
        """Every (table, key) of the tables that speak of sources."""
        return {(table, key) for table in _TABLES if table not in _RIGHTS for key in getattr(self, table)}


def read_source_settings(path: Path) -> SourceSettings:
    """The settings; none where there is no such file.

    Raises:
        UsageError: it is no TOML, or a key or a value is none that is known.
    """
    if not path.exists():
        return SourceSettings()
    data = read_toml(path, dict[str, object], "Mend that line, or take the file away.")
    for key in data:
        if key not in ("single_camera", *_TABLES):
            raise UsageError(f"'{path}': {choices(key, ('single_camera', *_TABLES), 'key')}")
    single = data.get("single_camera")
    if single is not None and not isinstance(single, bool):
        raise UsageError(f"'{path}': single_camera is true or false, not {single!r}.")
    return SourceSettings(single, **{name: _table(path, name, data.get(name, {})) for name in _TABLES})


def _table(path: Path, name: str, values: object) -> dict:
    kind, form = _TABLES[name]
    if not isinstance(values, dict):
        raise UsageError(f"'{path}': [{name}] is a table of lines NAME = {form}, not {_shown(values)}.")
    read = {}
    for key, value in values.items():
        try:
            read[key] = msgspec.convert(value, kind)
            if name == "ignore" and not all(x1 < x2 and y1 < y2 for x1, y1, x2, y2 in read[key]):
                raise ValueError
        except ValueError:  # msgspec.ValidationError is one
            raise UsageError(
                f"'{path}', [{name}]: {_shown(key)} = {_shown(value)}, but every line is NAME = {form}."
            ) from None
        if kind is GivenFloor:
            try:
                read[key] = floor_of(read[key])
            except ValueError as error:
                raise UsageError(f"'{path}', [{name}], {_shown(key)}: {error}.") from None
        if kind is str:
            what = {"cameras": "a camera", "events": "an event", "activities": "an activity"}[name]
            check_name(value, f"name of {what} ('{path}', [{name}])")
    return read


def _shown(value: object) -> str:
    return printable(str(value))[:80]
