"""Which frames of a tracklet, and which tracklets of a dataset, go into a clip or a batch. Indices only, no pixels.

Example:

    chosen = chunk_sample(len(tracklet.frames), 8, np.random.default_rng(0))      # training, [T]
    clips = dense_clips(len(tracklet.frames), 8)                                  # test, [clips, T]
    for batch in identity_batches(labels, P=8, K=4, seed=0, epoch=3): ...         # indices into labels, [P*K]
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np

EpochOf = Literal["identities", "tracklets"]
Composition = Literal["cameras", "different", "drawn", "shuffled"]
TrainChunks = Literal["even", "filled", "window"]


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


def filled_chunk_sample(n: int, T: int, rng: np.random.Generator) -> np.ndarray:
    """One random frame from each of T chunks of ceil(n / T) places, those past the end being the last frame: [T].

    As TF-CLIP's code draws: of a tracklet that T doesn't divide the last frame comes often, once for each empty chunk.

    >>> filled_chunk_sample(5, 8, np.random.default_rng(0)).tolist()
    [0, 1, 2, 3, 4, 4, 4, 4]
    """
    _check(n, T)
    size = -(-n // T)
    return np.minimum(size * np.arange(T) + rng.integers(0, size, T), n - 1)


def window_sample(n: int, T: int, rng: np.random.Generator) -> np.ndarray:
    """One random frame from each of T equal chunks of a random window of 8 T, 4 T, 2 T or T frames: [T].

    As PSTA's code draws: the longest of these windows that the tracklet holds. One shorter than T as in `chunk_sample`.
    """
    _check(n, T)
    width = next((width for width in (8, 4, 2, 1) if n >= width * T), 0)
    if not width:
        return chunk_sample(n, T, rng)
    start = rng.integers(0, n - width * T + 1)
    return start + width * np.arange(T) + rng.integers(0, width, T)


def stride_sample(n: int, T: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """T frames, `stride` apart, from a random start in a tracklet of `n` frames: [T], in time order.

    As AP3D's and BiCnet-TKS' code draw: of a tracklet shorter than T * stride come T different random frames, and of
    one shorter than T all of them, some twice or more.

    >>> stride_sample(9, 4, 3, np.random.default_rng(0)).tolist()
    [2, 4, 5, 7]
    """
    _check(n, T)
    if stride < 1:
        raise ValueError(f"a stride is at least 1, not {stride}")
    if n >= T * stride:
        return rng.integers(0, n - (T - 1) * stride) + stride * np.arange(T)
    return np.sort(rng.choice(n, T, replace=False)) if n >= T else chunk_sample(n, T, rng)


def clip_sample(
    n: int, T: int, rng: np.random.Generator, *, stride: int = 0, chunks: TrainChunks = "even"
) -> np.ndarray:
    """The frames of a training clip, [T]: `stride_sample`, or at a stride of 0 one frame of each chunk.

    Args:
        chunks: "even" of `chunk_sample`, "filled" of `filled_chunk_sample`, "window" of `window_sample`.
    """
    if stride:
        return stride_sample(n, T, stride, rng)
    return {"even": chunk_sample, "filled": filled_chunk_sample, "window": window_sample}[chunks](n, T, rng)


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
    *,
    epoch_of: EpochOf = "identities",
    composition: Composition = "cameras",
) -> list[np.ndarray]:
    """Batches of P groups of K tracklets of an identity, as indices into `labels`: a list of [P*K].

    With fewer than P identities (or groups) every batch holds all of them. The same `(seed, epoch)` gives the same
    batches.

    Args:
        cameras: of each label; None: all the same.
        epoch_of: "identities", one group an identity; or "tracklets", as many groups as an identity's tracklets fill,
            one where they fill none. What is left over comes in another epoch.
        composition: "cameras" is ours: P different identities, their K tracklets from as many different cameras as they
            have. The others draw tracklets by chance: "different", P different identities; "drawn", the same with an
            identity's tracklets drawn with replacement; "shuffled", groups in random order, so that an identity may
            come twice. An identity of fewer than K repeats some.

    An epoch ends where fewer than P are left to choose from, and what is left is dropped. "cameras" over identities
    fills its last batch with identities drawn again instead, so that each comes.

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
    if composition == "cameras" and epoch_of == "identities":
        return _each_identity(of_identity, cameras, P, K, rng)
    groups = {i: _groups(of_identity[i], cameras, K, rng, composition) for i in sorted(of_identity)}
    if epoch_of == "identities":
        groups = {identity: own[:1] for identity, own in groups.items()}
    if composition == "shuffled":
        pool = [group for own in groups.values() for group in own]
        order, P = rng.permutation(len(pool)), min(P, len(pool))
        starts = range(0, len(pool) - P + 1, max(P, 1))
        return [np.concatenate([pool[i] for i in order[start : start + P]]) for start in starts]
    batches, P = [], min(P, len(groups))
    while groups and len(groups) >= P:
        chosen = rng.choice(sorted(groups), P, replace=False).tolist()
        batches.append(np.concatenate([groups[identity].pop() for identity in chosen]))
        groups = {identity: own for identity, own in groups.items() if own}
    return batches


def _each_identity(
    of_identity: dict[int, list[int]],
    cameras: Sequence[int] | np.ndarray | None,
    P: int,
    K: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Every identity once, the last batch filled up."""
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
        batches.append(np.concatenate([np.resize(_turns(of_identity[int(i)], cameras, rng), K) for i in chosen]))
    return batches


def _groups(
    tracklets: list[int],
    cameras: Sequence[int] | np.ndarray | None,
    K: int,
    rng: np.random.Generator,
    composition: Composition,
) -> list[np.ndarray]:
    """An identity's groups of K: as many as its tracklets fill, but at least one."""
    count = max(len(tracklets) // K, 1)
    if composition == "cameras":
        return list(np.resize(_turns(tracklets, cameras, rng), (count, K)))
    if composition == "drawn" or len(tracklets) < K:
        return list(rng.choice(tracklets, (count, K)))
    return list(rng.permutation(tracklets)[: count * K].reshape(count, K))


def _turns(tracklets: list[int], cameras: Sequence[int] | np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """An identity's tracklets in random order, a camera's second one only after every camera had its first."""
    shuffled = rng.permutation(tracklets)
    if cameras is None:
        return shuffled
    turn: dict[int, int] = defaultdict(int)
    turns = []
    for index in shuffled:
        camera = int(cameras[index])
        turns.append(turn[camera])
        turn[camera] += 1
    return shuffled[np.argsort(turns, kind="stable")]


def _check(n: int, T: int) -> None:
    if n < 1 or T < 1:
        raise ValueError(f"a tracklet has at least one frame and a clip too, not {n} and {T}")
