"""MOTChallenge sequences: the lines of an annotation (`gt/gt.txt`) and the facts in `seqinfo.ini`.

    people = read_people(folder / "gt" / "gt.txt")
    people[0].frame, people[0].id, people[0].x, people[0].visibility
    info = read_seqinfo(folder / "seqinfo.ini")
    info.images, info.fps, info.length

A line is `frame,id,x,y,width,height,counts,category,visibility`: the frame from 1, the box's top left corner and its
size in pixels. The first six are needed. A line counts as a person where its seventh column isn't 0 and its eighth is 1
(pedestrian), or where they are missing. This is the rule of TrackEval and of the `trackers` library; tests compare with
its `load_mot_file`. That function isn't called here, because it drops the visibility, which scores need, turns ids
above 2^53 into others, and doesn't say which line is wrong.
"""

import configparser
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from .errors import UsageError
from .files import write_atomic
from .schema import read_bytes
from .text import printable

PEDESTRIAN = 1
LARGEST_ID = 1 << 53  # above, not every whole number is a float, and other tools read one id as another
FORM = "frame,id,x,y,width,height,1,1,visibility"

Pixels = Annotated[float, Meta(ge=-1e6, le=1e6)]
Extent = Annotated[float, Meta(gt=0, le=1e6)]
Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
Rate = Annotated[float, Meta(ge=0.1, le=1000)]  # frames a second

