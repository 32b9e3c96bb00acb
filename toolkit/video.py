"""Frames of a source with their presentation times: videos through PyAV, folders of images, MOTChallenge sequences.

    take = probe(source)
    reader = FrameReader(source, start=30.0, stop=60.0, size=(416, 416))
    for frame in reader:
        frame.index, frame.time, frame.image        # image uint8 RGB [H, W, 3]
    reader.count                                    # expected, read, damaged, lost

A frame that may have been decoded from a damaged one is damaged too (`damage`). What the decoder doesn't notice stays
unseen, as streams carry no checksums: three of four flipped bits in H.264 are noticed, hardly any in HEVC and VP9.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from ..datasets.errors import UsageError
from ..datasets.files import sha256_file
from ..datasets.images import decode
from .container import open_at
from .frame_index import frame_index, image_number
from .sources import Source
from .whole_frames import timed_frames, untimed_frames

LONGEST_DAYS = 30  # of a take; beyond, its timestamps are wrong


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
    """How many frames a range should have, how many came out whole, and how many are damaged and were dropped."""

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


def probe(source: Source) -> Take:
    """The source with its size, rate, length and checksum; the first whole frame is decoded to know that one can be.

    Raises:
        UsageError: the file is no video, is cut before its index, or none of its frames can be decoded; or its times
            span more than 30 days.
    """
    index = frame_index(source)
    if not index.times:
        raise UsageError(f"'{source.path}' holds no frames. Copy or export it again, or take it away.")
    span = index.times[-1] - index.times[0]
    fps = (len(index.times) - 1) / span if source.images is None and span > 0 else index.rate
    duration = index.times[-1] + 1.0 / fps
    if duration > LONGEST_DAYS * 86400:
        raise UsageError(
            f"By its times '{source.path}' lasts {duration / 86400:.3g} days; at most {LONGEST_DAYS} are read. "
            "Export it again with right timestamps, or take it away."
        )
    try:
        first = next(iter(FrameReader(source, size=(64, 64))))
    except StopIteration:
        raise UsageError(
            f"None of the {len(index.times)} frames of '{source.path}' can be decoded whole. "
            "Copy or export it again, or take it away."
        ) from None
    if source.images is None:
        digest = sha256_file(source.path)
    else:
        lines = "".join(f"{path.name} {sha256_file(path)}\n" for path in index.files)
        digest = hashlib.sha256(lines.encode()).hexdigest()
    count = len(index.times) + index.missing
    return Take(source, first.width, first.height, float(fps), count, float(duration), digest)


def segments(take: Take, seconds: float = 30.0) -> tuple[Segment, ...]:
    """Cuts a take into stretches of `seconds` with stable ids ("0000", "0001", …)."""
    # A last stretch shorter than a tenth of a segment joins the one before it.
    number = max(1, int(np.ceil(take.duration / seconds - 0.1)))
    return tuple(Segment(f"{i:04d}", i * seconds, (i + 1) * seconds if i + 1 < number else None) for i in range(number))


class FrameReader:
    """Iterates the whole frames with start <= time < stop (seconds); `count` is final once the iteration has ended.

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
        self.index = frame_index(source)
        self.first, self.last = self.index.span(start, stop)
        missing = self.index.missing if stop is None else 0
        self.count = DecodeCount(expected=self.last - self.first + missing)
        self._reformatter = VideoReformatter()

    def __iter__(self) -> Iterator[Frame]:
        self.count = DecodeCount(expected=self.count.expected)
        if self.first >= self.last:
            return iter(())
        if self.source.images is not None:
            return self._images()
        return self._timed() if self.index.ticks else self._untimed()

    def _add(self, *, read: int = 0, damaged: int = 0) -> None:
        self.count += DecodeCount(0, read, damaged)

    def _wants(self, number: int) -> bool:
        return self.wanted is None or number in self.wanted

    def _images(self) -> Iterator[Frame]:
        for position in range(self.first, self.last):
            path = self.index.files[position]
            number = image_number(self.source, path, position)
            if not self._wants(number):
                self._add(read=1)
                continue
            image = decode(path.read_bytes(), upright=True)
            if image is None:
                self._add(damaged=1)
                continue
            self._add(read=1)
            height, width = image.shape[:2]
            fitted = fit(width, height, self.size)
            if fitted != (width, height):
                image = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA)
            yield Frame(number, self.index.times[position], image, width, height)

    def _timed(self) -> Iterator[Frame]:
        """Streams with timestamps: a frame is known by its tick, whatever is lost before it."""
        for earlier in (0, 1):
            with open_at(self.source.path, self.index.keys, self.index.ticks[self.first], earlier) as container:
                frames = timed_frames(container, self.index, self.first, self.last)
                begin = next(frames, None)
                # Where the picture is refreshed bit by bit in place of whole key frames (x264's intra-refresh), it is
                # complete one refresh after a key frame only.
                if not earlier and (begin is None or begin[0] > self.first):
                    continue
                for number, decoded, whole in itertools.chain([begin] if begin else [], frames):
                    yield from self._counted(number, decoded, whole)
                return

    def _untimed(self) -> Iterator[Frame]:
        """Streams without timestamps: frames are counted from the start of the file."""
        with open_at(self.source.path, (), None) as container:
            for number, (decoded, whole) in enumerate(untimed_frames(container)):
                if number >= self.last:
                    return
                if number >= self.first:
                    yield from self._counted(number, decoded, whole)

    def _counted(self, number: int, decoded: av.VideoFrame, whole: bool) -> Iterator[Frame]:
        self._add(read=whole, damaged=not whole)
        if whole and self._wants(number):
            yield self._convert(decoded, number)

    def _convert(self, decoded: av.VideoFrame, number: int) -> Frame:
        turns = round(decoded.rotation / 90) % 4
        width, height = decoded.width, decoded.height
        # `size` is about the upright frame; the decoder's frame may lie on its side.
        size = self.size[::-1] if self.size and turns % 2 else self.size
        fitted = fit(width, height, size)
        # One for all frames keeps what it has set up for their size, and a small picture is not worth a second thread.
        image = self._reformatter.reformat(decoded, *fitted, "rgb24", interpolation="AREA", threads=1).to_ndarray()
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
            width, height = (height, width) if turns % 2 else (width, height)
        return Frame(number, self.index.times[number], image, width, height)


def fit(width: int, height: int, size: tuple[int, int] | None) -> tuple[int, int]:
    """The largest size of the same shape within `size`, never larger than the original.

    >>> fit(1920, 1080, (640, 640)), fit(320, 180, (640, 640))
    ((640, 360), (320, 180))
    """
    if size is None:
        return width, height
    scale = min(size[0] / width, size[1] / height, 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))
