"""Video files opened through PyAV: `with open_video(path) as container: ...`, and their packets despite damage."""

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..datasets.errors import UsageError

# Decoders that report damage as an error run on so many threads. Those that flag the frame instead (H.264, MPEG-4) run
# on one: with two, FFmpeg may hand out a frame before it has found the error in it, now so and now so.
DECODER_THREADS = 2
REPORT_ERRORS = frozenset({"hevc", "vp8", "vp9", "av1"})
MOST_ERRORS = 100  # of a container in one place; FFmpeg moves on after each error, unless the file has ended


def open_video(path: Path) -> InputContainer:
    """The container, with at least one video stream in it.

    Raises:
        UsageError: the file is absent, empty, cut, or no video.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"'{path}' is no plain file. Take it away, or put a video in its place.")
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


def open_at(path: Path, keys: Sequence[int], tick: int | None, earlier: int = 0) -> InputContainer:
    """A container that stands at a key frame at or before `tick`, ready to decode; at the start where that can't be
    had.

    Containers seek by decoding time and some only roughly, so the landing is verified, and up to three earlier key
    frames are tried.

    Args:
        keys: presentation times of the key frames in the stream's time base, ascending.
        tick: in the same; None for a stream without timestamps.
        earlier: so many key frames before the last one are passed over.
    """
    at = max(0, bisect.bisect_right(keys, tick) - earlier) if tick is not None else 0
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


def _open_for_decoding(path: Path) -> InputContainer:
    container = open_video(path)
    stream = container.streams.video[0]
    threaded = stream.codec_context.codec.canonical_name in REPORT_ERRORS
    stream.codec_context.thread_count = DECODER_THREADS if threaded else 1
    stream.thread_type = "AUTO"
    return container


def packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """Packets of a stream that hold data, in decoding order; damage in the container is passed over."""
    errors = 0
    source = container.demux(stream)
    while errors < MOST_ERRORS:
        try:
            packet = next(source)
        except StopIteration:
            return
        except av.FFmpegError:
            errors += 1
            source = container.demux(stream)
            continue
        if packet.dts is None and packet.size == 0:  # PyAV adds one to empty the decoder
            return
        errors = 0
        if packet.size:
            yield packet
