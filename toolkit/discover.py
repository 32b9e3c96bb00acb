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

`raw/reidkit.toml` may say more (`source_settings`).
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..datasets.errors import UsageError, choices
from ..datasets.format import MANIFEST
from ..datasets.mot import read_seqinfo
from ..datasets.rights import Rights
from ..datasets.text import printable
from ..datasets.truth import TRUTH
from .source_settings import CONFIG, SourceSettings, read_source_settings
from .sources import DEFAULT_IMAGE_RATE, IMAGE_ENDINGS, VIDEO_ENDINGS, Source

SEQUENCE_INFO = "seqinfo.ini"
ANNOTATION = Path("gt") / "gt.txt"
TRUTH_FOLDER = "truth"

_SPORTSMOT = re.compile(r"(v_.+)_(c\d+)")


@dataclass(frozen=True)
class Discovery:
    """All sources in order of event and camera.

    Attributes:
        single_camera: the views of an event are clips of one moving camera, not cameras that film at the same time.
        identities: `truth.json` (`datasets.truth`), where it is there.
        rights: consent and licence, of events that are there.
        notes: sentences about what was left out or assumed.
    """

    sources: tuple[Source, ...]
    single_camera: bool = False
    identities: Path | None = None
    rights: Rights = Rights()
    notes: tuple[str, ...] = ()


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
    settings = read_source_settings(raw / CONFIG)
    found, notes = _look(raw)
    if not found:
        raise UsageError(
            f"No videos in '{raw}'. Put them there as <event>/<camera>.mp4 "
            f"(or {', '.join(sorted(VIDEO_ENDINGS - {'.mp4'}))}), as folders of images, or as MOTChallenge sequences."
        )
    sources = _name(found, settings, raw / CONFIG, notes)
    _check(sources)
    events = {source.event for source in sources}
    for key in settings.rights.unknown(events):
        raise UsageError(
            f"'{raw / CONFIG}', [consent] or [licence]: {choices(key, events, 'event')} An identity of one is "
            "EVENT/NUMBER."
        )
    sequences = any(source.annotation for source in sources)
    identities = raw / TRUTH
    return Discovery(
        sources=tuple(sorted(sources, key=lambda s: (s.event, s.camera))),
        single_camera=sequences if settings.single_camera is None else settings.single_camera,
        identities=identities if identities.is_file() else None,
        rights=settings.rights,
        notes=tuple(notes),
    )


def _look(raw: Path) -> tuple[list[_Found], list[str]]:
    """Sources below `raw`, without going into folders of images, and notes on what is none."""
    found: list[_Found] = []
    notes: list[str] = []
    for here, below, files in _folders(raw, notes):
        depth = len(here.relative_to(raw).parts)
        if SEQUENCE_INFO in files or (here / ANNOTATION).is_file():
            below.clear()
            found.append(_sequence(here))
        elif MANIFEST in files:
            # A dataset that was built into the raw folder: its contact sheets are no footage.
            below.clear()
            notes.append(f"{_shown(here, raw)} is a built dataset and was left out.")
        elif here.name == TRUTH_FOLDER and depth:
            below.clear()
        else:
            found += _footage(here, raw, below, files, notes)
    return found, notes


