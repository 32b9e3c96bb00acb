"""One event's tracklets: second boxes on a person, cuts, views, junk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reidkit.datasets.format import FRAME_COLUMNS
from reidkit.toolkit.embed import CropEmbeddings
from reidkit.toolkit.events import propose
from reidkit.toolkit.footage import Extracted
from reidkit.toolkit.looks import Looks
from reidkit.toolkit.pieces import SourceWork, second_boxes
from reidkit.toolkit.settings import EventSettings
from reidkit.toolkit.sources import Source
from reidkit.toolkit.track import TRACK_COLUMNS
from reidkit.toolkit.video import Take

RATE = 10
FACES = np.eye(8) + 0.25
WHOLE, LEGS, OTHER = (100, 100, 160, 280), (105, 190, 150, 278), (300, 100, 360, 280)


def work(tracks, camera="a", seconds=4.0, truth=None):
    """A source of tracks [(box, first frame, frames, who or a list of who for each frame, quality)]."""
    rng = np.random.default_rng([len(tracks), ord(camera)])
    boxes, rows, features, quality = [], [], [], []
    for number, (box, first, count, who, good) in enumerate(tracks, start=1):
        for k in range(count):
            frame = first + k
            boxes.append((frame, frame / RATE, number, *map(float, box), 0.9, truth and truth[number - 1]))
            rows.append({"tracklet": f"{number:05d}", "frame": frame, "time": frame / RATE, "shard": "crops/x.tar"})
            feature = FACES[who[k] if isinstance(who, list) else who] + 0.02 * rng.normal(size=8)
            features.append(feature / np.linalg.norm(feature))
            quality.append(good)
    table = pl.DataFrame(rows, schema=FRAME_COLUMNS)
    tracklets = pl.DataFrame(
        {
            "tracklet": [f"{n:05d}" for n in range(1, len(tracks) + 1)],
            "start": [t[1] / RATE for t in tracks],
            "end": [(t[1] + t[2] - 1) / RATE for t in tracks],
            "frames": [t[2] for t in tracks],
            "quality": [t[4] for t in tracks],
            "truth": pl.Series(truth or [None] * len(tracks), dtype=pl.Int64),
        }
    )
    looks = Looks.nothing(len(table))
    tracked = pl.DataFrame(boxes, schema=TRACK_COLUMNS, orient="row").sort("frame", "track")
    looked = pl.DataFrame({"frame": range(int(seconds * RATE))}).with_columns(time=pl.col("frame") / RATE)
    extracted = Extracted(table, tracklets, tracked, looked, {}, looks)
    source = Source("e", camera, Path(camera))
    crops = CropEmbeddings(np.arange(len(rows)), np.array(features, np.float32), np.array(quality, np.float32))
    take = Take(source, 640, 480, RATE, int(seconds * RATE), seconds, "0" * 64)
    return SourceWork(take, extracted, crops)


@pytest.mark.parametrize(
    ("tracks", "found"),
    [
        ([(WHOLE, 0, 30, 0, 0.9), (LEGS, 5, 15, 0, 0.5), (OTHER, 0, 30, 1, 0.9)], {"00002"}),  # legs of somebody seen
        ([(LEGS, 0, 30, 0, 0.3), (WHOLE, 0, 30, 0, 0.9)], {"00001"}),  # whichever came first
        ([(WHOLE, 0, 30, 0, 0.9), (LEGS, 28, 30, 0, 0.5)], set()),  # inside for two frames of thirty: passing behind
        ([(WHOLE, 0, 10, 0, 0.9), (LEGS, 10, 10, 0, 0.5)], set()),  # one after the other
    ],
)
def test_second_boxes(tracks, found):
    assert second_boxes(work(tracks), EventSettings()) == found


def test_second_boxes_do_not_forbid_links():
    seen = [
        work([(WHOLE, 0, 30, 0, 0.9), (LEGS, 0, 30, 0, 0.5), (OTHER, 0, 30, 1, 0.9)], "a"),
        work([(WHOLE, 0, 30, 0, 0.9), (OTHER, 0, 30, 1, 0.9)], "b"),
    ]
    table = propose(seen, EventSettings()).tracklets
    assert table["reason"].to_list() == ["", "second box", "", "", ""]
    cluster = table["cluster"].to_list()
    assert cluster[0] == cluster[3] != cluster[2] == cluster[4]
    assert cluster[1] == -1


def test_a_tracklet_of_two_people_is_cut_and_both_parts_linked():
    seen = [
        work([(WHOLE, 0, 24, [0] * 12 + [1] * 12, 0.9), (OTHER, 0, 24, 2, 0.9)], "a"),
        work([(WHOLE, 0, 24, 0, 0.9), (OTHER, 0, 24, 1, 0.9), ((400, 100, 450, 280), 0, 24, 2, 0.9)], "b"),
    ]
    proposals = propose(seen, EventSettings())
    table = proposals.tracklets
    assert table["id"].to_list()[:2] == ["e--a--00001-a", "e--a--00001-b"]
    assert proposals.counts["tracklets_cut"] == 1
    assert table["frames"].to_list()[:2] == [12, 12]
    cluster = table["cluster"].to_list()
    assert cluster[:3] == [cluster[3], cluster[4], cluster[5]]
    assert len(set(cluster)) == 3
    assert proposals.frames["tracklet"].to_list()[:12] == ["e--a--00001-a"] * 12


def test_annotated_tracks_are_never_cut_and_their_ids_hold():
    # The crops say otherwise in every way: a change of looks, one look for two ids, two looks for one id.
    seen = [
        work(
            [(WHOLE, 0, 20, [0] * 10 + [1] * 10, 0.9), (OTHER, 0, 20, 2, 0.9), (OTHER, 25, 10, 3, 0.9)],
            truth=[5, 6, 6],
        )
    ]
    table = propose(seen, EventSettings()).tracklets
    assert len(table) == 3
    assert table["cluster"][1] == table["cluster"][2] != table["cluster"][0]


def test_views_of_an_only_camera():
    seen = [work([(WHOLE, 0, 40, 0, 0.9), (OTHER, 0, 40, 1, 0.9)])]
    table = propose(seen, EventSettings(), views=2).tracklets
    assert table["camera"].to_list() == ["a@1", "a@2"] * 2
    assert table["end"][0] == table["start"][1] == 2.0
    # What was one tracklet stays one person.
    assert table["cluster"].to_list() == [0, 0, 1, 1]
    assert table["frames"].to_list() == [20, 20, 20, 20]


def test_poor_tracklets_are_junk_and_counted():
    seen = [work([(WHOLE, 0, 30, 0, 0.9), (OTHER, 0, 30, 1, 0.1)], "a"), work([(WHOLE, 0, 30, 0, 0.9)], "b")]
    proposals = propose(seen, EventSettings())
    assert proposals.tracklets["reason"].to_list() == ["", "poor", ""]
    assert proposals.counts["poor"] == 1
    assert proposals.tracklets["confidence"][1] == 0


NEXT, FAR = (120, 100, 180, 280), (900, 100, 960, 280)


def parted(second, first=15, shard="crops/x.tar"):
    """One person's tracklet in two parts beside another person's, and both whole in another camera."""
    own = work([(WHOLE, 0, first, 0, 0.9), (OTHER, 0, 40, 1, 0.9), (second, 18, 20, 0, 0.9)], "a")
    frames = own.extracted.frames
    later = (pl.col("tracklet") == "00003") & (pl.lit(shard) != "crops/x.tar")
    frames = frames.with_columns(shard=pl.when(later).then(pl.lit(shard)).otherwise("shard"))
    own = replace(own, extracted=replace(own.extracted, frames=frames))
    return [own, work([(WHOLE, 0, 40, 0, 0.9), (OTHER, 0, 40, 1, 0.9)], "b")]


def test_parts_of_one_person_become_one_tracklet_again():
    proposals = propose(parted(NEXT), EventSettings())
    table = proposals.tracklets
    assert table["id"].to_list() == ["e--a--00001", "e--a--00002", "e--b--00001", "e--b--00002"]
    assert table["frames"].to_list() == [35, 40, 40, 40]
    assert (table["start"][0], table["end"][0]) == (0.0, 3.7)
    assert (proposals.counts["tracklets_joined"], proposals.counts["boxes_filled_between"]) == (1, 3)
    assert proposals.frames.filter(tracklet="e--a--00001")["frame"].to_list() == [*range(15), *range(18, 38)]
    own = proposals.tracks["e/a"].filter(track=int(table["local"][0]))
    assert own["frame"].to_list() == list(range(38))
    filled = own.filter(pl.col("confidence").is_null())
    assert filled["x1"].to_list() == [105.0, 110.0, 115.0]
    assert len(proposals.tracks["e/a"]) == 35 + 40 + 3


@pytest.mark.parametrize(
    ("second", "first", "shard", "seconds"),
    [
        (FAR, 15, "crops/x.tar", 1.0),  # nobody runs so fast
        (NEXT, 7, "crops/x.tar", 1.0),  # gone for longer
        (NEXT, 15, "crops/y.tar", 1.0),  # a tracklet lies in one shard
        (NEXT, 15, "crops/x.tar", 0.0),  # not wanted
        (NEXT, 18, "crops/x.tar", 0.05),  # one frame after the other, but later than that
    ],
)
def test_parts_that_may_not_be_one_stay_apart(second, first, shard, seconds):
    proposals = propose(parted(second, first, shard), EventSettings(rejoin=seconds))
    cluster = proposals.tracklets["cluster"].to_list()
    assert len(cluster) == 5
    assert cluster[0] == cluster[2] == cluster[3]
    assert (proposals.counts["tracklets_joined"], proposals.counts["boxes_filled_between"]) == (0, 0)


def test_no_box_is_filled_behind_somebody():
    """Between the parts somebody else stands where the person must be."""
    behind = work([(WHOLE, 0, 15, 0, 0.9), (WHOLE, 16, 1, 1, 0.9), (WHOLE, 18, 20, 0, 0.9)], "a")
    whole = work([(WHOLE, 0, 40, 0, 0.9), (OTHER, 0, 40, 1, 0.9)], "b")
    proposals = propose([behind, whole], EventSettings(), views=1)
    filled = proposals.tracks["e/a"].filter(pl.col("confidence").is_null())
    assert filled["frame"].to_list() == [15, 17]
