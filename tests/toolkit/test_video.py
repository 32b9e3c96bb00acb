"""Decoding: every frame is read once, at its time, or counted as damaged or lost."""

import os
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from reidkit.datasets.errors import UsageError
from reidkit.toolkit import video as video_module
from reidkit.toolkit.container import open_at
from reidkit.toolkit.sources import Source
from reidkit.toolkit.video import DecodeCount, FrameReader, fit, probe, segments


def video(path: Path) -> Source:
    return Source("event", path.stem, path)


def everything(source: Source, **options):
    reader = FrameReader(source, **options)
    return list(reader), reader.count


CONTAINERS = [
    ("plain.mp4", {}, {}, "libx264"),
    # the index in front, as cameras that stream write it
    ("front.mp4", {}, {"movflags": "faststart"}, "libx264"),
    # leading B frames refer to the group of pictures before
    ("open.mp4", {"x264-params": "open-gop=1:keyint=10:bframes=3"}, {}, "libx264"),
    # no key frame but the first: the picture is refreshed column by column
    ("refresh.mp4", {"x264-params": "intra-refresh=1:keyint=10"}, {}, "libx264"),
    # no frame count in the header
    ("film.mkv", {}, {}, "libx264"),
    # timestamps don't start at zero
    ("air.ts", {}, {}, "libx264"),
    # packets carry no presentation times
    ("old.avi", {"bf": "0"}, {}, "mpeg4"),
    ("b-frames.avi", {"bf": "2"}, {}, "mpeg4"),
]


@pytest.mark.parametrize(("name", "options", "container", "codec"), CONTAINERS)
def test_segments_have_the_frames_of_a_straight_read(
    tmp_path, make_video, read_number, name, options, container, codec
):
    source = video(make_video(tmp_path / name, frames=60, options=options, container=container, codec=codec))
    info = probe(source)
    straight, count = everything(source)
    assert (info.width, info.height, info.frame_count) == (192, 128, 60)
    assert count == DecodeCount(expected=60, read=60, damaged=0)
    assert [read_number(frame.image) for frame in straight] == list(range(60))
    assert [frame.index for frame in straight] == list(range(60))
    assert [frame.time for frame in straight] == pytest.approx([i / 25 for i in range(60)], abs=2e-3)

    pieces = segments(info, seconds=0.7)
    assert len(pieces) > 2
    joined, total = [], DecodeCount()
    for piece in pieces:
        frames, count = everything(source, start=piece.start, stop=piece.stop)
        joined += frames
        total += count
    assert total == DecodeCount(60, 60, 0)
    assert [(f.index, f.time) for f in joined] == [(f.index, f.time) for f in straight]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(joined, straight, strict=True))


def test_variable_frame_rate_keeps_presentation_times(tmp_path, make_video, read_number):
    times = np.cumsum([0.0, *([0.04] * 10), *([0.12] * 10), *([0.02] * 10)]).tolist()
    source = video(make_video(tmp_path / "phone.mp4", times=times))
    info = probe(source)
    frames, _ = everything(source)
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)
    assert info.fps == pytest.approx(30 / times[-1], rel=1e-2)
    middle, count = everything(source, start=0.5, stop=1.0)
    expected = [i for i, time in enumerate(times) if 0.5 <= time < 1.0]
    assert [read_number(frame.image) for frame in middle] == expected
    assert count.expected == len(expected)


