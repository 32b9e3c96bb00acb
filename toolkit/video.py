"""Frames of a source with their presentation times: videos through PyAV, folders of images, MOTChallenge sequences.

    take = probe(source)
    reader = FrameReader(source, start=30.0, stop=60.0, size=(416, 416))
    for frame in reader:
        frame.index, frame.time, frame.image        # image uint8 RGB [H, W, 3]
    reader.count                                    # expected, read, damaged, lost

A video's packets are listed once without decoding. The list gives every frame its index and time, so that a segment
read from the middle has the same frames as a straight read, at variable frame rates too, and so that frames which
never come out of the decoder are counted as lost instead of passing for the end of the stream.
"""

import bisect
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np

from ..datasets.errors import UsageError
from ..datasets.files import sha256_file
from .sources import DEFAULT_IMAGE_RATE, IMAGE_ENDINGS, Source

DECODER_THREADS = 2


@dataclass(frozen=True)
class Take:
    """A source and what is known of it.

    Attributes:
        source: where it lies.
        width, height: pixels, upright (after a phone's rotation flag).
        fps: mean frames a second.
        frame_count: frames announced by the container or the sequence's seqinfo.ini; the number of images elsewhere.
        duration: seconds.
        sha256: of the file; of names and contents for images.
    """

    source: Source
    width: int
    height: int
    fps: float
    frame_count: int
    duration: float
    sha256: str


@dataclass(frozen=True)
class Frame:
    """One frame: `index` in the source from 0, `time` in seconds from its first frame, `image` uint8 RGB [H, W, 3].

    `width`, `height` are those of the full frame, also where `image` is smaller.
    """

    index: int
    time: float
    image: np.ndarray
    width: int
    height: int


@dataclass(frozen=True)
class DecodeCount:
    """How many frames a range should have, how many came out well, and how many came out damaged (and were dropped)."""

    expected: int = 0
    read: int = 0
    damaged: int = 0

    @property
    def lost(self) -> int:
        """Frames that never came out of the decoder."""
        return max(0, self.expected - self.read - self.damaged)

    def named(self) -> dict[str, int]:
        """As the manifest has it: frames_expected, frames_read, frames_damaged, frames_lost."""
        return {f"frames_{name}": getattr(self, name) for name in ("expected", "read", "damaged", "lost")}

    def __add__(self, other: "DecodeCount") -> "DecodeCount":
        return DecodeCount(self.expected + other.expected, self.read + other.read, self.damaged + other.damaged)


@dataclass(frozen=True)
class Segment:
    """A stretch [start, stop) of a source in seconds; the last one's `stop` is None: up to the end."""

    id: str
    start: float
    stop: float | None


@dataclass(frozen=True)
class _Index:
    """Presentation times of a source's frames.

    Attributes:
        times: seconds from the first frame, ascending.
        ticks: the same in the stream's time base, without the shift; empty for images and for streams without
            timestamps.
        keys: ticks of the key frames, ascending.
        missing: frames that the container announces beyond those whose data is in the file.
        files: of images, as (time index, path).
    """

    times: tuple[float, ...]
    ticks: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()
    missing: int = 0
    files: tuple[Path, ...] = ()

    def span(self, start: float, stop: float | None) -> tuple[int, int]:
        """Indices of the frames with start <= time < stop."""
        last = len(self.times) if stop is None else bisect.bisect_left(self.times, stop)
        return bisect.bisect_left(self.times, start), last


def probe(source: Source) -> Take:
    """The source with its size, rate, length and checksum; the first frame is decoded to know that it can be.

    Raises:
        UsageError: the file is no video, is cut before its index, or none of its frames can be decoded.
    """
    index = _index(source)
    if not index.times:
        raise UsageError(f"'{source.path}' holds no frames. Copy or export it again, or take it away.")
    try:
        first = next(iter(FrameReader(source, size=(64, 64))))
    except StopIteration:
        raise UsageError(
            f"None of the {len(index.times)} frames of '{source.path}' can be decoded. "
            "Copy or export it again, or take it away."
        ) from None
    count = len(index.times) + index.missing
    if source.images is None:
        span = index.times[-1] - index.times[0]
        fps = (len(index.times) - 1) / span if span > 0 else _stated_rate(source)
        digest = sha256_file(source.path)
    else:
        fps = source.fps or DEFAULT_IMAGE_RATE
        lines = "".join(f"{path.name} {sha256_file(path)}\n" for path in index.files)
        digest = hashlib.sha256(lines.encode()).hexdigest()
    duration = index.times[-1] + 1.0 / fps
    return Take(source, first.width, first.height, float(fps), count, float(duration), digest)


def segments(take: Take, seconds: float = 30.0) -> tuple[Segment, ...]:
    """Cuts a take into stretches of `seconds` with stable ids ("0000", "0001", …)."""
    # A last stretch shorter than a tenth of a segment joins the one before it.
    number = max(1, int(np.ceil(take.duration / seconds - 0.1)))
    return tuple(Segment(f"{i:04d}", i * seconds, (i + 1) * seconds if i + 1 < number else None) for i in range(number))


