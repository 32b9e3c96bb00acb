"""Which frames of a tracklet, and which tracklets of a dataset, go into a clip or a batch. Indices only, no pixels.

Example:

    chosen = chunk_sample(len(tracklet.frames), 8, np.random.default_rng(0))      # training, [T]
    clips = dense_clips(len(tracklet.frames), 8)                                  # test, [clips, T]
    for batch in identity_batches(labels, P=8, K=4, seed=0, epoch=3): ...         # indices into labels, [P*K]
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def chunk_sample(n: int, T: int, rng: np.random.Generator) -> np.ndarray:
    """One random frame from each of T equal chunks of a tracklet of `n` frames: [T], in time order.

    The restricted random sampling of Li et al., "Diversity Regularized Spatiotemporal Attention", CVPR 2018. A tracklet
    shorter than T repeats frames, each about T / n times.

    >>> chunk_sample(3, 6, np.random.default_rng(0)).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    _check(n, T)
    edges = np.arange(T + 1) * n // T
    lengths = np.maximum(np.diff(edges), 1)
    return edges[:-1] + rng.integers(0, lengths)


def stride_sample(n: int, T: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """T frames, `stride` apart, from a random start in a tracklet of `n` frames: [T], in time order.

    A tracklet too short for that is sampled with the widest stride that fits; one shorter than T as in `chunk_sample`.
    """
    _check(n, T)
    if stride < 1:
        raise ValueError(f"a stride is at least 1, not {stride}")
    if n < T:
        return chunk_sample(n, T, rng)
    stride = min(stride, (n - 1) // (T - 1)) if T > 1 else stride
    return rng.integers(0, n - (T - 1) * stride) + stride * np.arange(T)


def dense_clips(n: int, T: int) -> np.ndarray:
    """All `n` frames in consecutive clips: [ceil(n / T), T]. The last clip is filled by cycling its own frames.

    >>> dense_clips(10, 4).tolist()
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 8, 9]]
    """
    _check(n, T)
    starts = np.arange(0, n, T)[:, None]
    return starts + np.arange(T)[None, :] % np.minimum(T, n - starts)


def middle_frames(n: int, T: int) -> np.ndarray:
    """The middle frames of T equal chunks: [T], in time order; frames repeat where n < T.

    >>> middle_frames(12, 4).tolist()
    [1, 4, 7, 10]
    """
    _check(n, T)
    return (2 * np.arange(T) + 1) * n // (2 * T)


def strided_clips(n: int, T: int) -> np.ndarray:
    """`s = n // T` clips (at least one), clip i being frames i, i+s, i+2s, ...: [s, T].

    Every clip spans the whole tracklet. The last n - s*T frames are in no clip. A tracklet shorter than T gives one
    clip that cycles its frames.

    >>> strided_clips(9, 4).tolist()
    [[0, 2, 4, 6], [1, 3, 5, 7]]
    """
    _check(n, T)
    clips = max(n // T, 1)
    return (np.arange(clips)[:, None] + clips * np.arange(T)[None, :]) % n


def identity_batches(
    labels: Sequence[int] | np.ndarray,
    P: int,
    K: int,
    seed: int,
    epoch: int,
    cameras: Sequence[int] | np.ndarray | None = None,
) -> list[np.ndarray]:
    """Batches of P identities with K tracklets each, as indices into `labels`: a list of [P*K].

    An epoch is one pass over the identities: each comes once, and the last batch is filled up with identities drawn
    again. A batch never has an identity twice; with fewer than P identities every batch holds all of them. The K
    tracklets of an identity come from as many different cameras as it has, and repeat only when it has fewer than K.
    The same `(seed, epoch)` gives the same batches.

    >>> batches = identity_batches([0, 0, 1, 1, 1, 2], P=2, K=4, seed=0, epoch=0)
    >>> [len(batch) for batch in batches]
    [8, 8]
    """
    if P < 1 or K < 1:
        raise ValueError(f"P and K are at least 1, not {P} and {K}")
    rng = np.random.default_rng([seed, epoch])
    of_identity: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        of_identity[int(label)].append(index)
    identities = np.array(sorted(of_identity))
    P = min(P, len(identities))

    order = rng.permutation(identities)
    batches = []
    for start in range(0, len(order), max(P, 1)):
        chosen = order[start : start + P]
        missing = P - len(chosen)
        if missing:
            others = np.setdiff1d(identities, chosen)
            chosen = np.concatenate([chosen, rng.choice(others, missing, replace=False)])
        batches.append(np.concatenate([_choose(of_identity[int(i)], cameras, K, rng) for i in chosen]))
    return batches


def _choose(
    tracklets: list[int], cameras: Sequence[int] | np.ndarray | None, K: int, rng: np.random.Generator
) -> np.ndarray:
    """K of an identity's tracklets in random order, a camera's second one only after every camera had its first."""
    shuffled = rng.permutation(tracklets)
    if cameras is not None:
        turn: dict[int, int] = defaultdict(int)
        turns = []
        for index in shuffled:
            camera = int(cameras[index])
            turns.append(turn[camera])
            turn[camera] += 1
        shuffled = shuffled[np.argsort(turns, kind="stable")]
    return np.resize(shuffled, K)


def _check(n: int, T: int) -> None:
    if n < 1 or T < 1:
        raise ValueError(f"a tracklet has at least one frame and a clip too, not {n} and {T}")