_ALLOWED = {
    "frame": "a whole number from 1 to 100,000,000",
    "id": "a whole number of at most 2^53",
    "x": "a number of pixels within a million",
    "y": "a number of pixels within a million",
    "width": "above 0 and at most a million pixels",
    "height": "above 0 and at most a million pixels",
    "framerate": "a number of frames a second from 0.1 to 1000",
    "seqlength": "a whole number of frames, at most 100,000,000",
    "imwidth": "a whole number of pixels from 1 to 65,536",
    "imheight": "a whole number of pixels from 1 to 65,536",
}


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One annotated box.

    Attributes:
        frame: from 1.
        id: whose box it is; one person within a sequence.
        x, y: the top left corner in pixels; it may lie outside the picture.
        width, height: in pixels.
        counts: 0 where the box isn't to be looked at.
        category: 1 is a pedestrian.
        visibility: the share of the person that can be seen, 0 to 1.
    """

    frame: Annotated[int, Meta(ge=1, le=100_000_000)]
    id: Annotated[int, Meta(ge=-LARGEST_ID, le=LARGEST_ID)]
    x: Pixels
    y: Pixels
    width: Extent
    height: Extent
    counts: Number = 1.0
    category: Number = PEDESTRIAN
    visibility: Number = 1.0

    @property
    def person(self) -> bool:
        """Whether the line counts as a person."""
        return self.counts != 0 and self.category == PEDESTRIAN

    def text(self, decimals: int | None = None) -> str:
        """The line as it is written.

        Args:
            decimals: of the box; the visibility has one more. None: as many as there are, up to ten digits.

        >>> Line(frame=1, id=7, x=10.5, y=20, width=30, height=60).text()
        '1,7,10.5,20,30,60,1,1,1'
        """
        box = self.x, self.y, self.width, self.height
        if decimals is None:
            numbers = [f"{value:.10g}" for value in (*box, self.counts, self.category, self.visibility)]
        else:
            numbers = [f"{value:.{decimals}f}" for value in box]
            numbers += [f"{self.counts:.10g}", f"{self.category:.10g}", f"{self.visibility:.{decimals + 1}f}"]
        return ",".join([str(self.frame), str(self.id), *numbers])


def read_lines(path: Path | str) -> list[Line]:
    """Every line of the annotation, in the file's order; blank ones are passed over.

    Raises:
        UsageError: the file can't be read, or a line is none; its number is named.
    """
    fix = "Fetch it again."
    try:
        text = read_bytes(path, fix).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The annotation '{path}' is no text ({error}). {fix}") from None
    return [_parse(line, number, path) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def read_people(path: Path | str) -> list[Line]:
    """The lines that count as people.

    Raises:
        UsageError: as `read_lines`, or one id stands twice in a frame.
    """
    people = [line for line in read_lines(path) if line.person]
    seen: set[tuple[int, int]] = set()
    for line in people:
        if (line.frame, line.id) in seen:
            raise UsageError(f"'{path}' has id {line.id} a second time in frame {line.frame}. Remove one of the lines.")
        seen.add((line.frame, line.id))
    return people


def write_lines(path: Path | str, lines: Iterable[Line], decimals: int | None = None) -> None:
    """Writes an annotation, whole or not at all; `decimals` as for `Line.text`."""
    write_atomic(path, "".join(f"{line.text(decimals)}\n" for line in lines))


def _parse(line: str, number: int, path: Path | str) -> Line:
    cells = [cell.strip() for cell in line.strip().rstrip(",").split(",")]
    try:
        return msgspec.convert(cells, Line, strict=False)
    except msgspec.ValidationError as error:
        place = re.search(r"\$\[(\d+)\]", str(error))
        name = Line.__struct_fields__[int(place[1])] if place else ""
        reason = f"the {name} must be {_ALLOWED.get(name, 'a number')}" if name else f"it has {len(cells)} columns"
        raise UsageError(
            f"Line {number} of '{path}' is '{printable(line.strip()[:60])}', which is no MOT line {FORM}: {reason}. "
            "Mend or remove the line."
        ) from None


class SequenceInfo(msgspec.Struct, frozen=True):
    """What a seqinfo.ini says.

    Attributes:
        images: the folder of images, below the sequence's.
        fps: frames a second.
        length: frames; None where it isn't said.
        width, height: of the images in pixels; None where it isn't said.
        entries: all of the section [Sequence], as it is written.
    """

    images: str = msgspec.field(default="img1", name="imdir")
    fps: Rate = msgspec.field(default=25.0, name="framerate")
    length: Annotated[int, Meta(ge=0, le=100_000_000)] | None = msgspec.field(default=None, name="seqlength")
    width: Annotated[int, Meta(ge=1, le=65536)] | None = msgspec.field(default=None, name="imwidth")
    height: Annotated[int, Meta(ge=1, le=65536)] | None = msgspec.field(default=None, name="imheight")
    entries: dict[str, str] = {}


class _CaseKept(configparser.ConfigParser):
    """Names of options as they are written."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read_seqinfo(path: Path | str) -> SequenceInfo:
    """The facts of a sequence.

    Raises:
        UsageError: the file can't be read, has no section [Sequence], or a value is out of its range.
    """
    fix = (
        "A sequence needs seqinfo.ini with [Sequence] and imDir, frameRate, seqLength: take it from the dataset again."
    )
    parser = _CaseKept(interpolation=None)
    try:
        parser.read_string(read_bytes(path, fix).decode("utf-8-sig"), source="seqinfo.ini")
        entries = dict(parser["Sequence"])
        known = {name.lower(): value.strip() for name, value in entries.items() if value.strip()}
        info = msgspec.convert({**known, "entries": entries}, SequenceInfo, strict=False)
        if Path(info.images).is_absolute() or ".." in Path(info.images).parts:
            raise ValueError(f"imDir {info.images} leads out of the sequence's folder")
    except (KeyError, ValueError, configparser.Error) as error:
        place = re.search(r"`\$?\.?(\w+)`$", str(error))
        if isinstance(error, KeyError):
            reason = "it has no section [Sequence]"
        elif place and place[1] in _ALLOWED:
            name = next(name for name in entries if name.lower() == place[1])
            reason = f"{name} is '{printable(entries[name])[:60]}', and must be {_ALLOWED[place[1]]}"
        else:
            reason = printable(str(error)).rstrip(".")
        raise UsageError(f"'{path}' can't be used: {reason}. {fix}") from None
    return info
