"""Rendered footage with ground truth in a folder: `simulate(out, settings, jobs)`.

The same arguments give the same bytes. A run that was stopped goes on with the same command; `truth.json` is written
last.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..datasets.cores import usable_cores
from ..datasets.errors import ReidkitError, UsageError
from ..datasets.files import write_json
from ..datasets.mot import Line, write_lines
from ..datasets.progress import progress

MARKER = ".simulate.json"  # what a folder was begun with: another command's output is never mixed in
KINDS = ("sports", "dance")


@dataclass(frozen=True)
class Settings:
    """Everything that decides the output."""

    kind: str
    people: int
    cameras: int
    events: int
    seconds: float
    fps: float
    width: int
    height: int
    seed: int
    from_mot: str | None = None
    frames: int | None = None


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
    """
    Raises:
        UsageError: a number outside what can be simulated.
    """
    for name, value, low, high in (
        ("people", settings.people, 1, 40),
        ("cameras", settings.cameras, 1, 16),
        ("events", settings.events, 1, 1000),
        ("seconds", settings.seconds, 0.2, 3600),
        ("fps", settings.fps, 1, 60),
        ("seed", settings.seed, 0, 2**31),
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
    wanted = asdict(settings)
    if out.exists() and not out.is_dir():
        raise UsageError(f"'{out}' is a file; name a new or empty folder for the footage.")
    if out.is_dir() and any(out.iterdir()):
        marker = out / MARKER
        try:
            begun = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else None
        except (OSError, ValueError):
            begun = None
        if begun != wanted:
            what = "with other settings" if begun else "not from this command"
            raise UsageError(f"'{out}' is not empty ({what}); name a new folder, or remove it first.")
        return
    write_json(out / MARKER, wanted)


def finished(out: Path, event: str, cameras: list[str]) -> bool:
    """Truth files are written after their videos: all there means the event is complete."""
    return all((out / event / "truth" / f"{c}.txt").is_file() and (out / event / f"{c}.mp4").is_file() for c in cameras)


def build_event(settings: Settings, index: int):
    from .event import make_event

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
    )


def render_event(out: Path, settings: Settings, index: int, advance=None) -> None:
    """Writes one event's videos and truth."""
    from contextlib import ExitStack

    from .video import VideoWriter

    event = build_event(settings, index)
    names = [camera.name for camera in event.cameras]
    if finished(out, event.name, names):
        if advance:
            advance(len(event) * len(names))
        return
    lines: list[list[Line]] = [[] for _ in names]
    size = (settings.width, settings.height)
    with ExitStack() as stack:
        videos = [stack.enter_context(VideoWriter(out / event.name / f"{c}.mp4", size, settings.fps)) for c in names]
        for frame, (pictures, truths) in enumerate(event.frames(), 1):
            for k, (picture, truth) in enumerate(zip(pictures, truths, strict=True)):
                videos[k].write(picture)
                lines[k] += [
                    Line(frame, event.people[n].id, *map(float, box), visibility=float(seen)) for n, box, seen in truth
                ]
            if advance:
                advance(len(names))
    for camera, rows in zip(names, lines, strict=True):
        write_lines(out / event.name / "truth" / f"{camera}.txt", rows, decimals=2)


_counter = None


def _share(counter) -> None:
    global _counter
    _counter = counter


def _worker(out: Path, settings: Settings, index: int) -> None:
    def advance(n: int) -> None:
        with _counter.get_lock():
            _counter.value += n

    render_event(out, settings, index, advance)


def render_all(out: Path, settings: Settings, jobs: int) -> None:
    """All events, `jobs` at a time in processes of their own."""
    total = settings.events * settings.cameras * round(settings.seconds * settings.fps)
    with progress("simulate", total=total, unit="frames") as advance:
        if jobs < 2 or settings.events < 2:
            for index in range(settings.events):
                render_event(out, settings, index, advance)
            return
        import multiprocessing
        from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait

        context = multiprocessing.get_context("spawn")
        counter, shown = context.Value("l", 0), 0
        workers = min(jobs, settings.events)
        with ProcessPoolExecutor(workers, context, initializer=_share, initargs=(counter,)) as pool:
            waiting = {pool.submit(_worker, out, settings, index) for index in range(settings.events)}
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
                    now = counter.value
                    if now > shown:
                        advance(now - shown)
                        shown = now
                    for future in done:
                        future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def write_truth(out: Path, settings: Settings) -> dict:
    """truth.json, last. Returns what it holds."""
    from .truth import calibration, identity

    events, identities, cameras = {}, {}, {}
    for index in range(settings.events):
        event = build_event(settings, index)
        events[event.name] = {
            "kind": settings.kind,
            "cameras": [c.name for c in event.cameras],
            "people": [p.id for p in event.people],
            "frames": len(event),
        }
        identities |= {str(p.id): identity(p, event.name) for p in event.people}
        cameras[event.name] = {c.name: calibration(c) for c in event.cameras}
    truth = {
        "kind": settings.kind,
        "seed": settings.seed,
        "fps": settings.fps,
        "seconds": settings.seconds,
        "size": [settings.width, settings.height],
        "identities": identities,
        "events": events,
        "calibration": cameras,
    }
    write_json(out / "truth.json", truth)
    return truth


def simulate_mot(out: Path, settings: Settings, source: Path) -> dict:
    """Figures into annotated boxes; see `imitate`."""
    from .imitate import looks, read_sequences, render_sequence
    from .truth import identity

    sequences = read_sequences(source, settings.frames)
    if source.resolve() == out.resolve():
        raise UsageError(f"'{out}' is the folder of the annotation itself; name another one for the frames.")
    people = looks(sequences, settings.seed)
    open_output(out, settings)
    with progress("simulate", total=sum(len(s) for s in sequences), unit="frames") as advance:
        for sequence in sequences:
            if (out / sequence.name / "gt" / "gt.txt").is_file():
                advance(len(sequence))
            else:
                render_sequence(sequence, people[sequence.video], out, settings.seed, advance)
    truth = {
        "kind": "mot",
        "seed": settings.seed,
        "note": "Boxes and ids are the annotation's; looks are made up, one for each id of a video.",
        "identities": {
            str(p.id): {**identity(p, video), "annotated_id": i}
            for video, those in people.items()
            for i, p in those.items()
        },
        "events": {
            video: {
                "sequences": [s.name for s in sequences if s.video == video],
                "people": [p.id for p in those.values()],
            }
            for video, those in people.items()
        },
        "calibration": {},
    }
    write_json(out / "truth.json", truth)
    return truth


def simulate(out: Path, settings: Settings, jobs: int | None = None) -> dict:
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
            return simulate_mot(out, settings, Path(settings.from_mot))
        open_output(out, settings)
        render_all(out, settings, jobs or min(4, usable_cores()))
        return write_truth(out, settings)
    except OSError as error:
        raise ReidkitError(
            f"Cannot write '{out}': {error.strerror or error}. Choose a folder you may write to."
        ) from error