def _folders(raw: Path, notes: list[str]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder from `raw` downwards once, with the names of folders and of files in it, sorted.

    Links are followed; a folder that was seen under another name, a parent among them, is left out and noted. Whoever
    iterates may clear the list of folders to stay out of them.
    """
    seen: dict[str, Path] = {}

    def unreadable(error: OSError) -> None:
        notes.append(f"{_shown(Path(error.filename), raw)} can't be looked into ({error.strerror}) and was left out.")

    for folder, below, files in os.walk(raw, followlinks=True, onerror=unreadable):
        here = Path(folder)
        same = seen.setdefault(os.path.realpath(here), here)
        if same != here:
            below.clear()
            notes.append(f"{_shown(here, raw)} is the same folder as {_shown(same, raw)} and was left out.")
            continue
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield here, below, sorted(name for name in files if not name.startswith("."))


def _footage(here: Path, raw: Path, below: list[str], files: list[str], notes: list[str]) -> list[_Found]:
    """The videos of a folder, or the folder itself where it holds images."""
    depth = len(here.relative_to(raw).parts)
    top = raw.resolve().name or "event"
    videos = [name for name in files if Path(name).suffix.lower() in VIDEO_ENDINGS]
    images = [name for name in files if Path(name).suffix.lower() in IMAGE_ENDINGS]
    if videos and depth > 1:
        notes.append(f"{len(videos)} videos in {_shown(here, raw)} left out: footage lies at most one folder deep.")
        return []
    if images and not videos:
        below.clear()
        if depth > 2:
            notes.append(
                f"{len(images)} images in {_shown(here, raw)} left out: image folders lie at most two folders deep."
            )
            return []
        if not depth:
            return [_Found(Source(top, top, here, here))]
        event = top if depth == 1 else here.parent.name
        return [_Found(Source(event, here.name, here, here, truth=_truth_of(here.parent, here.name)))]
    others = [printable(name) for name in files if name not in (CONFIG, TRUTH) and name not in videos]
    if others:
        few = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        notes.append(f"Left out of {_shown(here, raw)}, being no footage: {few}.")
    event = here.name if depth else top
    named = [(Path(name).stem, here / name) for name in videos]
    return [_Found(Source(event, stem, path, truth=_truth_of(here, stem))) for stem, path in named]


def _shown(folder: Path, raw: Path) -> str:
    """A folder below `raw` in quotation marks, for a note."""
    inside = folder.relative_to(raw).as_posix()
    return f"'{printable(raw.name or str(raw) if inside == '.' else inside)}'"


def _truth_of(folder: Path, camera: str) -> Path | None:
    path = folder / TRUTH_FOLDER / f"{camera}.txt"
    return path if path.is_file() else None


def _sequence(folder: Path) -> _Found:
    """A MOTChallenge sequence; one without annotation (a test set) is a plain folder of images."""
    info = read_seqinfo(folder / SEQUENCE_INFO)
    images = folder / info.images
    if not images.is_dir() or not _has_images(images):
        raise UsageError(
            f"The sequence '{folder}' has no images in '{images.name}/', only annotation. Put its frames there as "
            f"{images.name}/000001.jpg and so on (the dataset's full download has them), or move the sequence away."
        )
    clip = _SPORTSMOT.fullmatch(folder.name)
    event, name = (clip[1], clip[2]) if clip else (folder.name, "camera")
    annotation = folder / ANNOTATION
    if not annotation.is_file():
        return _Found(Source(event, name, images, images, info.fps), folder.name)
    source = Source(event, name, folder, images, info.fps, annotation=annotation, stated_frames=info.length)
    return _Found(source, folder.name)


def _has_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in IMAGE_ENDINGS for entry in entries)


def _name(found: Iterable[_Found], settings: SourceSettings, config: Path, notes: list[str]) -> list[Source]:
    """Sources as reidkit.toml names them. A key that matches none is an error: a typing mistake would go unseen."""
    used: set[tuple[str, str]] = set()

    def look_up(table: str, *keys: str):
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
        event = named or here.event
        # Sequences that the user puts under one event must differ by camera; "camera" would make them twins.
        name = item.sequence if item.sequence and named is not None and here.camera == "camera" else here.camera
        camera = look_up("cameras", f"{here.event}/{name}", f"{event}/{name}", name) or name
        key = f"{event}/{camera}"
        fps = here.fps
        if here.layout == "images":
            rate = look_up("frame_rates", key, camera)
            guessed += rate is None and fps is None
            fps = rate or fps or DEFAULT_IMAGE_RATE
        offset = look_up("offsets", key, camera) or 0.0
        ignore = look_up("ignore", key, camera) or ()
        floor = look_up("floor", key, camera)
        activity = look_up("activities", event, here.event) or ""
        named_so = {"event": event, "camera": camera, "fps": fps, "offset": offset, "ignore": ignore, "floor": floor}
        sources.append(replace(here, **named_so, activity=activity))
    if guessed:
        notes.append(
            f"{guessed} folders of images are taken as {DEFAULT_IMAGE_RATE:g} frames a second; "
            f"[frame_rates] in {CONFIG} says otherwise."
        )
    for table, key in sorted(settings.keys() - used):
        known = {name for s in sources for name in (s.key, s.event)} | {
            name for f in found for name in (f.source.camera, f.source.event)
        }
        raise UsageError(f"'{config}', [{table}]: {choices(key, known, 'source')}")
    return sources


def _check(sources: Iterable[Source]) -> None:
    """Raises UsageError where two sources have one name, or a name can't stand in tables and sentences."""
    seen: dict[str, Source] = {}
    for source in sources:
        twin = seen.setdefault(source.key, source)
        if twin is not source:
            raise UsageError(
                f"Two cameras of event '{source.event}' are named '{source.camera}': '{twin.path}' "
                f"and '{source.path}'. Rename one, or give it a name under [cameras] in {CONFIG}."
            )
        for name in (source.event, source.camera):
            if not name.isprintable():
                raise UsageError(
                    f"'{printable(name)}' can't name an event or a camera: it holds an invisible letter. Rename the "
                    "file or the folder."
                )
