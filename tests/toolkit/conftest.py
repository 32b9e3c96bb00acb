"""Small footage for the toolkit's tests: people are rectangles of a strong colour on a dark floor."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from coloured import load_colour_detector, load_colour_embedder, write_footage
from exportable import MANIFEST, place

from reidkit.toolkit.build import BuildSettings, Outcome, build
from reidkit.toolkit.settings import FootageSettings

SIZE = (192, 128)  # width, height
Rectangle = tuple[float, float, float, float, tuple[int, int, int]]  # x, y, width, height, colour


def picture(number: int, people: Sequence[Rectangle], size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 RGB [H, W, 3]: a textured floor, the frame's number as eight black or white squares on top, the people."""
    width, height = size
    floor = np.random.default_rng(0).integers(30, 60, (height, width, 1), dtype=np.uint8)
    image = np.repeat(floor, 3, axis=2)
    for bit in range(8):
        image[0:8, bit * 8 : bit * 8 + 8] = 255 if number >> bit & 1 else 0
    for x, y, w, h, colour in people:
        x1, y1, x2, y2 = (round(v) for v in (max(0, x), max(0, y), x + w, y + h))
        image[y1:y2, x1:x2] = colour
        image[y1 : y1 + max(2, (y2 - y1) // 5), x1:x2] = (230, 200, 180)  # a head, so that a crop has edges
    return image


def number_of(image: np.ndarray) -> int:
    """The number that `picture` wrote into a frame."""
    return sum(1 << bit for bit in range(8) if image[2:6, bit * 8 + 2 : bit * 8 + 6].mean() > 127)


@pytest.fixture(scope="session")
def read_number() -> Callable[[np.ndarray], int]:
    return number_of


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """`make_video(path, frames=50, fps=25, people=lambda number: [...], times=None)` writes H.264 with B frames.

    `times` in seconds makes the rate variable; `options` go to x264, `container` to the muxer.
    """

    def make(
        path: Path,
        frames: int = 50,
        fps: float = 25.0,
        people: Callable[[int], Sequence[Rectangle]] = lambda number: (),
        times: Sequence[float] | None = None,
        size: tuple[int, int] = SIZE,
        options: dict[str, str] | None = None,
        container: dict[str, str] | None = None,
        codec: str = "libx264",
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", options=container or {}) as output:
            stream = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.options = {"g": "12", "bf": "2", "crf": "12", **(options or {})}
            if codec == "libx264":
                stream.options |= {"preset": "veryfast", "threads": "1"}
            for number in range(len(times) if times is not None else frames):
                frame = av.VideoFrame.from_ndarray(picture(number, people(number), size), format="rgb24")
                if times is not None:
                    frame.time_base, frame.pts = Fraction(1, 12800), round(times[number] * 12800)
                    stream.codec_context.time_base = frame.time_base
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    """Footage of coloured people: two events, two cameras, and who the people are. Not to be changed."""
    return write_footage(tmp_path_factory.mktemp("footage") / "raw")


@pytest.fixture(scope="session")
def built(raw, tmp_path_factory) -> tuple[Path, Outcome]:
    """The dataset of that footage, two shards a take, and what its build said. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("built") / "set"
    settings = BuildSettings(footage=FootageSettings(segment_seconds=2.0))
    return out, build(raw, out, settings, load_colour_detector, load_colour_embedder)


@pytest.fixture
def remake(write_own, tmp_path):
    """`remake(rows, frames=5)`: a dataset of such rows as conftest's ROWS, its crops with frames, times and boxes."""

    def make(rows, **more) -> Path:
        return place(write_own(tmp_path / "other", rows=rows, manifest=MANIFEST, **more))

    return make
