"""A source's frames listed without decoding them: `index = frame_index(source)`, `index.times`, `index.span(30, 60)`.

The list gives every frame its index and its time, so that a segment that is read from the middle has the same frames as
a straight read, at variable frame rates too, and so that frames which never come out of the decoder are counted as lost
instead of passing for the end of the stream.
"""

import bisect
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from .container import open_video, packets
from .damage import Dependence, dependence
from .sources import DEFAULT_IMAGE_RATE, IMAGE_ENDINGS, Source


@dataclass(frozen=True)
class FrameIndex:
    """The presentation times of a source's frames.

    Attributes:
        times: seconds from the first frame, ascending.
        ticks: the same in the stream's time base, without the shift; empty for images and for streams without
            timestamps.
        keys: ticks of the key frames, ascending.
        missing: frames that the container announces beyond those whose data is in the file.
        dependence: which frame is decoded from which; of videos with timestamps.
        files: of images.
        rate: frames a second as a video's header states them.
    """

    times: tuple[float, ...]
    ticks: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()
    missing: int = 0
    dependence: Dependence | None = field(default=None, compare=False)
    files: tuple[Path, ...] = ()
    rate: float = DEFAULT_IMAGE_RATE

    def span(self, start: float, stop: float | None) -> tuple[int, int]:
        """The indices of the frames with start <= time < stop: the first, and the one behind the last."""
        last = len(self.times) if stop is None else bisect.bisect_left(self.times, stop)
        return bisect.bisect_left(self.times, start), last

    def number(self, tick: int | None) -> int | None:
        """The index of the frame that is presented at `tick`; None where there is none."""
        if tick is None:
            return None
        at = bisect.bisect_left(self.ticks, tick)
        return at if at < len(self.ticks) and self.ticks[at] == tick else None


def frame_index(source: Source) -> FrameIndex:
    """The frames of a source.

    Raises:
        UsageError: the file can't be opened.
    """
    if source.images is not None:
        return _image_index(source)
    try:
        stat = source.path.stat()
    except OSError:
        stat = None
    return _video_index(source.path, stat and (stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=32)
def _video_index(path: Path, _version: tuple[int, int] | None) -> FrameIndex:
    with open_video(path) as container:
        stream = container.streams.video[0]
        base, rate = stream.time_base, float(stream.average_rate or stream.guessed_rate or DEFAULT_IMAGE_RATE)
        listed: list[tuple[int | None, bool, bool]] = []  # tick, is it a key frame, does no other frame need it
        discarded = 0
        for packet in packets(container, stream):
            if packet.is_discard:
                discarded += 1
            else:
                listed.append((packet.pts, packet.is_keyframe, packet.is_disposable))
        ticks = [tick for tick, _, _ in listed]
        stated = max(0, stream.frames - discarded) or _stated_by_duration(container, stream, ticks, rate)
    missing = max(0, stated - len(listed))
    if any(tick is None for tick in ticks) or len(set(ticks)) != len(ticks):
        return FrameIndex(tuple(i / rate for i in range(len(listed))), missing=missing, rate=rate)
    ordered = sorted(ticks)
    number = {tick: i for i, tick in enumerate(ordered)}
    return FrameIndex(
        times=tuple(float((tick - ordered[0]) * base) for tick in ordered),
        ticks=tuple(ordered),
        keys=tuple(sorted(tick for tick, key, _ in listed if key)),
        missing=missing,
        dependence=dependence(
            [number[tick] for tick in ticks], [key for _, key, _ in listed], [alone for _, _, alone in listed]
        ),
        rate=rate,
    )


def _stated_by_duration(container, stream, ticks: list[int | None], rate: float) -> int:
    """Frames that a container without a frame count (mkv, ts) announces by its duration.

    Half a second may be missing without a word: an audio track or the last frame's duration make that much.
    """
    known = [tick for tick in ticks if tick is not None]
    if not known:
        return 0
    seconds = float((max(known) - min(known)) * stream.time_base) + 1.0 / rate
    stated = _clock(stream.metadata.get("DURATION", ""))
    if stated is None and container.duration and len(container.streams) == 1:
        stated = container.duration / 1_000_000  # microseconds
    if stated is None or stated - seconds < 0.5:
        return 0
    return len(ticks) + round((stated - seconds) * rate)


def _clock(text: str) -> float | None:
    """`00:01:02.500000000` in seconds."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _image_index(source: Source) -> FrameIndex:
    files = sorted(
        (Path(entry.path) for entry in os.scandir(source.images) if Path(entry.name).suffix.lower() in IMAGE_ENDINGS),
        key=lambda path: (_digits(path.name), path.name),
    )
    fps = source.fps or DEFAULT_IMAGE_RATE
    times = tuple(image_number(source, path, i) / fps for i, path in enumerate(files))
    return FrameIndex(times, files=tuple(files), missing=max(0, (source.stated_frames or 0) - len(files)), rate=fps)


def _digits(name: str) -> tuple[int, ...]:
    """Numbers in a name, so that frame 10 comes after frame 9 without leading zeros."""
    return tuple(int(number) for number in re.findall(r"\d+", name))


def image_number(source: Source, path: Path, position: int) -> int:
    """The index of an image's frame, from 0.

    Where there is an annotation, the image's name is its frame number, from 1; elsewhere the position in the folder
    counts.
    """
    if source.annotation and path.stem.isascii() and path.stem.isdecimal() and int(path.stem) > 0:
        return int(path.stem) - 1
    return position