class FrameReader:
    """Iterates the frames with start <= time < stop (seconds); `count` is whole once the iteration has ended.

    Args:
        source: what to read.
        start, stop: seconds from the first frame; `stop` None is the end.
        size: (width, height) that images are shrunk to fit within, keeping their shape; None is full size. Shrinking
            happens before the conversion to RGB, which costs more than decoding at full size.
        wanted: indices to yield; the others are decoded and counted, but not converted. None is all.

    Raises:
        UsageError: the source can't be opened.
    """

    def __init__(
        self,
        source: Source,
        start: float = 0.0,
        stop: float | None = None,
        *,
        size: tuple[int, int] | None = None,
        wanted: frozenset[int] | set[int] | None = None,
    ) -> None:
        self.source, self.size, self.wanted = source, size, wanted
        self.index = _index(source)
        self.first, self.last = self.index.span(start, stop)
        missing = self.index.missing if stop is None else 0
        self.count = DecodeCount(expected=self.last - self.first + missing)

    def __iter__(self) -> Iterator[Frame]:
        self.count = DecodeCount(expected=self.count.expected)
        if self.first >= self.last:
            return iter(())
        return self._video() if self.source.images is None else self._images()

    def _add(self, *, read: int = 0, damaged: int = 0) -> None:
        self.count += DecodeCount(0, read, damaged)

    def _wants(self, number: int) -> bool:
        return self.wanted is None or number in self.wanted

    def _images(self) -> Iterator[Frame]:
        for number in range(self.first, self.last):
            path = self.index.files[number]
            at = _frame_number(self.source, path, number)
            if not self._wants(at):
                self._add(read=1)
                continue
            image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
            if image is None:
                self._add(damaged=1)
                continue
            self._add(read=1)
            height, width = image.shape[:2]
            fitted = fit(width, height, self.size)
            if fitted != (width, height):
                image = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA)
            yield Frame(at, self.index.times[number], cv2.cvtColor(image, cv2.COLOR_BGR2RGB), width, height)

    def _video(self) -> Iterator[Frame]:
        ticks, times = self.index.ticks, self.index.times
        with _open_at(self.source.path, self.index.keys, ticks[self.first] if ticks else None) as container:
            stream = container.streams.video[0]
            if not ticks:
                yield from self._counted(container, stream)
                return
            found = set()
            for decoded in self._decoded(container, stream, ticks[self.last - 1]):
                number = bisect.bisect_left(ticks, decoded.pts) if decoded.pts is not None else len(ticks)
                if not (self.first <= number < self.last) or ticks[number] != decoded.pts or number in found:
                    continue
                found.add(number)
                if decoded.is_corrupt:
                    self._add(damaged=1)
                    continue
                self._add(read=1)
                if self._wants(number):
                    yield self._convert(decoded, number, times[number])

    def _decoded(self, container, stream, last: int) -> Iterator[av.VideoFrame]:
        """Frames up to the first at or after tick `last`; they come out in order of presentation, some may be lost."""
        for packet in _packets(container, stream):
            for decoded in _decode(packet):
                yield decoded
                if decoded.pts is not None and decoded.pts >= last:
                    return

    def _counted(self, container, stream) -> Iterator[Frame]:
        """Streams without timestamps: frames are counted from the start of the file."""
        number = 0
        for packet in _packets(container, stream):
            for decoded in _decode(packet):
                if number >= self.last:
                    return
                if number >= self.first:
                    self._add(read=not decoded.is_corrupt, damaged=decoded.is_corrupt)
                    if not decoded.is_corrupt and self._wants(number):
                        yield self._convert(decoded, number, self.index.times[number])
                number += 1

    def _convert(self, decoded: av.VideoFrame, number: int, time: float) -> Frame:
        turns = round(decoded.rotation / 90) % 4
        width, height = decoded.width, decoded.height
        # `size` is about the upright frame; the decoder's frame may lie on its side.
        size = self.size[::-1] if self.size and turns % 2 else self.size
        fitted = fit(width, height, size)
        image = decoded.reformat(*fitted, format="rgb24", interpolation="AREA").to_ndarray()
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
            width, height = (height, width) if turns % 2 else (width, height)
        return Frame(number, time, image, width, height)


