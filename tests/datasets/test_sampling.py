"""Index samplers against plain loops, over all small lengths and random ones."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidkit.datasets.sampling import (
    chunk_sample,
    dense_clips,
    filled_chunk_sample,
    identity_batches,
    middle_frames,
    stride_sample,
    strided_clips,
    window_sample,
)

lengths = st.tuples(st.integers(1, 200), st.integers(1, 20))


@given(lengths, st.integers(0, 2**32 - 1))
def test_chunk_sample_takes_one_frame_from_each_chunk(sizes, seed):
    n, T = sizes
    indices = chunk_sample(n, T, np.random.default_rng(seed))
    assert indices.shape == (T,)
    for i in range(T):
        start, end = i * n // T, (i + 1) * n // T
        assert start <= indices[i] < max(end, start + 1)


def test_chunk_sample_reaches_every_frame():
    rng = np.random.default_rng(0)
    seen = {int(i) for _ in range(300) for i in chunk_sample(17, 4, rng)}
    assert seen == set(range(17))


def test_chunk_sample_of_a_short_tracklet_repeats_all_its_frames_evenly():
    assert chunk_sample(3, 8, np.random.default_rng(0)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def draws(sample, n, T, *args, times=40):
    """Clips of one tracklet under several generators: [times, T]."""
    return np.array([sample(n, T, *args, np.random.default_rng(seed)) for seed in range(times)])


@given(lengths, st.integers(1, 12))
def test_stride_sample_strides_only_where_the_tracklet_is_that_long(sizes, stride):
    n, T = sizes
    for clip in draws(stride_sample, n, T, stride, times=3).tolist():
        assert len(clip) == T
        assert 0 <= clip[0] <= clip[-1] < n
        if n >= T * stride:
            assert [b - a for a, b in pairwise(clip)] == [stride] * (T - 1)
        elif n >= T:
            assert clip == sorted(set(clip))
        else:
            assert set(clip) == set(range(n))


def test_stride_sample_starts_anywhere_it_fits():
    rng = np.random.default_rng(0)
    starts = {int(stride_sample(20, 4, 5, rng)[0]) for _ in range(200)}
    assert starts == set(range(20 - 3 * 5))
    assert {int(stride_sample(9, 1, 8, rng)[0]) for _ in range(200)} == set(range(9))
    with pytest.raises(ValueError, match="stride"):
        stride_sample(9, 3, 0, rng)


# the frames that each of T = 4 places may show
@pytest.mark.parametrize(
    ("n", "places"),
    [
        (1, [[0], [0], [0], [0]]),
        (3, [[0], [1], [2], [2]]),
        (4, [[0], [1], [2], [3]]),
        (5, [[0, 1], [2, 3], [4], [4]]),  # chunks of two, the third half full, the last empty
        (9, [[0, 1, 2], [3, 4, 5], [6, 7, 8], [8]]),
        (12, [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]),
    ],
)
def test_filled_chunks(n, places):
    clips = draws(filled_chunk_sample, n, 4)
    assert [sorted(set(place)) for place in clips.T.tolist()] == places


@pytest.mark.parametrize(("n", "width"), [(4, 1), (7, 1), (8, 2), (15, 2), (16, 4), (31, 4), (32, 8), (33, 8), (36, 8)])
def test_a_window_is_the_longest_that_fits_and_stands_anywhere(n, width):
    clips = draws(window_sample, n, 4, times=400)
    assert clips.min() == 0
    assert clips.max() == n - 1
    assert (np.diff(clips) >= 1).all()
    assert (np.diff(clips) <= 2 * width - 1).all()
    assert {int(gap) for gap in np.diff(clips).flatten()} == set(range(1, 2 * width))


def test_a_window_of_a_short_tracklet_is_all_of_it():
    assert draws(window_sample, 3, 8, times=3).tolist() == [[0, 0, 0, 1, 1, 1, 2, 2]] * 3


@given(lengths)
def test_dense_clips_are_consecutive_and_the_last_cycles_its_own_frames(sizes):
    n, T = sizes
    expected = []
    for start in range(0, n, T):
        clip = list(range(start, min(start + T, n)))
        own = list(clip)
        while len(clip) < T:
            clip.append(own[len(clip) % len(own)])
        expected.append(clip)
    assert dense_clips(n, T).tolist() == expected


@given(lengths)
def test_spread_takes_the_middle_of_each_chunk(sizes):
    n, T = sizes
    expected = [int(np.floor((i + 0.5) * n / T + 1e-9)) for i in range(T)]
    assert middle_frames(n, T).tolist() == expected
    assert max(expected) < n


@given(lengths)
def test_strided_clips_take_every_s_th_frame(sizes):
    n, T = sizes
    s = max(n // T, 1)
    expected = []
    for clip in range(s):
        own = list(range(clip, n, s))[:T]
        expected.append([own[j % len(own)] for j in range(T)])
    assert strided_clips(n, T).tolist() == expected


@pytest.mark.parametrize(("n", "T"), [(0, 4), (4, 0), (-1, 1)])
def test_nothing_is_sampled_from_nothing(n, T):
    with pytest.raises(ValueError):
        dense_clips(n, T)
    with pytest.raises(ValueError):
        chunk_sample(n, T, np.random.default_rng(0))


population = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=60)


@given(population, st.integers(1, 5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_batches_are_balanced_and_cover_every_identity(people, P, K, seed, epoch):
    labels, cameras = [p for p, _ in people], [c for _, c in people]
    everyone = set(labels)
    batches = identity_batches(labels, P, K, seed, epoch, cameras)
    P = min(P, len(everyone))
    assert len(batches) == -(-len(everyone) // P)
    assert {labels[i] for batch in batches for i in batch} == everyone
    for batch in batches:
        assert len(batch) == P * K
        groups = batch.reshape(P, K)
        assert len({labels[row[0]] for row in groups}) == P
        for row in groups:
            assert len({labels[i] for i in row}) == 1
            own = [i for i, label in enumerate(labels) if label == labels[row[0]]]
            assert len(set(row.tolist())) == min(K, len(own))  # repeats only when there are too few
            assert len({cameras[i] for i in row}) == min(K, len({cameras[i] for i in own}))


def test_batches_depend_on_seed_and_epoch_alone():
    labels = [i // 4 for i in range(80)]

    def flat(seed, epoch):
        return np.concatenate(identity_batches(labels, 4, 2, seed, epoch)).tolist()

    assert flat(1, 2) == flat(1, 2)
    assert len({tuple(flat(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_no_labels_no_batches():
    assert identity_batches([], 4, 2, 0, 0) == []


@given(
    population,
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(["identities", "tracklets"]),
    st.sampled_from(["cameras", "different", "drawn", "shuffled"]),
)
def test_batches_of_every_kind(people, P, K, epoch_of, composition):
    labels, cameras = [p for p, _ in people], [c for _, c in people]
    own = {label: labels.count(label) for label in labels}
    room = {label: 1 if epoch_of == "identities" else max(n // K, 1) for label, n in own.items()}  # groups it has
    batches = identity_batches(labels, P, K, 0, 0, cameras, epoch_of=epoch_of, composition=composition)
    size = min(P, sum(room.values()) if composition == "shuffled" else len(own))
    assert {len(batch) for batch in batches} == {size * K}
    groups = [row for batch in batches for row in batch.reshape(size, K)]
    for row in groups:
        assert len({labels[i] for i in row}) == 1
        if composition != "drawn":
            assert len(set(row.tolist())) == K or own[labels[row[0]]] < K
    filled = composition == "cameras" and epoch_of == "identities"
    for label, n in own.items():
        mine = [row.tolist() for row in groups if labels[row[0]] == label]
        assert len(mine) <= room[label] or filled
        if n >= K and composition in ("different", "shuffled"):
            shown = [i for row in mine for i in row]
            assert len(shown) == len(set(shown))  # an epoch shows none twice
    if composition == "shuffled":
        assert len(batches) == sum(room.values()) // size
    else:
        for batch in batches:
            assert len({labels[row[0]] for row in batch.reshape(size, K)}) == size


def test_an_epoch_over_tracklets_ends_where_too_few_identities_are_left():
    labels = [0] * 40 + [1] * 4 + [2] * 4
    batches = identity_batches(labels, 2, 4, 0, 0, epoch_of="tracklets", composition="different")
    assert len(batches) in (1, 2)  # identity 0 alone has groups left, or 1 and 2 met each other
    assert len(identity_batches(labels, 2, 4, 0, 0, epoch_of="tracklets", composition="shuffled")) == 6


def test_shuffled_groups_may_have_an_identity_twice_in_a_batch():
    labels = [0] * 40 + [1] * 4
    batches = identity_batches(labels, 2, 4, 0, 0, epoch_of="tracklets", composition="shuffled")
    assert any(len({labels[i] for i in batch}) == 1 for batch in batches)
