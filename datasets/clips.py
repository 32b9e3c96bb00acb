"""What decides a clip's pixels, in one object: `ClipSpec(frames=8, height=256, width=128)`.

A recipe holds it; the loaders and the transforms take it.
"""

from dataclasses import dataclass, fields
from typing import Annotated

from msgspec import Meta

from .fields import check_fields

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

Pixels = Annotated[int, Meta(ge=1, le=2048)]
Length = Annotated[int, Meta(ge=1, le=1024)]  # of a clip, in frames
Level = Annotated[float, Meta(ge=0, le=1)]
Deviation = Annotated[float, Meta(gt=0, le=10)]


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """A clip is [T, 3, H, W]: T frames, resized to H x W pixels, of which `mean` is taken and divided by `std`.

    Attributes:
        frames: T.
        mean, std: of the channels R, G, B, where black is 0 and white is 1.
    """

    frames: Length = 8
    height: Pixels = 256
    width: Pixels = 128
    mean: tuple[Level, Level, Level] = IMAGENET_MEAN
    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD

    def __post_init__(self) -> None:
        check_fields(self, "recipe key")


CLIP_KEYS = tuple(field.name for field in fields(ClipSpec))  # as recipes store them and `--set` names them
