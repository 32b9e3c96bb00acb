"""What decides a dataset, stage by stage: `FootageSettings(min_height=64, stride=0.5)`, `EventSettings(min_crops=5)`.

Values are checked when settings are made, before any work.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from ..datasets.fields import check_fields
from .linking import LinkSettings
from .purify import PuritySettings

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]


@dataclass(frozen=True)
class FootageSettings:
    """What decides which crops come out of a take.

    Attributes:
        tracker: looks (`tracking`: boxes, motion and looks), bytetrack, ocsort, botsort,
            cbiou, or mcbyte (where its mask models are installed).
        confidence: of the boxes that a track may start from. None: the detector's own (`Detector.track_confidence`).
        flip_test: look at every frame and at its mirror image, and fuse the boxes; takes twice the time.
        drop_duplicates: leave out second boxes on a person (`refine`). None: the detector's own
            (`Detector.drop_duplicates`).
        min_height: pixels; smaller boxes give no crop.
        min_length: seconds; shorter tracks are dropped.
        max_gap: seconds; a track ends where its person was unseen for longer.
        max_length: seconds; longer tracks are cut into equal parts. None: never. For footage in which a single camera
            follows one person from beginning to end, parts are what a query can be matched with.
        stride: seconds between two crops of a track; 0 takes every frame.
        duplicate: mean difference in grey levels (0-255) under which a crop repeats the one before and is left out.
        duplicate_seconds: but one crop in so many seconds stays, even of a person who doesn't move.
        segment_seconds: length of a durable piece of work.
        jpeg_quality: of crops.
    """

    tracker: Literal["looks", "bytetrack", "ocsort", "botsort", "cbiou", "mcbyte"] = "looks"
    confidence: Share | None = None
    flip_test: bool = False
    drop_duplicates: bool | None = None
    min_height: Annotated[float, Meta(ge=0, le=100_000)] = 48.0
    min_length: Seconds = 0.2
    max_gap: Seconds = 1.0
    max_length: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    stride: Seconds = 0.2
    duplicate: Annotated[float, Meta(ge=0, le=255)] = 2.0
    duplicate_seconds: Seconds = 1.0
    segment_seconds: Annotated[float, Meta(ge=0.1, le=86_400)] = 30.0
    jpeg_quality: Annotated[int, Meta(ge=1, le=100)] = 92

    def __post_init__(self) -> None:
        check_fields(self, "footage setting")


@dataclass(frozen=True)
class EventSettings:
    """What decides who is who in an event.

    Attributes:
        link: of the linking.
        purity: of the cutting where a person changes.
        nested: share of the smaller of two boxes that lies inside the larger, from which both are taken for one person.
        nested_share: share of the shorter tracklet's frames that must be so.
        min_quality: 0 to 1. A cluster is junk where each of its tracklets has a lower quality or fewer than `min_crops`
            crops: nobody could tell whom it shows.
        rejoin: seconds; what one person's tracklet leaves out in a camera becomes part of it where it is shorter.
        min_crops: see `min_quality`; a piece that is cut off a tracklet and has fewer is not linked.
    """

    link: LinkSettings = field(default_factory=LinkSettings)
    purity: PuritySettings = field(default_factory=PuritySettings)
    nested: Share = 0.8
    nested_share: Share = 0.5
    min_quality: Share = 0.35
    rejoin: Seconds = 1.0
    min_crops: Annotated[int, Meta(ge=1, le=100_000)] = 3

    def __post_init__(self) -> None:
        check_fields(self, "event setting")
