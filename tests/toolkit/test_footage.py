"""A source from footage to crops: the right people, every loss counted, and the same bytes after a kill."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import supervision as sv

from reidkit.datasets.format import FRAME_COLUMNS
from reidkit.toolkit.boxes import box_source
from reidkit.toolkit.footage import extract_take
from reidkit.toolkit.settings import FootageSettings
from reidkit.toolkit.sources import Source
from reidkit.toolkit.track import BOX
from reidkit.toolkit.video import probe
from reidkit.toolkit.work import source_slug

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
RED, BLUE = (210, 40, 40), (40, 60, 220)
SETTINGS = FootageSettings(min_height=20, stride=0.2, segment_seconds=1.0, duplicate=0.0)


class ByColour:
    """Finds red and blue rectangles; `dies_at` batches it raises, as a kill would stop it."""

    name, sha256, input_size = "by-colour", "0" * 64, (96, 96)

    def __init__(self, dies_at: int | None = None) -> None:
        self.calls, self.dies_at = 0, dies_at

    def detect(self, images):
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        return [self._one(image.astype(int)) for image in images]

    def _one(self, image) -> sv.Detections:
        boxes = []
        for strong, weak in ((0, 2), (2, 0)):
            rows, columns = np.nonzero(image[..., strong] - image[..., weak] > 70)
            if len(rows) > 20:
                # A fifth of a figure is its pale head, above the coloured part.
                top = rows.min() - (rows.max() + 1 - rows.min()) / 4
                boxes.append((columns.min(), top, columns.max() + 1, rows.max() + 1))
        return sv.Detections(
            xyxy=np.array(boxes, np.float32).reshape(-1, 4),
            confidence=np.full(len(boxes), 0.9, np.float32),
            class_id=np.zeros(len(boxes), int),
        )


def walk(number: int):
    """Red walks to the right, blue comes into view in frame 40 and stands a little lower."""
    people = [(10 + 1.2 * number, 30, 24, 70, RED)]
    return people + ([(150, 40, 24, 72, BLUE)] if number >= 40 else [])


@pytest.fixture(scope="module")
def filmed(make_video, tmp_path_factory) -> Source:
    path = make_video(tmp_path_factory.mktemp("raw") / "gala" / "cam1.mp4", frames=90, people=walk)
    return Source("gala", "cam1", path)


def extract(source: Source, out: Path, detector=None, settings: FootageSettings = SETTINGS):
    boxes = box_source(source, lambda: detector or ByColour())
    return extract_take(probe(source), boxes, settings, out / "work", out / "crops")


def image_of(out: Path, row: dict) -> np.ndarray:
    data = (out / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["length"]]
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_people_become_tracklets_of_their_own_crops(filmed, tmp_path):
    done = extract(filmed, tmp_path)
    assert done.frames.schema == pl.Schema(FRAME_COLUMNS)
    assert done.tracklets["tracklet"].to_list() == ["00001", "00002"]
    assert done.tracklets["start"].to_list() == pytest.approx([0.0, 1.6], abs=0.1)
    assert done.tracklets["end"].to_list() == pytest.approx([89 / 25] * 2, abs=0.05)
    assert done.tracklets["truth"].null_count() == 2
    assert ((done.tracklets["quality"] > 0) & (done.tracklets["quality"] <= 1)).all()
    for tracklet, strong, weak in (("00001", 0, 2), ("00002", 2, 0)):
        rows = done.frames.filter(pl.col("tracklet") == tracklet)
        assert rows["time"].is_sorted()
        for row in rows.iter_rows(named=True):
            crop = image_of(tmp_path, row)
            height, width = crop.shape[:2]
            assert abs(height - (row["y2"] - row["y1"])) <= 2
            if row["occlusion"] < 0.05:  # the middle of the body has the right colour
                body = crop[height // 2, width // 2].astype(int)
                assert body[strong] - body[weak] > 100, row
    # Red stands behind blue when they meet: only red is covered.
    assert done.frames.filter(pl.col("tracklet") == "00002")["occlusion"].max() == 0.0
    counts = done.counts
    assert counts["frames_expected"] == counts["frames_read"] == 90
    assert counts["frames_lost"] == counts["frames_damaged"] == 0
    assert counts["boxes"] == len(done.detections.drop_nulls("x1"))
    assert (
        counts["crops"] == len(done.frames) == counts["crops_chosen"] - counts["crops_lost"] - counts["crops_duplicate"]
    )
    assert done.tracklets["frames"].sum() == counts["crops"]
    spacing = done.frames.filter(pl.col("tracklet") == "00001")["time"].diff().drop_nulls()
    assert spacing.mean() == pytest.approx(0.2, abs=0.03)


def test_shards_are_one_a_segment_and_hold_what_the_table_says(filmed, tmp_path):
    done = extract(filmed, tmp_path)
    assert sorted(p.name for p in (tmp_path / "crops").iterdir()) == [f"gala--cam1--000{i}.tar" for i in range(4)]
    assert done.frames["shard"].unique().sort()[0] == "crops/gala--cam1--0000.tar"
    for (shard,), rows in done.frames.group_by("shard"):
        with tarfile.open(fileobj=io.BytesIO((tmp_path / shard).read_bytes())) as tar:
            inside = {(m.name, m.offset_data, m.size) for m in tar}
        assert inside == {
            (f"{r['tracklet']}/{r['frame']:06d}.jpg", r["offset"], r["length"]) for r in rows.iter_rows(named=True)
        }


@pytest.mark.parametrize("dies_at", [1, 6])
def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(filmed, tmp_path, dies_at):
    whole = extract(filmed, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        extract(filmed, tmp_path / "killed", ByColour(dies_at))
    again = ByColour()
    resumed = extract(filmed, tmp_path / "killed", again)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert resumed.frames.equals(whole.frames)
    assert resumed.tracklets.equals(whole.tracklets)
    assert resumed.counts == whole.counts
    if dies_at > 5:  # a segment is four batches of at most eight frames: what was finished is not done again
        assert again.calls < 13


def test_a_kill_while_cropping(filmed, tmp_path, monkeypatch):
    from reidkit.toolkit import cutting

    extract(filmed, tmp_path / "whole")
    write, calls = cutting.write_shard, []

    def dies(path, members):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(path, members)

    monkeypatch.setattr(cutting, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        extract(filmed, tmp_path / "killed")
    again = ByColour()
    (tmp_path / "killed" / "crops" / ".gala--cam1--0001.tar.123.tmp").write_bytes(b"half a shard")  # by kill -9
    extract(filmed, tmp_path / "killed", again)
    assert again.calls == 0
    assert len(calls) == 2 + 3  # the first segment's shard is not written again
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_other_settings_and_back_never_mix(filmed, tmp_path):
    first = extract(filmed, tmp_path)
    kept = contents(tmp_path / "crops")
    other = extract(filmed, tmp_path, settings=replace(SETTINGS, jpeg_quality=60, stride=0.4))
    assert contents(tmp_path / "crops") != kept
    assert len(other.frames) < len(first.frames)
    back = extract(filmed, tmp_path)
    assert contents(tmp_path / "crops") == kept
    assert back.frames.equals(first.frames)


def test_a_damaged_shard_is_made_again(filmed, tmp_path):
    extract(filmed, tmp_path)
    kept = contents(tmp_path / "crops")
    shard = tmp_path / "crops" / "gala--cam1--0001.tar"
    shard.write_bytes(shard.read_bytes()[:-600])
    again = ByColour()
    extract(filmed, tmp_path, again)
    assert contents(tmp_path / "crops") == kept
    assert again.calls == 0


@pytest.mark.parametrize("content", [b"", b"no table", b'{"expected": "many"}'])
def test_a_damaged_piece_of_work_is_made_again(filmed, tmp_path, content):
    extract(filmed, tmp_path)
    kept = contents(tmp_path)
    for path in (tmp_path / "work").rglob("0001.*"):
        path.write_bytes(content)
    extract(filmed, tmp_path)
    assert contents(tmp_path) == kept


def test_segments_do_not_change_who_is_who(filmed, tmp_path):
    many = extract(filmed, tmp_path / "many")
    one = extract(filmed, tmp_path / "one", settings=replace(SETTINGS, segment_seconds=60.0))
    same = [name for name in FRAME_COLUMNS if name not in ("shard", "offset")]
    assert many.frames.sort("tracklet", "frame").select(same).equals(one.frames.sort("tracklet", "frame").select(same))


def test_nobody_in_the_video(make_video, tmp_path):
    source = Source("e", "empty", make_video(tmp_path / "empty.mp4", frames=30))
    done = extract(source, tmp_path / "out")
    assert done.frames.schema == pl.Schema(FRAME_COLUMNS)
    assert (len(done.frames), len(done.tracklets), done.counts["crops"], done.counts["boxes"]) == (0, 0, 0, 0)
    assert done.counts["frames_read"] == 30
    assert not list((tmp_path / "out").glob("crops/*"))
    assert extract(source, tmp_path / "out").counts == done.counts


def test_a_truncated_video_is_used_up_to_the_cut_and_counted(make_video, tmp_path):
    path = make_video(tmp_path / "cam.mp4", frames=90, people=walk, container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    done = extract(Source("e", "cam", path), tmp_path / "out")
    counts = done.counts
    assert counts["frames_expected"] == 90
    assert counts["frames_lost"] + counts["frames_damaged"] == 90 - counts["frames_read"] > 5
    assert "00001" in done.tracklets["tracklet"].to_list()


def test_who_stands_still_gives_one_crop_a_second(make_video, tmp_path):
    path = make_video(tmp_path / "cam.mp4", frames=100, people=lambda n: [(80, 30, 24, 70, RED)])
    settings = replace(SETTINGS, duplicate=3.0, segment_seconds=30.0)
    done = extract(Source("e", "cam", path), tmp_path / "out", settings=settings)
    assert done.counts["crops_duplicate"] > 10
    assert done.counts["crops"] == pytest.approx(4, abs=1)


def test_regions_to_ignore(filmed, tmp_path):
    done = extract(replace(filmed, ignore=((140.0, 100.0, 192.0, 128.0),)), tmp_path)
    whole = extract(filmed, tmp_path)
    assert done.counts["boxes_ignored"] > 40
    assert done.counts["boxes"] == whole.counts["boxes"]
    assert done.tracklets["tracklet"].to_list() == ["00001"]
    looked_at = done.detections["frame"].unique().sort().to_list()
    assert looked_at == list(range(90))


def test_small_and_short_are_counted(filmed, tmp_path):
    done = extract(filmed, tmp_path, settings=replace(SETTINGS, min_length=3.0, min_height=1000))
    assert done.counts["tracks_short"] == 1
    assert done.counts["boxes_small"] > 80
    assert (done.counts["tracklets"], done.counts["tracklets_empty"]) == (0, 1)


def test_a_sequence_takes_boxes_and_ids_from_its_annotation(make_picture, tmp_path):
    folder = tmp_path / "v_a_c001"
    (folder / "gt").mkdir(parents=True)
    (folder / "img1").mkdir()
    lines = []
    for number in range(60):
        if number != 10:  # an image that is missing although people are annotated in it
            people = walk(number)
            cv2.imwrite(str(folder / "img1" / f"{number + 1:06d}.jpg"), make_picture(number, people)[..., ::-1])
        lines.append(f"{number + 1}, 0, {10 + 1.2 * number}, 30, 24, 70, 1, 1, 1")
        if number < 20 or number > 50:  # out of view for longer than max_gap
            lines.append(f"{number + 1}, 7, 150, 40, 24, 72, 1, 1, 1")
    (folder / "gt" / "gt.txt").write_text("\n".join(lines))
    source = Source("v_a", "c001", folder, folder / "img1", 25.0, annotation=folder / "gt" / "gt.txt", stated_frames=60)
    settings = replace(SETTINGS, stride=0.0, min_length=0.2)
    done = extract(source, tmp_path, settings=settings)
    assert done.tracklets.select("tracklet", "truth").rows() == [("00001", 0), ("00002", 7), ("00003", 7)]
    assert done.counts["frames_expected"] == 60
    assert done.counts["frames_lost"] == 1
    assert done.counts["crops_lost"] == 2
    assert done.counts["boxes"] == len(lines)
    row = done.frames.filter((pl.col("frame") == 30) & (pl.col("tracklet") == "00001")).row(0, named=True)
    assert [row[side] for side in BOX] == pytest.approx([46, 30, 70, 100])
    assert row["confidence"] == 1.0
    cut_up = replace(settings, max_length=0.5)
    parts = extract(source, tmp_path, settings=cut_up).tracklets
    assert parts.filter(pl.col("truth") == 0)["tracklet"].len() == 5


def test_names_of_sources_never_collide():
    pairs = [("a", "b"), ("a--b", "c"), ("a", "b--c"), ("a b", "c"), ("a_b", "c"), ("ä", "c"), ("ö", "c"), ("a-", "c")]
    pairs += [("long" * 40, "b" * 200), ("long" * 41, "b" * 200)]
    slugs = [source_slug(Source(event, camera, Path())) for event, camera in pairs]
    assert len(set(slugs)) == len(pairs)
    assert slugs[0] == "a--b"
    assert max(map(len, slugs)) < 220
    assert all(slug.isascii() and "/" not in slug and " " not in slug for slug in slugs)


def test_bad_names_of_work_are_reported_as_one_sentence(filmed, tmp_path):
    from reidkit.datasets.errors import ReidkitError

    (tmp_path / "work").write_text("a file where the folder should be")
    with pytest.raises(ReidkitError, match="Cannot write"):
        extract(filmed, tmp_path)


@pytest.mark.skipif(not (SHARED / "weights" / "yolox_nano.onnx").is_file(), reason="no YOLOX weights in ../shared")
@pytest.mark.skipif(not (SHARED / "footage").is_dir(), reason="no footage in ../shared")
def test_real_footage_gives_each_person_a_tracklet(tmp_path):
    """Camera 2 sees three people: one fast and partly hidden, one, who watches, half hidden all the time."""
    from reidkit.toolkit.detect import load_detector
    from reidkit.toolkit.embed import load_embedder

    source = Source("e", "cam02", SHARED / "footage" / "pose2sim-multiperson" / "cam02.mp4")
    detector = load_detector(SHARED / "weights" / "yolox_nano.onnx", threads=1)
    embedder = load_embedder(SHARED / "weights" / "osnet_x0_25_msmt17.onnx", threads=1)
    boxes = box_source(source, lambda: detector, lambda: embedder)
    done = extract_take(probe(source), boxes, FootageSettings(), tmp_path / "work", tmp_path / "crops")
    spans = (done.tracklets["end"] - done.tracklets["start"]).to_list()
    assert len(spans) == 3
    assert min(spans) > 1.6
    assert done.counts["boxes_embedded"] < 0.25 * done.counts["boxes"]
    assert done.tracklets["quality"].min() > 0.7


class ByMeanColour:
    """An embedder: a crop's mean colour, less grey."""

    name, sha256 = "mean-colour", "00"

    def embed(self, images):
        rows = np.stack([image.reshape(-1, 3).mean(0) - 100 for image in images]).astype(np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def test_looks_are_kept_and_damaged_ones_made_again_with_the_same_bytes(filmed, tmp_path):
    """A stop leaves some segments' embeddings; the tracks are then the same as without a stop."""

    settings = replace(SETTINGS, tracker="looks")

    def run(embedder):
        boxes = box_source(filmed, ByColour, lambda: embedder)
        return extract_take(probe(filmed), boxes, settings, tmp_path / "work", tmp_path / "crops")

    def stored() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(tmp_path.glob("work/*/looks-*/*"))}

    first, whole = run(ByMeanColour()), stored()
    assert first.counts["boxes_embedded"] > 0
    assert len(whole) > 2

    class Forbidden(ByMeanColour):
        def embed(self, images):
            raise AssertionError("embedded again")

    assert run(Forbidden()).tracks.equals(first.tracks)
    pieces = sorted(tmp_path.glob("work/*/looks-*/*.json"))
    pieces[-1].unlink()  # killed between a table and its facts
    pieces[0].with_suffix(".parquet").write_bytes(b"half")
    again = run(ByMeanColour())
    assert again.tracks.equals(first.tracks)
    assert again.frames.equals(first.frames)
    assert stored() == whole


def test_the_number_of_threads_decides_nothing(filmed, tmp_path):
    class AtOnce(ByColour):
        calls_at_once = True

    for threads in (1, 3):
        boxes = box_source(filmed, AtOnce, threads=threads)
        home = tmp_path / str(threads)
        extract_take(probe(filmed), boxes, SETTINGS, home / "work", home / "crops", threads)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_a_detector_that_fails_in_a_thread_fails_the_take(filmed, tmp_path):
    class AtOnce(ByColour):
        calls_at_once = True

    detector = AtOnce(dies_at=3)
    with pytest.raises(KeyboardInterrupt):
        extract_take(probe(filmed), box_source(filmed, lambda: detector, threads=2), SETTINGS, tmp_path, tmp_path, 2)