def test_a_truncated_mp4_with_its_index_in_front_counts_what_is_lost(tmp_path, make_video):
    whole = make_video(tmp_path / "whole.mp4", frames=60, container={"movflags": "faststart"})
    data = whole.read_bytes()
    short = tmp_path / "short.mp4"
    short.write_bytes(data[: len(data) * 6 // 10])
    frames, count = everything(video(short))
    assert probe(video(short)).frame_count == 60
    assert count.expected == 60
    assert 10 < count.read == len(frames) < 60
    assert count.lost + count.damaged == 60 - count.read


def test_a_truncated_mkv_counts_what_is_lost(tmp_path, make_video):
    whole = make_video(tmp_path / "whole.mkv", frames=100)
    data = whole.read_bytes()
    short = tmp_path / "short.mkv"
    short.write_bytes(data[: len(data) // 2])
    frames, count = everything(video(short))
    assert 20 < len(frames) < 80
    assert count.expected == pytest.approx(100, abs=2)
    assert count.lost > 10


def test_damage_in_the_middle_is_no_end_of_the_stream(tmp_path, make_video, read_number):
    path = make_video(tmp_path / "cam.mp4", frames=60, container={"movflags": "faststart"})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for at, size in packets[20:24]:
        data[at : at + size] = bytes(size)
    path.write_bytes(data)
    frames, count = everything(video(path))
    assert count.expected == 60
    assert 0 < count.lost + count.damaged < 30
    assert frames[-1].index == 59  # read on to the end
    assert all(read_number(frame.image) == frame.index for frame in frames)


def damaged_video(path: Path, source: Path, which: int, change) -> None:
    """A copy whose packet `which`, in decoding order, is changed by `change(bytes)`."""
    with av.open(str(source)) as container:
        packet = [(p.pos, p.size) for p in container.demux(video=0) if p.size][which]
    data = bytearray(source.read_bytes())
    data[packet[0] : packet[0] + packet[1]] = change(data[packet[0] : packet[0] + packet[1]])
    path.write_bytes(data)


def flags(path: Path) -> int:
    """How many frames a decoder flags."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(frame.is_corrupt for frame in container.decode(video=0))


def flip_that_shows(path: Path, source: Path, which: int) -> None:
    """Flips one bit of a packet so that the decoder flags a frame: most do."""
    rng = np.random.default_rng(which)

    def flip(data: bytearray) -> bytearray:
        data[int(rng.integers(len(data) // 4, len(data)))] ^= 1 << int(rng.integers(8))
        return data

    for _ in range(60):
        damaged_video(path, source, which, flip)
        if flags(path):
            return
    raise AssertionError("no flip shows")


def in_segments(source: Source, seconds: float) -> dict[int, np.ndarray]:
    pieces = segments(probe(source), seconds)
    return {f.index: f.image for p in pieces for f in FrameReader(source, p.start, p.stop)}


@pytest.fixture(params=["cam.mp4", "cam.mkv"])
def walk(request, tmp_path, make_video) -> Path:
    """48 frames in groups of 12: I P B B P B B ..."""
    path = tmp_path / "whole" / request.param
    return make_video(path, frames=48, people=lambda n: [(2 * n, 30, 40, 70, (210, 40, 40))])


def decoded_from(path: Path, which: int) -> list[int]:
    """The frames of packet `which` and of all behind it in decoding order, up to the next key frame."""
    with av.open(str(path)) as container:
        found = [(p.pts, p.is_keyframe) for p in container.demux(video=0) if p.size]
    end = next((i for i in range(which + 1, len(found)) if found[i][1]), len(found))
    ticks = sorted(tick for tick, _ in found)
    return sorted(ticks.index(tick) for tick, _ in found[which:end])


# Packets in decoding order: a key frame, a P frame with the B frames before it, the last P frame
@pytest.mark.parametrize("which", [0, 12, 16, 46])
def test_one_flipped_bit_ruins_what_is_decoded_from_it(walk, tmp_path, which):
    right, _ = everything(video(walk))
    ruined = decoded_from(walk, which)
    path = tmp_path / walk.name
    flip_that_shows(path, walk, which)
    frames, count = everything(video(path))
    assert count == DecodeCount(expected=48, read=48 - len(ruined), damaged=len(ruined))
    assert [frame.index for frame in frames] == [n for n in range(48) if n not in ruined]
    assert all(np.array_equal(frame.image, right[frame.index].image) for frame in frames)
    pieces = in_segments(video(path), 0.3)
    assert sorted(pieces) == [frame.index for frame in frames]
    assert all(np.array_equal(frame.image, pieces[frame.index]) for frame in frames)


@pytest.mark.parametrize("which", [12, 16, 46])
def test_what_needs_a_frame_that_never_comes_out_is_damaged(walk, tmp_path, which):
    right, _ = everything(video(walk))
    ruined = decoded_from(walk, which)
    path = tmp_path / walk.name
    damaged_video(path, walk, which, lambda data: data[:4] + bytes(len(data) - 4))
    frames, count = everything(video(path))
    assert count.read == 48 - len(ruined)
    assert count.lost + count.damaged == len(ruined)
    assert count.lost > 0
    assert sorted(frame.index for frame in frames) == [n for n in range(48) if n not in ruined]
    assert all(np.array_equal(frame.image, right[frame.index].image) for frame in frames)
    assert set(in_segments(video(path), 0.3)) == {frame.index for frame in frames}


@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_damage_in_a_stream_without_timestamps(tmp_path, make_video, b_frames):
    options = {"bf": b_frames, "g": "12"}
    whole = make_video(tmp_path / "whole.avi", frames=48, codec="mpeg4", options=options)
    right, _ = everything(video(whole))
    path = tmp_path / "cam.avi"
    with av.open(str(whole)) as container:
        keys = [i for i, p in enumerate(p for p in container.demux(video=0) if p.size) if p.is_keyframe]
    flip_that_shows(path, whole, keys[1])
    frames, count = everything(video(path))
    assert (count.read + count.damaged, count.read) == (48, len(frames))
    assert 8 <= count.damaged <= 16  # a group, and B frames before it
    assert all(np.array_equal(frame.image, right[frame.index].image) for frame in frames)


def test_a_container_that_gives_up_loses_no_frame_that_the_decoder_holds(tmp_path, make_video, monkeypatch):
    class GivesUp:
        """A container whose every further read is an error when its packets have been read."""

        def __init__(self, container):
            self.container, self.streams, self.packets = container, container.streams, container.demux(video=0)

        def demux(self, stream):
            for packet in self.packets:
                if packet.size:
                    yield packet
            raise av.error.InvalidDataError(1, "broken")

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.container.close()

    source = video(make_video(tmp_path / "cam.mp4", frames=40))
    monkeypatch.setattr(video_module, "open_at", lambda *place: GivesUp(open_at(*place)))
    frames, count = everything(source)
    assert count == DecodeCount(40, 40, 0)
    assert [frame.index for frame in frames] == list(range(40))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97, 0.999])
def test_no_cut_passes_unseen(tmp_path, make_video, share):
    """Wherever a file is cut, either it can't be opened, in one sentence, or the frames that are gone are counted."""
    for name, container in (("front.mp4", {"movflags": "faststart"}), ("back.mp4", {})):
        data = make_video(tmp_path / name, frames=40, container=container).read_bytes()
        path = tmp_path / f"cut-{name}"
        path.write_bytes(data[: int(len(data) * share)])
        try:
            info = probe(video(path))
        except UsageError as error:
            opened, sentence = False, str(error)
        else:
            opened, sentence = True, ""
        if not opened:
            assert str(path) in sentence
            continue
        _, count = everything(video(path))
        assert info.frame_count == count.expected == 40
        assert count.read < 40 or share > 0.99


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("notes.mp4", b"these are no moving pictures\n" * 50, "no video"),
        ("empty.mp4", b"", "empty"),
        # cut before the index: the file begins as an mp4 does
        (
            "cut.mp4",
            b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0\0\0\x08free" + b"\0\1\0\0mdat" + bytes(500),
            "index",
        ),
    ],
)
def test_what_is_no_video_is_one_sentence(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=says) as caught:
        probe(video(path))
    assert str(path) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_pipe_is_no_video_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "cam.mp4")
    with pytest.raises(UsageError, match="no plain file"):
        probe(video(tmp_path / "cam.mp4"))


def test_sound_without_pictures_is_no_video(tmp_path):
    path = tmp_path / "talk.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        output.mux(stream.encode(sound))
        output.mux(stream.encode(None))
    with pytest.raises(UsageError, match="no video stream"):
        probe(video(path))


def test_size_and_wanted_frames(tmp_path, make_video):
    source = video(make_video(tmp_path / "cam.mp4", frames=30))
    frames, count = everything(source, size=(96, 96), wanted={3, 17})
    assert [frame.index for frame in frames] == [3, 17]
    assert frames[0].image.shape == (64, 96, 3)
    assert (frames[0].width, frames[0].height) == (192, 128)
    assert count == DecodeCount(30, 30, 0)  # the others were decoded all the same


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, (200, 100)), ((100, 100), (100, 50)), ((400, 400), (200, 100)), ((50, 10), (20, 10)), ((1, 1), (1, 1))],
)
def test_fit(size, expected):
    assert fit(200, 100, size) == expected


