"""Decoding, training batches and test clips."""

import dataclasses
import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from reidkit.datasets import Frames, ReidDataset, Tracklet, UsageError, loader
from reidkit.datasets.clips import ClipSpec
from reidkit.datasets.loader import TrainLoader, decode_frames, evaluation_clips
from reidkit.datasets.sampling import dense_clips


@pytest.fixture
def dataset(tmp_path):
    """Five people, two cameras, tracklets of 3 to 12 frames; every pixel of frame f of tracklet t is 20 t + f."""
    tracklets = []
    for t in range(10):
        files = []
        for f in range(3 + t):
            path = tmp_path / f"{t:02d}_{f:02d}.png"
            Image.new("RGB", (8, 16), (20 * t + f,) * 3).save(path)
            files.append(str(path))
        tracklets.append(Tracklet(f"t{t}", 100 + t // 2, t % 2, Frames(tuple(files))))
    return ReidDataset("made", tuple(tracklets), (), (), "video-reid")


SPEC = ClipSpec(frames=4, height=16, width=8)


def batches(data, epoch=0, workers=0, seed=0, **changes):
    options = {"identities": 2, "tracklets": 3} | changes
    return list(TrainLoader(data, SPEC, seed=seed, workers=workers, **options).epoch(epoch))


def equal(left, right):
    return len(left) == len(right) and all(
        torch.equal(a, b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("size", [(16, 8), (40, 20)])  # as stored; to be resized
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "grey"])
def test_decode_equals_pillow(tmp_path, make_jpeg, kind, size):
    image = Image.open(io.BytesIO(make_jpeg(np.random.default_rng(0), 40, 20)))
    image = image.convert("L") if kind == "grey" else image
    path = tmp_path / "x"
    image.save(path, "PNG" if kind == "grey" else kind)
    got = decode_frames(Frames((str(path),)), [0, 0], *size)
    assert got.dtype == torch.uint8
    assert got.shape == (2, 3, *size)
    expected = Image.open(path).convert("RGB").resize((size[1], size[0]), Image.Resampling.BILINEAR)
    # JPEG decoders may round differently by one or two steps
    np.testing.assert_allclose(got[1].permute(1, 2, 0).numpy().astype(int), np.asarray(expected), atol=2)


def test_decode_from_a_shard(tmp_path, make_jpeg):
    parts = [make_jpeg(np.random.default_rng(i)) for i in range(3)]
    shard = tmp_path / "a.tar"
    shard.write_bytes(b"head" + b"".join(parts))
    offsets = tuple(4 + sum(len(p) for p in parts[:i]) for i in range(3))
    frames = Frames((str(shard),), offsets, tuple(len(p) for p in parts))
    for i, part in enumerate(parts):
        (tmp_path / f"{i}.jpg").write_bytes(part)
        alone = decode_frames(Frames((str(tmp_path / f"{i}.jpg"),)), [0], 40, 20)
        assert torch.equal(decode_frames(frames, [i], 40, 20), alone)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("damage", ["half", "two bytes less", "text", "empty", "absent"])
def test_a_broken_image_names_the_tracklet(tmp_path, make_jpeg, damage, workers):
    data = make_jpeg(np.random.default_rng(0))
    path = tmp_path / "x.jpg"
    broken = {"half": data[: len(data) // 2], "two bytes less": data[:-2], "text": b"no image", "empty": b""}
    if damage in broken:
        path.write_bytes(broken[damage])
    tracklet = Tracklet("0007C1", 1, 0, Frames((str(path),)))
    data = ReidDataset("made", (tracklet,), (), (), "video-reid")
    with pytest.raises(UsageError, match=r"0007C1.*x\.jpg") as error:
        batches(data, workers=workers)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="0007C1"):
        list(evaluation_clips([tracklet], SPEC, sampling="dense", batch_clips=1, workers=workers))


def test_batches_hold_what_labels_and_cameras_say(dataset):
    for clips, labels, cameras in batches(dataset):
        assert clips.shape == (6, 4, 3, 16, 8)
        assert clips.dtype == torch.uint8
        values = clips[:, :, 0, 0, 0].long()
        tracklets = values[:, 0] // 20
        assert torch.equal(clips, clips[:, :, :1, :1, :1].expand_as(clips))
        assert torch.equal(values // 20, tracklets[:, None].expand(-1, 4))  # one clip, one tracklet
        assert (values.diff(dim=1) >= 0).all()  # in time order
        assert labels.tolist() == (tracklets // 2).tolist()  # identity 100 + t // 2 is class t // 2
        assert cameras.tolist() == (tracklets % 2).tolist()


def test_workers_and_cache_change_nothing_but_seed_and_epoch_do(dataset, monkeypatch):
    reference = batches(dataset, epoch=3)
    assert equal(reference, batches(dataset, epoch=3, workers=2))
    assert not equal(reference, batches(dataset, epoch=4))
    assert not equal(reference, batches(dataset, epoch=3, seed=1))
    monkeypatch.setattr(loader, "CACHE_BYTES", 0)
    assert equal(reference, batches(dataset, epoch=3))
    assert equal(reference, batches(dataset, epoch=3, workers=2))


def test_cached_frames_are_decoded_once(dataset, monkeypatch):
    decoded = []
    plain = loader.decode_frames
    monkeypatch.setattr(
        loader, "decode_frames", lambda f, i, *s: decoded.extend((f.files[0], int(k)) for k in i) or plain(f, i, *s)
    )
    train = TrainLoader(dataset, SPEC, identities=2, tracklets=3, seed=0, workers=0)
    for epoch in range(6):
        for _ in train.epoch(epoch):
            pass
    assert len(decoded) == len(set(decoded))


def test_clips_with_a_stride(dataset):
    steps = {}
    for clips, _, _ in batches(dataset, stride=2):
        for clip in clips[:, :, 0, 0, 0].tolist():  # a pixel says 20 t + f; tracklet t has 3 + t frames
            steps[clip[0] // 20] = [b - a for a, b in pairwise(clip)]
    assert sorted(steps) == list(range(10))
    assert sum(steps[0]) == 2  # shorter than the clip: all of it
    assert all(min(steps[t]) >= 1 for t in range(1, 5))  # shorter than clip times stride: different frames
    assert all(steps[t] == [2] * 3 for t in range(5, 10))


def test_clips_of_the_chunks_asked_for(dataset):
    for clips, _, _ in batches(dataset, chunks="filled"):
        for clip in clips[:, :, 0, 0, 0].tolist():
            n, frames = 3 + clip[0] // 20, [value % 20 for value in clip]
            size = -(-n // 4)
            assert all(min(size * t, n - 1) <= f <= min(size * t + size - 1, n - 1) for t, f in enumerate(frames))


def test_ranks_share_the_batches(dataset):
    whole = batches(dataset)  # five identities, two a batch: three batches
    options = {"identities": 2, "tracklets": 3, "seed": 0, "workers": 0}
    shares = [TrainLoader(dataset, SPEC, **options, rank=r, world=2) for r in (0, 1)]
    assert [s.steps(0) for s in shares] == [2, 2]
    assert equal(list(shares[0].epoch(0)), [whole[0], whole[2]])
    assert equal(list(shares[1].epoch(0)), [whole[1], whole[0]])  # the last one wraps round


def test_nothing_to_train_on(dataset):
    with pytest.raises(UsageError, match="no training tracklets"):
        batches(dataclasses.replace(dataset, train=()))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_clips", [1, 4, 100])
def test_dense_clips_show_every_frame(dataset, workers, batch_clips):
    rows, where = [], []
    for clips, cameras, index in evaluation_clips(
        dataset.train, SPEC, sampling="dense", batch_clips=batch_clips, workers=workers
    ):
        assert len(clips) == len(cameras) == len(index) <= batch_clips
        assert cameras.tolist() == [i % 2 for i in index.tolist()]
        rows += clips[:, :, 0, 0, 0].tolist()
        where += index.tolist()
    expected = [(t, [20 * t + f for f in clip]) for t in range(10) for clip in dense_clips(3 + t, 4).tolist()]
    assert list(zip(where, rows, strict=True)) == expected


def test_spread_gives_one_clip_a_tracklet_and_unknown_sampling_is_refused(dataset):
    options = {"batch_clips": 100, "workers": 0}
    ((clips, _, index),) = evaluation_clips(dataset.train, SPEC, sampling="spread", **options)
    assert index.tolist() == list(range(10))
    assert clips[9, :, 0, 0, 0].tolist() == [181, 184, 187, 190]
    with pytest.raises(UsageError, match="Did you mean 'dense'"):
        list(evaluation_clips(dataset.train, SPEC, sampling="dens", **options))
    assert list(evaluation_clips([], SPEC, sampling="dense", **options)) == []
