"""Rendered footage with ground truth in a folder: `simulate(out, settings, jobs)`.

The same arguments give the same bytes. A run that was stopped goes on with the same command; `truth.json` is written
last.
"""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from ..datasets.cores import usable_cores
from ..datasets.errors import ReidkitError, UsageError
from ..datasets.files import write_json
from ..datasets.mot import Line, write_lines
from ..datasets.processes import run_in_processes
from ..datasets.progress import progress
from ..datasets.schema import read_json
from ..datasets.truth import TRUTH, EventTruth, Truth, write_truth
from .event import Event, make_event
from .imitate import Sequence, looks, read_sequences, render_sequence
from .truth import calibration, identity
from .video import VideoWriter

MARKER = ".simulate.json"  # what a folder was begun with: another command's output is never mixed in
MOST_JOBS = 4  # each process holds the meshes, backdrops and pictures of its event


@dataclass(frozen=True)
class Settings:
    """Everything that decides the output.

    Attributes:
        people, cameras: of each event.
        returning: people of the first event who are in all others, too, in the same clothes.
        width, height: of the pictures in pixels.
        moving: cameras pan, tilt and zoom.
        from_mot: folder of MOTChallenge sequences whose boxes are drawn into; the fields above but `seed` don't count.
        frames: of each of these sequences, the first ones; None: all.
        shared_ids: an annotated id means one person in all clips of a video.
    """

    kind: str = "sports"
    people: int = 8
    cameras: int = 3
    events: int = 1
    seconds: float = 12.0
    fps: float = 15.0
    width: int = 640
    height: int = 360
    seed: int = 0
    from_mot: str | None = None
    frames: int | None = None
    shared_ids: bool = False
    moving: bool = False
    returning: int = 0


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels, both even (H.264 with yuv420p needs that).

    >>> parse_size("640x360")
    (640, 360)

    Raises:
        UsageError: not WIDTHxHEIGHT, odd, or outside 64..3840.
    """
    try:
        width, height = (int(v) for v in text.lower().split("x"))
    except ValueError:
        raise UsageError(f"Size '{text}' is not WIDTHxHEIGHT; say for example --size 640x360.") from None
    if width % 2 or height % 2 or not (64 <= width <= 3840 and 64 <= height <= 2160):
        raise UsageError(f"Size '{text}' must be even numbers from 64x64 to 3840x2160, for example 1280x720.")
    return width, height


def check(settings: Settings) -> None:
    """Refuses what can't be simulated.

    Raises:
        UsageError: a number is out of its range; the range is named.
    """
    for name, value, low, high in (
        ("people", settings.people, 1, 40),
        ("cameras", settings.cameras, 1, 16),
        ("events", settings.events, 1, 1000),
        ("seconds", settings.seconds, 0.2, 3600),
        ("fps", settings.fps, 1, 60),
        ("seed", settings.seed, 0, 2**31),
        ("returning", settings.returning, 0, settings.people),
    ):
        if not low <= value <= high:
            raise UsageError(f"--{name} is {value:g}; it can be {low:g} to {high:g}.")
    if round(settings.seconds * settings.fps) < 1:
        raise UsageError(f"{settings.seconds:g} s at {settings.fps:g} frames/s is no frame; give more --seconds.")
    if settings.frames is not None and settings.frames < 1:
        raise UsageError(f"--frames is {settings.frames}; it must be 1 or more.")


def open_output(out: Path, settings: Settings) -> None:
    """Makes `out`, or finds it begun with the same settings.

    Raises:
        UsageError: it holds something else.
        ReidkitError: it can't be written.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"'{out}' is a file; name a new or empty folder for the footage.")
    if out.is_dir() and any(out.iterdir()):
        try:
            begun = read_json(out / MARKER, Settings, "Remove it.")
        except UsageError:
            begun = None
        if begun != settings:
            what = "with other settings" if begun else "not from this command"
            raise UsageError(f"'{out}' is not empty ({what}); name a new folder, or remove it first.")
        return
    facts = asdict(settings)
    if not settings.moving:
        del facts["moving"]  # as in the folders of versions that couldn't
    write_json(out / MARKER, facts)


def finished(out: Path, event: str, cameras: list[str]) -> bool:
    """Truth files are written after their videos: all there means the event is complete."""
    return all((out / event / "truth" / f"{c}.txt").is_file() and (out / event / f"{c}.mp4").is_file() for c in cameras)


def plan_event(settings: Settings, index: int) -> Event:
    """Event number `index`: who, what they do, and the cameras. Nothing is drawn yet."""
    returning = plan_event(settings, 0).people[: settings.returning] if index and settings.returning else []
    return make_event(
        settings.kind,
        index,
        settings.people,
        settings.cameras,
        settings.seconds,
        settings.fps,
        (settings.width, settings.height),
        settings.seed,
        first_id=1 + index * settings.people,
        moving=settings.moving,
        returning=returning,
    )


