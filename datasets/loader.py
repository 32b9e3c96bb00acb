"""Tracklets to clips of `uint8`, decoded by a pool of threads ahead of the model.

    spec = ClipSpec(frames=8, height=256, width=128)
    loader = TrainLoader(dataset, spec, identities=8, tracklets=4, seed=0, workers=4)
    for clips, labels, cameras in loader.epoch(0): ...
    for clips, cameras, index in evaluation_clips(dataset.test, spec, sampling="dense", batch_clips=32, workers=4): ...

Decoding releases Python's lock, so threads use the cores and share one cache. What is drawn depends on (seed, epoch,
batch, place in the batch) alone: any number of workers gives the same batches in the same order.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .clips import ClipSpec
from .errors import UsageError, choices
from .images import crop
from .prefetch import prefetch_map
from .sampling import (
    Composition,
    EpochOf,
    TrainChunks,
    clip_sample,
    dense_clips,
    identity_batches,
    middle_frames,
    strided_clips,
)
from .tracklet import Frames, ReidDataset, Tracklet

CACHE_BYTES = 1_500_000_000  # the train set is kept decoded in memory when it fits
Sampling = Literal["dense", "spread", "strided"]
SAMPLINGS: dict[str, Callable[[int, int], np.ndarray]] = {
    "dense": dense_clips,
    "spread": lambda n, T: middle_frames(n, T)[None],
    "strided": strided_clips,
}


def decode_frames(frames: Frames, indices: Iterable[int], height: int, width: int) -> Tensor:
    """The frames at `indices`, RGB, resized (bilinear, antialiased) where they have another size: uint8 [n, 3, H, W].

    Raises:
        UsageError: a file is absent, cut, or no JPEG or PNG.
    """
    indices = [int(i) for i in indices]
    out = np.empty((len(indices), 3, height, width), np.uint8)
    for row, index in enumerate(indices):
        image = crop(frames, index)
        if image.shape[:2] != (height, width):
            image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        for channel in range(3):
            cv2.extractChannel(image, channel, dst=out[row, channel])
    return torch.from_numpy(out)


def decode_tracklet(tracklet: Tracklet, indices: Iterable[int], height: int, width: int) -> Tensor:
    """`decode_frames` of a tracklet, with the tracklet named where a frame is broken."""
    try:
        return decode_frames(tracklet.frames, indices, height, width)
    except UsageError as error:
        raise UsageError(f"Tracklet '{tracklet.id}': {error}") from None


class TrainLoader:
    """Identity-balanced training batches of P identities x K tracklets, one clip of T frames a tracklet.

    Args:
        spec: T, and the pixels' size.
        identities: P; lowered to the number of training identities where there are fewer.
        tracklets: K.
        epoch_of, composition: what an epoch and a batch are made of, see `identity_batches`.
        seed: with the epoch's number it decides every draw.
        workers: decoding threads; 0 decodes in the caller's thread.
        stride: frames from one frame of a clip to the next; 0 takes one from each of T chunks of the tracklet.
        chunks: which chunks, see `clip_sample`.
        rank, world: this process' share of the batches in data-parallel training; every rank gets as many.

    Raises:
        UsageError: the dataset has no training tracklets.
    """

    def __init__(
        self,
        dataset: ReidDataset,
        spec: ClipSpec,
        *,
        identities: int,
        tracklets: int,
        seed: int,
        workers: int,
        epoch_of: EpochOf = "identities",
        composition: Composition = "cameras",
        stride: int = 0,
        chunks: TrainChunks = "even",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not dataset.train:
            raise UsageError(f"'{dataset.name}' has no training tracklets. Train on a dataset with a train split.")
        self.train = dataset.train
        self.labels = np.array([dataset.label_of[t.identity] for t in self.train])
        self.cameras = np.array([t.camera for t in self.train])
        self.spec, self.identities, self.tracklets = spec, identities, tracklets
        self.epoch_of: EpochOf = epoch_of
        self.composition: Composition = composition
        self.stride = stride
        self.chunks: TrainChunks = chunks
        self.seed, self.workers, self.rank, self.world = seed, workers, rank, world
        total = sum(len(t.frames) for t in self.train) * 3 * spec.height * spec.width
        self.cache = _Cache(self.train, spec.height, spec.width) if total <= CACHE_BYTES else None

    def _batches(self, epoch: int) -> list[np.ndarray]:
        return identity_batches(
            self.labels,
            self.identities,
            self.tracklets,
            self.seed,
            epoch,
            self.cameras,
            epoch_of=self.epoch_of,
            composition=self.composition,
        )

    def steps(self, epoch: int) -> int:
        """Batches in epoch `epoch`, for this rank. Where identities run out of tracklets by chance, epochs differ."""
        return -(-len(self._batches(epoch)) // self.world)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields clips uint8 [P*K, T, 3, H, W], labels int64 [P*K], cameras int64 [P*K].

        Raises:
            UsageError: an image is broken; the tracklet is named.
        """
        batches = self._batches(number)
        steps = -(-len(batches) // self.world)
        places = [i % len(batches) for i in range(self.rank, steps * self.world, self.world)]
        spec = self.spec

        def make(place: int) -> tuple[Tensor, Tensor, Tensor]:
            batch = batches[place]
            clips = torch.empty(len(batch), spec.frames, 3, spec.height, spec.width, dtype=torch.uint8)
            for slot, index in enumerate(batch):
                rng = np.random.default_rng([self.seed, number, place, slot])
                tracklet = self.train[index]
                chosen = clip_sample(len(tracklet.frames), spec.frames, rng, stride=self.stride, chunks=self.chunks)
                if self.cache is not None:
                    clips[slot] = self.cache.get(int(index), chosen)
                else:
                    clips[slot] = decode_tracklet(tracklet, chosen, spec.height, spec.width)
            return clips, torch.from_numpy(self.labels[batch]), torch.from_numpy(self.cameras[batch])

        yield from prefetch_map(make, places, self.workers)


class _Cache:
    """Decoded frames of tracklets, filled as they are asked for."""

    def __init__(self, tracklets: Sequence[Tracklet], height: int, width: int) -> None:
        self.tracklets, self.height, self.width = tracklets, height, width
        self.pixels: dict[int, Tensor] = {}
        self.have: dict[int, np.ndarray] = {}
        self.lock = threading.Lock()

    def get(self, index: int, frames: np.ndarray) -> Tensor:
        """Frames of tracklet `index`: [len(frames), 3, H, W]. Two threads may decode one at once, to the same bytes."""
        tracklet = self.tracklets[index]
        with self.lock:
            if index not in self.pixels:
                n = len(tracklet.frames)
                self.pixels[index] = torch.empty(n, 3, self.height, self.width, dtype=torch.uint8)
                self.have[index] = np.zeros(n, bool)
            pixels, have = self.pixels[index], self.have[index]
        missing = np.unique(frames[~have[frames]])
        if len(missing):
            pixels[torch.from_numpy(missing)] = decode_tracklet(tracklet, missing, self.height, self.width)
            have[missing] = True  # only after the pixels are there
        return pixels[torch.from_numpy(frames)]


def evaluation_clips(
    tracklets: Sequence[Tracklet], spec: ClipSpec, *, sampling: Sampling, batch_clips: int, workers: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yields clips uint8 [b, T, 3, H, W], cameras int64 [b], tracklet_index int64 [b]; b <= batch_clips.

    Clips come in the order of `tracklets`, those of a tracklet in time order, possibly over several batches.

    Args:
        spec: T, and the pixels' size.
        sampling: "dense" (all frames), "spread" (one clip of T evenly spread frames) or "strided".

    Raises:
        UsageError: unknown sampling, or a broken image; the tracklet is named.
    """
    if sampling not in SAMPLINGS:
        raise UsageError(choices(sampling, SAMPLINGS, "test sampling"))
    sample = SAMPLINGS[sampling]
    clips = [(index, clip) for index, t in enumerate(tracklets) for clip in sample(len(t.frames), spec.frames)]

    def make(start: int) -> tuple[Tensor, Tensor, Tensor]:
        part = clips[start : start + batch_clips]
        pixels = torch.empty(len(part), spec.frames, 3, spec.height, spec.width, dtype=torch.uint8)
        for row, (index, clip) in enumerate(part):
            once, back = np.unique(clip, return_inverse=True)
            shown = decode_tracklet(tracklets[index], once, spec.height, spec.width)
            pixels[row] = shown[torch.from_numpy(back)]
        index = torch.tensor([i for i, _ in part])
        return pixels, torch.tensor([tracklets[i].camera for i, _ in part]), index

    yield from prefetch_map(make, range(0, len(clips), batch_clips), workers)
