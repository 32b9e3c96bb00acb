"""Files of tracks or identities that somebody corrected elsewhere: MOTChallenge, CVAT for video 1.1, a table.

    files = read_corrected(Path("corrected/"), frames, place=None, same_ids=True)     # boxes of each camera
    table = read_identities(Path("who.csv"))                                          # tracklet -> who it is

Which camera a file is of, the folder of a `gt/gt.txt`, the name of an XML file (`<event>--<camera>`, as
`reidkit export` writes them) or CVAT's name of the task (`<event>/<camera>`) says, or the caller.
"""

import bisect
import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

from ...datasets.errors import UsageError
from ...datasets.mot import read_lines
from ...datasets.schema import read_bytes
from ...datasets.text import printable

Place = tuple[str, str]  # event and camera
Corners = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the source

NO_PERSON = ("junk", "distractor")  # CVAT's labels, as we write them, of what is nobody
FIX = "Export it again from the tool that it comes from."


@dataclass(frozen=True)
class Somebody:
    """Who a track shows, as far as the file says.

    Attributes:
        identity: the dataset's number of the person.
        name: a person's name.
        track: file and track, where it says neither: one person, whoever it is.
    """

    identity: int | None = None
    name: str = ""
    track: str = ""


@dataclass(frozen=True)
class Corrected:
    """The boxes of one camera of an event.

    Attributes:
        boxes: frame from 0 -> (who, box); None is nobody: junk, or what doesn't count.
    """

    place: Place
    boxes: Mapping[int, list[tuple[Somebody | None, Corners]]]


def read_corrected(
    path: Path, frames: Mapping[Place, Iterable[int]], *, place: Place | None, same_ids: bool
) -> list[Corrected]:
    """The corrected boxes of a file, or of all `*.xml` and `gt/gt.txt` below a folder; one item a camera.

    Args:
        frames: of each camera of the dataset, the frames at which boxes are wanted; a CVAT track says by its key boxes
            what lies between.
        place: which camera the one file is of; None: as its name says.
        same_ids: ids of MOTChallenge files are the dataset's identities.

    Raises:
        UsageError: nothing to read, a file that can't be read, or a camera that can't be told.
    """
    files = [path]
    if path.is_dir():
        files = sorted([*path.rglob("*.xml"), *(p for p in path.rglob("gt.txt") if p.parent.name == "gt")])
        if not files:
            raise UsageError(f"'{path}' holds no .xml and no gt/gt.txt. Give the corrected file itself.")
    merged: dict[Place, dict[int, list[tuple[Somebody | None, Corners]]]] = {}
    for file in files:
        if file.suffix.lower() == ".xml":
            tree = _parse(file)
            task = tree.findtext("meta/task/name") or tree.findtext("meta/job/name") or ""
            here = place or _place(file, (task, file.stem), frames)
            boxes = _cvat_boxes(file, tree, sorted(frames[here]))
        else:
            folder = file.parent.parent if file.parent.name == "gt" else file
            here = place or _place(file, (folder.name, file.stem), frames)
            boxes = _mot_boxes(file, same_ids)
        if here in merged:
            for frame, more in boxes.items():
                merged[here].setdefault(frame, []).extend(more)
        else:
            merged[here] = boxes
    for (event, camera), boxes in merged.items():
        for frame, found in boxes.items():
            twice, number = (Counter(who for who, _ in found if who is not None).most_common(1) or [(None, 0)])[0]
            if twice is not None and number > 1:
                shown = printable(twice.name or twice.track.rpartition(", ")[2] or f"identity {twice.identity}")
                raise UsageError(f"'{path}' has '{shown}' in frame {frame} of {event}--{camera} twice. Remove one box.")
    return [Corrected(here, boxes) for here, boxes in sorted(merged.items())]


def read_identities(path: Path) -> dict[str, Somebody | None]:
    """Tracklet -> who it is, of a CSV table with the columns tracklet and identity.

    A whole number is an identity of the dataset, an empty cell or "junk" nobody, anything else a person's name.

    Raises:
        UsageError: the file can't be read, lacks a column, or has a tracklet twice.
    """
    try:
        text = read_bytes(path, FIX).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"'{path}' is no table of text: {printable(str(error))}. Save it as CSV in UTF-8.") from None
    out: dict[str, Somebody | None] = {}
    for number, row in enumerate(rows, start=2):
        tracklet, cell = row.get("tracklet"), row.get("identity")
        if not tracklet or cell is None:
            raise UsageError(f"Line {number} of '{path}' lacks a cell; the columns must be tracklet and identity.")
        if tracklet in out:
            raise UsageError(f"'{path}' has tracklet '{printable(tracklet)[:100]}' more than once. Remove a line.")
        out[tracklet] = _who(cell.strip())
    if not out:
        raise UsageError(f"'{path}' has no rows below its first line, which must be 'tracklet,identity'.")
    return out