def render_event(out: Path, settings: Settings, index: int) -> None:
    """Writes the videos and the boxes of one event, unless they are there."""
    event = plan_event(settings, index)
    names = [camera.name for camera in event.cameras]
    if finished(out, event.name, names):
        return
    lines: list[list[Line]] = [[] for _ in names]
    size = (settings.width, settings.height)
    with ExitStack() as stack:
        videos = [stack.enter_context(VideoWriter(out / event.name / f"{c}.mp4", size, settings.fps)) for c in names]
        advance = stack.enter_context(progress(f"simulate {event.name}", len(event) * len(names), "frames"))
        for frame, (pictures, truths) in enumerate(event.frames(), 1):
            for k, (picture, truth) in enumerate(zip(pictures, truths, strict=True)):
                videos[k].write(picture)
                lines[k] += [
                    Line(frame, event.people[n].id, *map(float, box), visibility=float(seen)) for n, box, seen in truth
                ]
            advance(len(names))
    for camera, rows in zip(names, lines, strict=True):
        write_lines(out / event.name / "truth" / f"{camera}.txt", rows, decimals=2)


def render_all(out: Path, settings: Settings, jobs: int) -> None:
    """All events, `jobs` at a time in processes of their own."""
    calls = [(out, settings, index) for index in range(settings.events)]
    if jobs < 2 or settings.events < 2:
        for call in calls:
            render_event(*call)
    else:
        run_in_processes(render_event, calls, jobs)


def truth_of(settings: Settings) -> Truth:
    """What truth.json says of simulated events."""
    identities, events, cameras = {}, {}, {}
    for index in range(settings.events):
        event = plan_event(settings, index)
        identities = {str(p.id): identity(p, event.name) for p in event.people} | identities
        events[event.name] = EventTruth(
            kind=settings.kind,
            cameras=tuple(c.name for c in event.cameras),
            people=tuple(p.id for p in event.people),
            frames=len(event),
        )
        if not settings.moving:
            cameras[event.name] = {c.name: calibration(c) for c in event.cameras}
    return Truth(
        kind=settings.kind,
        seed=settings.seed,
        fps=settings.fps,
        seconds=settings.seconds,
        size=(settings.width, settings.height),
        identities=identities,
        events=events,
        calibration=cameras,
    )


def render_sequences(out: Path, settings: Settings, source: Path) -> Truth:
    """Draws figures into the annotated boxes below `source` (`imitate`); returns what truth.json says of them."""
    sequences = read_sequences(source, settings.frames)
    if source.resolve() == out.resolve():
        raise UsageError(f"'{out}' is the folder of the annotation itself; name another one for the frames.")
    people = looks(sequences, settings.seed, settings.shared_ids)
    open_output(out, settings)
    with progress("simulate", total=sum(len(s) for s in sequences), unit="frames") as advance:
        for sequence in sequences:
            if (out / sequence.name / "gt" / "gt.txt").is_file():
                advance(len(sequence))
            else:
                render_sequence(sequence, people[sequence.name], out, settings.seed, advance)
    videos: dict[str, list[Sequence]] = {}
    for sequence in sequences:
        videos.setdefault(sequence.video, []).append(sequence)
    return Truth(
        kind="mot",
        seed=settings.seed,
        note="Boxes are the annotation's; looks are made up, and an annotated id is one person in all clips of a video."
        if settings.shared_ids
        else "Boxes are the annotation's; looks are made up, and every sequence has people of its own.",
        identities={
            str(p.id): identity(p, video)
            for video, clips in videos.items()
            for clip in clips
            for p in people[clip.name].values()
        },
        annotated_ids={s.name: {str(i): p.id for i, p in people[s.name].items()} for s in sequences},
        events={
            video: EventTruth(
                sequences=tuple(s.name for s in clips),
                people=tuple(sorted({p.id for s in clips for p in people[s.name].values()})),
            )
            for video, clips in videos.items()
        },
    )


def simulate(out: Path, settings: Settings, jobs: int | None = None) -> Truth:
    """Renders everything that `settings` asks for into `out`.

    Args:
        jobs: processes, one event each; None: one a core, 4 at the most.

    Returns:
        What `truth.json` holds.

    Raises:
        UsageError: a number outside what can be simulated, or `out` holds something else.
        ReidkitError: it can't be written.
    """
    check(settings)
    try:
        if settings.from_mot is not None:
            truth = render_sequences(out, settings, Path(settings.from_mot))
        else:
            open_output(out, settings)
            render_all(out, settings, jobs or min(MOST_JOBS, usable_cores()))
            truth = truth_of(settings)
        write_truth(out / TRUTH, truth)
        return truth
    except OSError as error:
        raise ReidkitError(
            f"Cannot write '{out}': {error.strerror or error}. Choose a folder you may write to."
        ) from error
