"""McByte: what is missing is said before any work, and each frame's picture reaches the tracker."""

import importlib.util

import numpy as np
import pytest
import supervision as sv

from reidkit.datasets import UsageError
from reidkit.toolkit import track
from reidkit.toolkit.boxes import DETECTION_COLUMNS, _pictures
from reidkit.toolkit.build import BuildSettings, build
from reidkit.toolkit.mcbyte import CUTIE, SAM, require_masks
from reidkit.toolkit.settings import FootageSettings
from reidkit.toolkit.sources import Source
from reidkit.toolkit.video import probe


def test_what_is_missing_is_named_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("reidkit.toolkit.mcbyte.cache_folder", lambda: tmp_path)
    with pytest.raises(UsageError, match=f"'segment_anything'.*'cutie'.*{SAM}.*{CUTIE}.*another tracker"):
        build(tmp_path, tmp_path / "out", BuildSettings(footage=FootageSettings(tracker="mcbyte")), None, None)
    for name in (SAM, CUTIE):
        (tmp_path / name).touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert require_masks() == (tmp_path / SAM, tmp_path / CUTIE)


class Watching:
    """A tracker that keeps the numbers that the pictures show."""

    def __init__(self, read):
        self.read, self.seen = read, []

    def update(self, detections, frame, timestamp):
        self.seen.append(None if frame is None else self.read(frame))
        return sv.Detections(
            detections.xyxy, confidence=detections.confidence, tracker_id=np.ones(len(detections), int)
        )


def test_each_frame_reaches_the_tracker(make_video, read_number, tmp_path, monkeypatch):
    import polars as pl

    video = make_video(tmp_path / "a.mp4", frames=20)
    take = probe(Source("e", "a", video))
    watching = Watching(read_number)
    monkeypatch.setitem(track.TRACKERS, track.MCBYTE, lambda *_: watching)
    rows = [(k, k / take.fps, 10.0, 10.0, 30.0, 60.0, 0.9) for k in range(20) if k % 3]
    found = pl.DataFrame(rows, schema=DETECTION_COLUMNS, orient="row")
    tracks = track.track_boxes(found, fps=take.fps, tracker="mcbyte", picture_of=_pictures(take))
    assert watching.seen == [k for k in range(20) if k % 3]
    assert tracks["frame"].to_list() == watching.seen