def _who(cell: str) -> Somebody | None:
    if cell.lower() in ("", *NO_PERSON):
        return None
    return Somebody(identity=int(cell)) if cell.isdecimal() and len(cell) < 16 else Somebody(name=cell[:200])


def _place(file: Path, names: Iterable[str], known: Collection[Place]) -> Place:
    for name in names:
        for event, camera in known:
            if name in (f"{event}--{camera}", f"{event}/{camera}"):
                return event, camera
    if len(known) == 1:
        return next(iter(known))
    few = ", ".join(f"{event}--{camera}" for event, camera in sorted(known)[:6])
    raise UsageError(
        f"Nothing says which camera '{file}' is of. Name it, or its sequence's folder, as one of {few}; or give "
        "--event and --camera."
    )


def _mot_boxes(path: Path, same_ids: bool) -> dict[int, list[tuple[Somebody | None, Corners]]]:
    boxes: dict[int, list[tuple[Somebody | None, Corners]]] = {}
    for line in read_lines(path):
        who = None
        if line.person:
            known = same_ids and line.id >= 0
            who = Somebody(identity=line.id) if known else Somebody(track=f"{path}, id {line.id}")
        corners = line.x, line.y, line.x + line.width, line.y + line.height
        boxes.setdefault(line.frame - 1, []).append((who, corners))
    return boxes


def _parse(path: Path):
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(read_bytes(path, FIX))
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise UsageError(f"'{path}' is no XML that can be used ({printable(str(error))[:200]}). {FIX}") from None
    if root.tag != "annotations" or (root.find("image") is not None and root.find("track") is None):
        raise UsageError(f"'{path}' is no annotation of CVAT for video 1.1. Export the task in that format.")
    return root


def _cvat_boxes(path: Path, root, frames: list[int]) -> dict[int, list[tuple[Somebody | None, Corners]]]:
    boxes: dict[int, list[tuple[Somebody | None, Corners]]] = {}
    for track in root.iter("track"):
        said = ""
        keys: list[tuple[int, bool, Corners]] = []
        for box in track.iter("box"):
            keys.append(_key(path, track, box))
            said = next((a.text or "" for a in box.iter("attribute") if a.get("name") == "identity"), said)
        who = None
        if track.get("label") not in NO_PERSON:
            who = _who(said.strip()) or Somebody(track=f"{path}, track {track.get('id')}")
        for frame, corners in _between(sorted(keys), frames):
            boxes.setdefault(frame, []).append((who, corners))
    return boxes


def _key(path: Path, track, box) -> tuple[int, bool, Corners]:
    try:
        corners = tuple(float(box.get(side)) for side in ("xtl", "ytl", "xbr", "ybr"))
        if not all(abs(value) < 1e6 for value in corners):
            raise ValueError("a side is no pixel")
        return int(box.get("frame")), box.get("outside") == "1", corners
    except (TypeError, ValueError):
        number, shown = printable(str(track.get("id"))), printable(str(dict(box.attrib)))[:150]
        raise UsageError(f"Track {number} of '{path}' has a box {shown}, which lacks a number. {FIX}") from None


def _between(keys: list[tuple[int, bool, Corners]], frames: list[int]) -> Iterable[tuple[int, Corners]]:
    """The track's boxes at `frames`: linear between two boxes of the file; the last one stays until the end."""
    at = [frame for frame, _, _ in keys]
    for frame in frames:
        place = bisect.bisect_right(at, frame) - 1
        if place < 0 or keys[place][1]:
            continue
        first, _, here = keys[place]
        if first != frame and place + 1 < len(keys):
            last, _, there = keys[place + 1]
            share = (frame - first) / (last - first)
            here = tuple(a + share * (b - a) for a, b in zip(here, there, strict=True))
        yield frame, here  # type: ignore[misc]
