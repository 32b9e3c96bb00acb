"""What lies in a folder of raw footage: which cameras filmed which event, and what truth there is beside them.

    found = discover(Path("raw"))
    for source in found.sources:
        print(source.key, source.layout, source.path)

Layouts, which may be mixed below one folder:

    raw/<event>/<camera>.mp4            a video a camera (mp4, mkv, mov, avi, m4v, webm, ts, mts, mpg, wmv)
    raw/<camera>.mp4                    one event, named after the folder
    raw/<event>/<camera>/000001.jpg     a folder of images a camera; raw/<camera>/*.jpg likewise
    raw/[train/]<sequence>/gt/gt.txt    a MOTChallenge sequence with seqinfo.ini and img1/: SportsMOT's
                                        `v_<video>_c<clip>` is camera c<clip> of event v_<video>; any other
                                        (DanceTrack's) is an event of its own
    raw/<event>/truth/<camera>.txt      true boxes in MOT lines, and raw/truth.json who they are

`raw/reidkit.toml` may say more. `CAMERA` is `event/camera`, or `camera` for that camera of every event; names are those
after renaming:

    single_camera = true                # the views are clips of one moving camera (default: true for sequences only)
    [cameras]                           # file or folder name (without ending), or event/name -> camera
    GOPR0123 = "left"
    [events]                            # event folder or sequence -> event; sequences may share one
    v_abc_c001 = "final"
    [offsets]                           # CAMERA -> seconds to add to its times, so that the clocks of an event agree
    "final/left" = -1.25
    [frame_rates]                       # CAMERA -> images a second of a folder of images (25 where nothing is said)
    right = 30
    [ignore]                            # CAMERA -> boxes [x1, y1, x2, y2] in pixels; people standing there are left out
    left = [[0, 0, 320, 180]]
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ..datasets.errors import UsageError, choices
from ..datasets.format import MANIFEST
from ..datasets.mot import read_seqinfo
from ..datasets.truth import TRUTH

VIDEO_ENDINGS = frozenset(
    (".mp4", ".mkv", ".mov", ".avi", ".m4v", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp")
)
IMAGE_ENDINGS = frozenset([".jpg", ".jpeg", ".png", ".bmp"])
DEFAULT_IMAGE_RATE = 25.0
CONFIG = "reidkit.toml"
SEQUENCE_INFO = "seqinfo.ini"
TRUTH_FOLDER = "truth"

_SPORTSMOT = re.compile(r"(v_.+)_(c\d+)")
_TABLES = ("cameras", "events", "offsets", "frame_rates", "ignore")

Layout = Literal["video", "images", "mot"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Source:
    """What one camera filmed of one event, as it lies on the disk.

    Attributes:
        event, camera: names; `key` is both.
        path: the video file, the folder of images, or the MOTChallenge sequence's folder.
        images: the folder of images; None for a video.
        fps: frames a second of images; None for a video, which knows its own.
        annotation: MOT lines that boxes and ids are taken from, in place of a detector's. The names of the images are
            then frame numbers, as in the lines.
        stated_frames: how many images there should be, where somebody says so.
        truth: MOT lines of the true boxes, which the build's result is only compared with.
        offset: seconds to add to the source's times to come to the event's clock.
        ignore: boxes (x1, y1, x2, y2) in pixels where nobody is to be detected.
    """

    event: str
    camera: str
    path: Path
    images: Path | None = None
    fps: float | None = None
    annotation: Path | None = None
    stated_frames: int | None = None
    truth: Path | None = None
    offset: float = 0.0
    ignore: tuple[Box, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.event}/{self.camera}"

    @property
    def layout(self) -> Layout:
        """How it lies there: a file, a folder of images, or a MOTChallenge sequence with its annotation."""
        if self.images is None:
            return "video"
        return "images" if self.annotation is None else "mot"


@dataclass(frozen=True)
class Discovery:
    """All sources in order of event and camera.

    Attributes:
        single_camera: the views of an event are clips of one moving camera, not cameras that film at the same time.
        identities: `truth.json` (`datasets.truth`), where it is there.
        notes: sentences about what was left out or assumed.
    """

    sources: tuple[Source, ...]
    single_camera: bool = False
    identities: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Settings:
    single_camera: bool | None = None
    cameras: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)
    offsets: Mapping[str, float] = field(default_factory=dict)
    frame_rates: Mapping[str, float] = field(default_factory=dict)
    ignore: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    """A source as it lies there, before reidkit.toml has its say; `source` has the names of files and folders.

    Attributes:
        sequence: the folder's name of a MOTChallenge sequence; "" for anything else.
    """

    source: Source
    sequence: str = ""


def discover(raw: Path | str) -> Discovery:
    """Finds every source below `raw`.

    Raises:
        UsageError: no such folder, no footage, two cameras with one name, a sequence without its images, a bad
            reidkit.toml.
    """
    raw = Path(raw)
    if not raw.exists():
        raise UsageError(
            f"There is no folder '{raw}'. Name the folder that holds the footage, as <event>/<camera>.mp4."
        )
    if not raw.is_dir():
        raise UsageError(f"'{raw}' is a file; name the folder that holds it, with the other cameras' videos beside it.")
    settings = _read_settings(raw / CONFIG)
    found, notes = _walk(raw)
    if not found:
        raise UsageError(
            f"No videos in '{raw}'. Put them there as <event>/<camera>.mp4 "
            f"(or {', '.join(sorted(VIDEO_ENDINGS - {'.mp4'}))}), as folders of images, or as MOTChallenge sequences."
        )
    sources = _apply(found, settings, raw / CONFIG, notes)
    _refuse_twins(sources)
    sequences = any(source.annotation for source in sources)
    single = settings.single_camera if settings.single_camera is not None else sequences
    identities = raw / TRUTH
    return Discovery(
        sources=tuple(sorted(sources, key=lambda s: (s.event, s.camera))),
        single_camera=single,
        identities=identities if identities.is_file() else None,
        notes=tuple(notes),
    )


def _walk(raw: Path) -> tuple[list[_Found], list[str]]:
    """Sources below `raw`, without going into folders of images, and notes on what is none."""
    found: list[_Found] = []
    notes: list[str] = []
    top = raw.resolve().name or "event"
    for folder, below, files in os.walk(raw, followlinks=True):
        here = Path(folder)
        below[:] = sorted(name for name in below if not name.startswith("."))
        files = sorted(name for name in files if not name.startswith("."))
        if SEQUENCE_INFO in files or (here / "gt" / "gt.txt").is_file():
            below.clear()
            found.append(_sequence(here))
            continue
        if MANIFEST in files:
            # A dataset that was built into the raw folder: its contact sheets are no footage.
            below.clear()
            notes.append(f"'{here.relative_to(raw)}' is a built dataset and was left out.")
            continue
        if here.name == TRUTH_FOLDER and here != raw:
            below.clear()
            continue
        depth = len(here.relative_to(raw).parts)
        event = top if here == raw else here.name
        videos = [name for name in files if Path(name).suffix.lower() in VIDEO_ENDINGS]
        images = [name for name in files if Path(name).suffix.lower() in IMAGE_ENDINGS]
        if videos and depth > 1:
            inside = "/".join(here.relative_to(raw).parts)
            notes.append(f"{len(videos)} videos in '{inside}' left out: footage lies at most one folder deep.")
            continue
        for name in videos:
            stem = Path(name).stem
            found.append(_Found(Source(event, stem, here / name, truth=_truth_of(here, stem))))
        if images and not videos:
            below.clear()
            if here == raw:
                found.append(_Found(Source(top, top, here, here)))
            elif depth <= 2:
                event = top if depth == 1 else here.parent.name
                truth = _truth_of(here.parent, here.name)
                found.append(_Found(Source(event, here.name, here, here, truth=truth)))
            else:
                inside = "/".join(here.relative_to(raw).parts)
                notes.append(
                    f"{len(images)} images in '{inside}' left out: image folders lie at most two folders deep."
                )
            continue
        known = {CONFIG, TRUTH}
        others = [name for name in files if name not in known and name not in videos]
        if others:
            few = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
            notes.append(f"Left out of '{here.name or raw}', being no footage: {few}.")
    return found, notes


def _truth_of(folder: Path, camera: str) -> Path | None:
    path = folder / TRUTH_FOLDER / f"{camera}.txt"
    return path if path.is_file() else None


def _sequence(folder: Path) -> _Found:
    """A MOTChallenge sequence; one without annotation (a test set) is a plain folder of images."""
    info = read_seqinfo(folder / SEQUENCE_INFO)
    images = folder / info.images
    if not images.is_dir() or not has_images(images):
        raise UsageError(
            f"The sequence '{folder}' has no images in '{images.name}/', only annotation. Put its frames there as "
            f"{images.name}/000001.jpg and so on (the dataset's full download has them), or move the sequence away."
        )
    clip = _SPORTSMOT.fullmatch(folder.name)
    event, name = (clip[1], clip[2]) if clip else (folder.name, "camera")
    truth = folder / "gt" / "gt.txt"
    if not truth.is_file():
        return _Found(Source(event, name, images, images, info.fps), folder.name)
    found = Source(event, name, folder, images, info.fps, annotation=truth, stated_frames=info.length)
    return _Found(found, folder.name)


def has_images(folder: Path) -> bool:
    """Whether `folder` holds at least one image."""
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in IMAGE_ENDINGS for entry in entries)


def _apply(found: Iterable[_Found], settings: _Settings, config: Path, notes: list[str]) -> list[Source]:
    """Sources as reidkit.toml names them. A key that matches none is an error: a typing mistake would go unseen."""
    used: set[tuple[str, str]] = set()

    def look_up(table: str, *keys: str) -> object:
        values = getattr(settings, table)
        for key in keys:
            if key in values:
                used.update((table, k) for k in keys if k in values)
                return values[key]
        return None

    sources, guessed = [], 0
    for item in found:
        here = item.source
        named = look_up("events", *([item.sequence] if item.sequence else []), here.event)
        event = str(named or here.event)
        # Sequences that the user puts under one event must differ by camera; "camera" would make them twins.
        name = item.sequence if item.sequence and named is not None and here.camera == "camera" else here.camera
        camera = str(look_up("cameras", f"{here.event}/{name}", f"{event}/{name}", name) or name)
        key = f"{event}/{camera}"
        fps = here.fps
        if here.layout == "images":
            rate = look_up("frame_rates", key, camera)
            guessed += rate is None and fps is None
            fps = rate or fps or DEFAULT_IMAGE_RATE
        offset = look_up("offsets", key, camera) or 0.0
        ignore = look_up("ignore", key, camera) or ()
        sources.append(replace(here, event=event, camera=camera, fps=fps, offset=offset, ignore=ignore))
    if guessed:
        notes.append(
            f"{guessed} folders of images are taken as {DEFAULT_IMAGE_RATE:g} frames a second; "
            f"[frame_rates] in {CONFIG} says otherwise."
        )
    for table in _TABLES:
        for key in getattr(settings, table):
            if (table, key) not in used:
                keys = sorted(
                    {s.key for s in sources} | {f.source.camera for f in found} | {f.source.event for f in found}
                )
                raise UsageError(f"'{config}', [{table}]: {choices(key, keys, 'source')}")
    return sources


def _refuse_twins(sources: Iterable[Source]) -> None:
    seen: dict[str, Source] = {}
    for source in sources:
        twin = seen.setdefault(source.key, source)
        if twin is not source:
            raise UsageError(
                f"Two cameras of event '{source.event}' are named '{source.camera}': '{twin.path}' "
                f"and '{source.path}'. "
                f"Rename one, or give it a name under [cameras] in {CONFIG}."
            )
        for name in (source.event, source.camera):
            if not name or "/" in name or name.startswith("."):
                raise UsageError(
                    f"'{name}' can't name an event or a camera: it is empty, has a '/' or starts with a dot. "
                    f"Rename it in {CONFIG}."
                )


def _read_settings(path: Path) -> _Settings:
    if not path.exists():
        return _Settings()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"Cannot read '{path}': {error}. Mend that line, or take the file away.") from None
    for key in data:
        if key not in ("single_camera", *_TABLES):
            raise UsageError(f"'{path}': {choices(key, ('single_camera', *_TABLES), 'key')}")

    def table(name: str, convert: object, wanted: str) -> dict:
        values = data.get(name, {})
        try:
            if not isinstance(values, dict):
                raise TypeError
            return {key: convert(value) for key, value in values.items()}
        except (TypeError, ValueError):
            raise UsageError(f"'{path}', [{name}]: every line is NAME = {wanted}; this is {values!r}.") from None

    single = data.get("single_camera")
    if single is not None and not isinstance(single, bool):
        raise UsageError(f"'{path}': single_camera is true or false, not {single!r}.")
    return _Settings(
        single_camera=single,
        cameras=table("cameras", _text, '"camera"'),
        events=table("events", _text, '"event"'),
        offsets=table("offsets", _number, "seconds"),
        frame_rates=table("frame_rates", _rate, "frames a second, above 0"),
        ignore=table("ignore", _boxes, "[[x1, y1, x2, y2], …] with x1 < x2 and y1 < y2"),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise TypeError
    return float(value)


def _rate(value: object) -> float:
    if not _number(value) > 0:
        raise ValueError
    return float(value)


def _boxes(value: object) -> tuple[Box, ...]:
    boxes = []
    for box in value:
        x1, y1, x2, y2 = (_number(v) for v in box)
        if not (x1 < x2 and y1 < y2):
            raise ValueError
        boxes.append((x1, y1, x2, y2))
    return tuple(boxes)
