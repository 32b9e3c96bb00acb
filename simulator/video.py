"""Writes H.264 video that browsers play (yuv420p, constant frame rate, index first); same frames, same bytes.

    with VideoWriter(path, size=(640, 360), fps=15) as video:
        video.write(picture)      # uint8 [H, W, 3] BGR

The file appears under its name when the block ends without an error.
"""

import contextlib
import shutil
from fractions import Fraction
from pathlib import Path

import ffmpeg
import numpy as np

from ..datasets.errors import ReidkitError
from ..datasets.files import atomic_path


def ffmpeg_program() -> str:
    """The system's ffmpeg, or the binary that comes with imageio-ffmpeg."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


class VideoWriter:
    """Pipes frames to one encoder thread; the file appears under its name only when it is complete."""

    def __init__(self, path: Path | str, size: tuple[int, int], fps: float, quality: int = 21):
        self.path, self.size = Path(path), size
        self.rate = str(Fraction(fps).limit_denominator(1001))
        self.quality = quality

    def __enter__(self) -> "VideoWriter":
        self._atomic = atomic_path(self.path)
        temporary = self._atomic.__enter__()
        stream = ffmpeg.input(
            "pipe:", format="rawvideo", pix_fmt="bgr24", s=f"{self.size[0]}x{self.size[1]}", framerate=self.rate
        ).output(
            str(temporary),
            format="mp4",
            vcodec="libx264",
            pix_fmt="yuv420p",
            preset="superfast",
            crf=self.quality,
            threads=1,
            g=50,
            movflags="+faststart",
            fflags="+bitexact",
            map_metadata=-1,
            **{"flags:v": "+bitexact"},
        )
        self._process = (
            stream.global_args("-loglevel", "error", "-nostdin")
            .overwrite_output()
            .run_async(cmd=ffmpeg_program(), pipe_stdin=True, pipe_stderr=True)
        )
        return self

    def write(self, picture: np.ndarray) -> None:
        """Appends one frame, uint8 [H, W, 3] BGR.

        Raises:
            ReidkitError: the encoder has stopped.
        """
        try:
            self._process.stdin.write(np.ascontiguousarray(picture).data)
        except BrokenPipeError as error:
            message = self._process.stderr.read().decode(errors="replace").strip().splitlines()
            raise ReidkitError(
                f"ffmpeg stopped while writing '{self.path}': {message[-1] if message else 'no message'}."
            ) from error

    def __exit__(self, kind, value, trace) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        message = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        code = self._process.wait()
        self._process.stderr.close()
        if kind is None and code:
            error = ReidkitError(f"ffmpeg could not write '{self.path}': {message[-1] if message else code}.")
            self._atomic.__exit__(ReidkitError, error, None)
            raise error
        self._atomic.__exit__(kind, value, trace)