def fit(width: int, height: int, size: tuple[int, int] | None) -> tuple[int, int]:
    """The largest size of the same shape within `size`, never larger than the original."""
    if size is None:
        return width, height
    scale = min(size[0] / width, size[1] / height, 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _open(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        if not path.exists():
            raise UsageError(
                f"There is no file '{path}'. It was there when the footage was listed; run again."
            ) from None
        if path.stat().st_size == 0:
            raise UsageError(f"'{path}' is empty (0 bytes). Copy it again, or take it away.") from None
        cut = _looks_like_mp4(path)
        why = (
            "its index is missing, so it was cut while being written or copied"
            if cut
            else "it is no video that FFmpeg knows"
        )
        fix = "Copy it again or repair it (`untrunc`)" if cut else "Convert it to mp4"
        raise UsageError(f"Cannot open '{path}': {why} ({error.strerror or error}). {fix}, or take it away.") from None
    if not container.streams.video:
        container.close()
        raise UsageError(f"'{path}' holds no video stream. Convert it to mp4 with a video stream, or take it away.")
    return container


def _looks_like_mp4(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(12)[4:8] == b"ftyp"


def _packets(container, stream) -> Iterator[av.Packet]:
    """Packets of a stream, the closing one that flushes the decoder last; damage in the container is passed over.

    A container that reports an error again and again at the same place has ended; FFmpeg moves on after each error
    otherwise.
    """
    errors = 0
    packets = container.demux(stream)
    while errors < 100:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            errors += 1
            packets = container.demux(stream)
            continue
        errors = 0
        yield packet
        if packet.dts is None and packet.size == 0:
            return
    # The demuxer gave up: what is still inside the decoder comes out with an empty packet.
    yield av.Packet()


def _decode(packet: av.Packet) -> list[av.VideoFrame]:
    """Frames that a packet brings; none where it is broken, which the count shows as lost."""
    try:
        return packet.decode() if packet.stream is not None else []
    except av.FFmpegError:
        return []


def _open_at(path: Path, keys: tuple[int, ...], tick: int | None) -> av.container.InputContainer:
    """A container that stands at a key frame at or before `tick`, ready to decode; at the start where that can't be
    had.

    Containers seek by decoding time and some only roughly, so the landing is verified, and up to three earlier key
    frames tried.
    """
    at = bisect.bisect_right(keys, tick) if tick is not None else 0
    for key in reversed(keys[max(1, at - 3) : at]):
        container = _open_for_decoding(path)
        stream = container.streams.video[0]
        try:
            container.seek(key, stream=stream, backward=True)
            landed = next(p for p in container.demux(stream) if p.size)
            if landed.is_keyframe and landed.pts is not None and landed.pts <= tick:
                container.seek(key, stream=stream, backward=True)
                return container
        except (av.FFmpegError, StopIteration):
            pass
        container.close()
    return _open_for_decoding(path)


def _open_for_decoding(path: Path) -> av.container.InputContainer:
    container = _open(path)
    stream = container.streams.video[0]
    stream.codec_context.thread_count = DECODER_THREADS
    stream.thread_type = "AUTO"
    return container


def _index(source: Source) -> _Index:
    if source.images is None:
        try:
            stat = source.path.stat()
        except OSError:
            stat = None
        return _video_index(source.path, stat and (stat.st_size, stat.st_mtime_ns))
    return _image_index(source)


@lru_cache(maxsize=32)
def _video_index(path: Path, _version: tuple[int, int] | None) -> _Index:
    with _open(path) as container:
        stream = container.streams.video[0]
        base, rate = stream.time_base, float(stream.average_rate or stream.guessed_rate or DEFAULT_IMAGE_RATE)
        ticks, keys, number, discarded = [], [], 0, 0
        for packet in _packets(container, stream):
            if not packet.size:
                continue
            if packet.is_discard:
                discarded += 1
                continue
            number += 1
            ticks.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
        stated = max(0, stream.frames - discarded)
        if not stated:
            stated = _stated_by_duration(container, stream, ticks, rate)
    missing = max(0, stated - number)
    if any(tick is None for tick in ticks) or len(set(ticks)) != len(ticks):
        return _Index(tuple(i / rate for i in range(number)), missing=missing)
    ticks.sort()
    times = tuple(float((tick - ticks[0]) * base) for tick in ticks)
    return _Index(times, tuple(ticks), tuple(sorted(keys)), missing)


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
        stated = container.duration / av.time_base
    if stated is None or stated - seconds < 0.5:
        return 0
    return len(ticks) + round((stated - seconds) * rate)


def _clock(text: str) -> float | None:
    """`00:01:02.500000000` in seconds."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _stated_rate(source: Source) -> float:
    with _open(source.path) as container:
        stream = container.streams.video[0]
        return float(stream.average_rate or stream.guessed_rate or DEFAULT_IMAGE_RATE)


def _image_index(source: Source) -> _Index:
    files = sorted(
        (Path(entry.path) for entry in os.scandir(source.images) if Path(entry.name).suffix.lower() in IMAGE_ENDINGS),
        key=lambda path: (_digits(path.name), path.name),
    )
    fps = source.fps or DEFAULT_IMAGE_RATE
    times = tuple(_frame_number(source, path, i) / fps for i, path in enumerate(files))
    return _Index(times, files=tuple(files), missing=max(0, (source.stated_frames or 0) - len(files)))


def _digits(name: str) -> tuple[int, ...]:
    """Numbers in a name, so that frame 10 comes after frame 9 without leading zeros."""
    return tuple(int(number) for number in re.findall(r"\d+", name))


def _frame_number(source: Source, path: Path, position: int) -> int:
    """Index from 0. Where there is an annotation, the image's name is its frame number (from 1); elsewhere it is the
    position."""
    if source.annotation and path.stem.isdigit() and int(path.stem) > 0:
        return int(path.stem) - 1
    return position
