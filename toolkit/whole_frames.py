"""Frames that come out of a video's decoder, each with whether it is whole.

    with open_at(path, index.keys, index.ticks[first]) as container:
        for number, frame, whole in timed_frames(container, index, first, last):
            ...

FFmpeg flags the frame in which it finds an error; what that ruins is found out here (`damage`).
"""

from collections.abc import Iterator

import av
from av.container import InputContainer
from av.video.frame import PictureType

from .container import packets
from .damage import Damage, Dependence
from .frame_index import FrameIndex

MOST_BETWEEN = 16  # B frames in a row
LATE = 32  # packets; H.264 keeps at most 16 frames back


def timed_frames(
    container: InputContainer, index: FrameIndex, first: int, last: int
) -> Iterator[tuple[int, av.VideoFrame, bool]]:
    """The frames first <= number < last that come out: number, frame, and whether it is whole.

    They are in order of presentation, but for those that a decoder gives out late after damage. A frame is held back
    until all have come out that it may be decoded from; with B frames, some are presented after it. A frame that
    doesn't come out counts as damaged where the decoder reported an error at its packet; some codecs have packets that
    hold no picture.

    Args:
        container: standing at a key frame at or before `first`.
        index: of a stream with timestamps.
    """
    frames = index.dependence
    watch = _Watch(frames, container.streams.video[0].codec_context.thread_count)
    enough = int(frames.settled[first:last].max())
    # A decoder that stumbled may still give out frames of this range when it has been sent so many packets more.
    latest = int(frames.position[first:last].max()) + LATE
    held: list[tuple[int, av.VideoFrame]] = []
    wanted = last - first
    for packet, came, failed in _decode(container):
        watch.sent(None if packet is None else index.number(packet.pts), packet, failed)
        for decoded in came:
            number = index.number(decoded.pts)
            if number is None or not watch.came(number, decoded.is_corrupt):
                continue
            if first <= number < last:
                held.append((number, decoded))
                wanted -= 1
        held.sort(key=lambda pair: pair[0])
        while held and (packet is None or frames.settled[held[0][0]] <= watch.reached):
            number, decoded = held.pop(0)
            yield number, decoded, not watch.damage.ruins(number)
        if watch.reached >= enough and (not wanted or watch.place > latest):
            return


class _Watch:
    """What a decoder was sent and what came out of it, and the damage that tells.

    Attributes:
        place: of the last packet in decoding order.
        reached: the highest number that came out.
    """

    def __init__(self, frames: Dependence, threads: int) -> None:
        self.frames, self.damage, self.threads = frames, Damage(frames), threads
        self.place = self.reached = -1
        self._out: set[int] = set()
        self._errors: set[int] = set()  # places

    def sent(self, number: int | None, packet: av.Packet | None, failed: bool) -> None:
        """The decoder was given the packet of frame `number` (None where it isn't known); at last, None."""
        if number is not None:
            if self.place < 0:
                self.reached = number - 1
            self.place = int(self.frames.position[number])
            if packet.is_corrupt:
                self.damage.mark(number)
        if failed:
            self._errors.add(self.place)
        if packet is None:
            self._pass_over(len(self.frames.position))

    def came(self, number: int, corrupt: bool) -> bool:
        """A frame came out; False if it did before, or can't be told from others."""
        if self.place < 0 or number in self._out:
            return False
        self._out.add(number)
        if corrupt:
            self.damage.mark(number)
        self._pass_over(number)
        self.reached = max(self.reached, number)
        return True

    def _pass_over(self, stop: int) -> None:
        for number in range(self.reached + 1, stop):
            place = int(self.frames.position[number])
            # Each thread has a packet in hand: an error is reported that many packets later.
            if number not in self._out and any(place + late in self._errors for late in range(self.threads)):
                self.damage.mark(number)


def untimed_frames(container: InputContainer) -> Iterator[tuple[av.VideoFrame, bool]]:
    """All frames of a stream without timestamps, in order, and whether each is whole.

    Which packet a frame came from isn't known here. Damage lasts until a key frame comes out that was sent after it; B
    frames are held back until the next other frame, which they may be decoded from.

    Args:
        container: standing at the start.
    """
    held: list[av.VideoFrame] = []
    broken, keys_sent, keys_out, keys_needed = False, 0, 0, 0
    for packet, came, failed in _decode(container):
        keys_sent += packet is not None and packet.is_keyframe
        if failed:
            broken, keys_needed = True, keys_sent + 1
        for decoded in came:
            if decoded.pict_type == PictureType.B and len(held) < MOST_BETWEEN:
                held.append(decoded)
                continue
            keys_out += decoded.key_frame
            fresh = bool(decoded.key_frame) and keys_out >= keys_needed
            whole = not decoded.is_corrupt and (fresh or not broken)
            harmed = any(between.is_corrupt for between in held)
            for between in held:
                yield between, not broken and not harmed and whole
            yield decoded, whole
            held, broken = [], not whole or (harmed and not fresh)
    for between in held:
        yield between, not broken and not any(b.is_corrupt for b in held)


def _decode(container: InputContainer) -> Iterator[tuple[av.Packet | None, list[av.VideoFrame], bool]]:
    """Each packet with the frames that come out upon it, and whether the decoder reported an error; at last None, upon
    which the decoder gives out what it still holds."""
    stream = container.streams.video[0]
    for packet in packets(container, stream):
        yield packet, *_frames(stream.codec_context, packet)
    yield None, *_frames(stream.codec_context, None)


def _frames(decoder: av.VideoCodecContext, packet: av.Packet | None) -> tuple[list[av.VideoFrame], bool]:
    try:
        return decoder.decode(packet), False
    except av.FFmpegError:
        return [], True
