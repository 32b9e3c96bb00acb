"""What one camera filmed of one event, as it lies on the disk: `Source`. `discover` finds them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

VIDEO_ENDINGS = frozenset(
    (".mp4", ".mkv", ".mov", ".avi", ".m4v", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp")
)
IMAGE_ENDINGS = frozenset([".jpg", ".jpeg", ".png", ".bmp"])
DEFAULT_IMAGE_RATE = 25.0

Layout = Literal["video", "images", "mot"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Source:
    """What one camera filmed of one event, as it lies on the disk.

    Attributes:
        event, camera: names; `key` is both.
        path: the video file, the folder of images, or the MOTChallenge sequence's folder.
        images: the folder of images; None for a video.
        fps: frames a second of images; None for a video, which knows its own.
        annotation: MOT lines that boxes and ids are taken from, in place of a detector's. The names of the images are
            then frame numbers, as in the lines.
        stated_frames: how many images there should be, where somebody says so.
        truth: MOT lines of the true boxes, which the build's result is only compared with.
        offset: seconds to add to the source's times to come to the event's clock.
        ignore: boxes (x1, y1, x2, y2) in pixels where nobody is to be detected.
        floor: homography [3][3] from pixels to metres on the floor, where the user gives it.
        activity: the event's sport or dance; "" where nobody said.
    """

    event: str
    camera: str
    path: Path
    images: Path | None = None
    fps: float | None = None
    annotation: Path | None = None
    stated_frames: int | None = None
    truth: Path | None = None
    offset: float = 0.0
    ignore: tuple[Box, ...] = ()
    floor: tuple[tuple[float, ...], ...] | None = None
    activity: str = ""

    @property
    def key(self) -> str:
        return f"{self.event}/{self.camera}"

    @property
    def layout(self) -> Layout:
        """How it lies there: a file, a folder of images, or a MOTChallenge sequence with its annotation."""
        if self.images is None:
            return "video"
        return "images" if self.annotation is None else "mot"