def test_colours_survive(tmp_path, make_video):
    source = video(make_video(tmp_path / "cam.mp4", frames=3, people=lambda n: [(60, 30, 60, 80, (200, 40, 20))]))
    for frame in FrameReader(source):
        assert frame.image[80, 90] == pytest.approx([200, 40, 20], abs=12)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_phone_held_upright_is_read_upright(tmp_path, make_video, degrees):
    """The display matrix of an mp4 is written by hand here: libraries only pass one on."""
    path = make_video(tmp_path / "flat.mp4", frames=5, people=lambda n: [(0, 100, 192, 28, (220, 30, 30))])
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    turned = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    a, b, c, d = (value.to_bytes(4, "big", signed=True) for value in turned)
    zero = bytes(4)
    path.write_bytes(data[:at] + a + b + zero + c + d + zero + data[at + 24 :])
    info = probe(video(path))
    frame = next(iter(FrameReader(video(path))))
    assert (info.width, info.height) == ((192, 128) if degrees == 180 else (128, 192))
    assert frame.image.shape[:2] == (info.height, info.width)
    # A matrix for 90 degrees turns the picture clockwise: its red lower edge comes to lie on the left.
    red = (frame.image[..., 0].astype(int) - frame.image[..., 2]) > 100
    side = {90: red[:, :20], 180: red[:20], 270: red[:, -20:]}[degrees]
    assert side.mean() > 0.9
    assert red.mean() < 0.3


