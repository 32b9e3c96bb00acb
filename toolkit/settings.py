"""What decides which crops come out of footage: `FootageSettings(min_height=64, stride=0.5)`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FootageSettings:
    """What decides which crops come out of a take.

    Attributes:
        tracker: bytetrack, ocsort or botsort.
        confidence: of the boxes that a track may start from. None: the detector's own (`Detector.track_confidence`).
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

    tracker: str = "bytetrack"
    confidence: float | None = None
    min_height: float = 48.0
    min_length: float = 0.5
    max_gap: float = 1.0
    max_length: float | None = None
    stride: float = 0.2
    duplicate: float = 2.0
    duplicate_seconds: float = 1.0
    segment_seconds: float = 30.0
    jpeg_quality: int = 92
