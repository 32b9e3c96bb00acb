"""Index samplers against plain loops, over all small lengths and random ones."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidkit.datasets.sampling import (
    chunk_sample,
    dense_clips,
    identity_batches,
    middle_frames,
    stride_sample,
    strided_clips,
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


@given(lengths, st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_stride_sample_steps_by_the_widest_stride_that_fits(sizes, stride, seed):
    n, T = sizes
    indices = stride_sample(n, T, stride, np.random.default_rng(seed)).tolist()
    assert len(indices) == T
    assert 0 <= indices[0] <= indices[-1] < n
    if n < T:
        assert indices == chunk_sample(n, T, np.random.default_rng(seed)).tolist()
    elif T > 1:
        widest = max(s for s in range(1, stride + 1) if (T - 1) * s < n)
        assert [b - a for a, b in pairwise(indices)] == [widest] * (T - 1)


def test_stride_sample_starts_anywhere_it_fits():
    rng = np.random.default_rng(0)
    starts = {int(stride_sample(20, 4, 5, rng)[0]) for _ in range(200)}
    assert starts == set(range(20 - 3 * 5))
    assert {int(stride_sample(9, 1, 8, rng)[0]) for _ in range(200)} == set(range(9))
    with pytest.raises(ValueError, match="stride"):
        stride_sample(9, 3, 0, rng)


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