def test_images_in_natural_order_with_damage(tmp_path, make_picture, read_number):
    folder = tmp_path / "right"
    folder.mkdir()
    for number in range(12):
        cv2.imwrite(str(folder / f"frame{number}.png"), make_picture(number, [])[..., ::-1])
    (folder / "frame5.png").write_bytes(b"torn")
    (folder / "frame7.png").write_bytes(b"")
    source = Source("event", "right", folder, folder, fps=10.0)
    info = probe(source)
    frames, count = everything(source)
    assert [read_number(frame.image) for frame in frames] == [0, 1, 2, 3, 4, 6, 8, 9, 10, 11]
    assert [frame.time for frame in frames][:3] == pytest.approx([0.0, 0.1, 0.2])
    assert count == DecodeCount(12, 10, 2)
    assert (info.frame_count, info.fps, info.duration) == (12, 10.0, pytest.approx(1.2))
    (folder / "frame11.png").unlink()
    assert probe(source).sha256 != info.sha256


def test_a_cut_image_is_damaged(tmp_path, make_picture):
    whole = cv2.imencode(".jpg", make_picture(1, []))[1].tobytes()
    for number, data in enumerate((whole, whole[: len(whole) // 2], whole)):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    frames, count = everything(Source("event", "right", tmp_path, tmp_path, fps=10.0))
    assert [frame.index for frame in frames] == [0, 2]
    assert count == DecodeCount(3, 2, 1)


def test_times_that_no_footage_has_are_refused(tmp_path, make_video, make_picture):
    path = make_video(tmp_path / "cam.mkv", times=[0.0, 0.04, 40 * 86400.0])
    with pytest.raises(UsageError, match="lasts 60 days"):
        probe(video(path))
    cv2.imwrite(str(tmp_path / "99999999999.jpg"), make_picture(1, []))
    with pytest.raises(UsageError, match="days"):
        probe(Source("v", "c", tmp_path, tmp_path, fps=25.0, annotation=tmp_path / "gt.txt"))


def test_a_sequence_counts_the_images_that_are_missing(tmp_path, make_picture):
    folder = tmp_path / "v_a_c001"
    (folder / "img1").mkdir(parents=True)
    for number in (1, 2, 3, 6, 7, 8):  # 4, 5, 9 and 10 are not there
        cv2.imwrite(str(folder / "img1" / f"{number:06d}.jpg"), make_picture(number, []))
    source = Source("v_a", "c001", folder, folder / "img1", 25.0, annotation=folder / "gt" / "gt.txt", stated_frames=10)
    frames, count = everything(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 5, 6, 7]  # as the annotation counts, less one
    assert frames[3].time == pytest.approx(0.2)
    assert (count.expected, count.read, count.lost) == (10, 6, 4)


@pytest.mark.parametrize(
    ("duration", "stops"),
    [
        (10.0, [30.0]),
        (60.0, [30.0, None]),
        (61.0, [30.0, None]),  # a crumb joins the segment before
        (65.0, [30.0, 60.0, None]),
    ],
)
def test_segments(tmp_path, make_video, duration, stops):
    info = probe(video(make_video(tmp_path / "cam.mp4", frames=3)))
    pieces = segments(replace(info, duration=duration), seconds=30.0)
    assert pieces[0].start == 0.0
    assert [piece.stop for piece in pieces] == (stops if len(stops) > 1 else [None])
    assert [piece.id for piece in pieces] == [f"{i:04d}" for i in range(len(pieces))]
