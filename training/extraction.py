"""From tracklets to features, for tests and for what a model computes before training.

    features = extract_features(model, dataset.test, recipe, device="cuda")   # [N, D], rows L2-normalised
    prepare(model, dataset, frame_extractor(recipe, device="cuda"))

A tracklet's feature is the mean over its clips' features, a short clip counting by its share of frames, then
L2-normalised; batches only decide the speed.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets import ReidkitError, Tracklet
from ..datasets.loader import evaluation_clips
from ..datasets.progress import progress
from ..datasets.transforms import normalise
from .arithmetic import arithmetic, autocast
from .model import FrameExtractor, check_features
from .recipe import Recipe
from .user_model import user_faults

FRAMES_AT_ONCE = 256  # of full size; memory stays flat whatever the clip length
FULL_SIZE = 256 * 128


def _frames_at_once(recipe: Recipe, device: torch.device) -> int:
    scale = FULL_SIZE / (recipe.clip.height * recipe.clip.width)
    return max(int(FRAMES_AT_ONCE * min(scale, 4.0) * (1.0 if device.type == "cuda" else 0.25)), 1)


@user_faults()
def extract_features(
    model: nn.Module,
    tracklets: Sequence[Tracklet],
    recipe: Recipe,
    device: torch.device | str = "cpu",
    *,
    batch_clips: int | None = None,
    workers: int = 0,
    title: str = "test",
) -> np.ndarray:
    """[N, D] float32, L2-normalised rows in the order of `tracklets`.

    Clips are taken as `recipe.test_sampling` says; with `test_flip` each clip counts together with its mirror image.

    Args:
        batch_clips: clips in one forward pass; None fits them to the clip's size.

    Raises:
        ReidkitError: a feature is not finite, or a user's model file is at fault.
    """
    device = torch.device(device)
    if batch_clips is None:
        batch_clips = max(_frames_at_once(recipe, device) // recipe.test_frames, 1)
    batches = evaluation_clips(
        tracklets,
        recipe.test_clip,
        sampling=recipe.test_sampling,
        batch_clips=batch_clips,
        workers=workers,
        last=recipe.test_last,
    )
    embed: Callable[[Tensor, Tensor], Tensor] = getattr(model, "embed")  # noqa: B009 (nn.Module declares none)
    sums: dict[int, Tensor] = {}
    counts = [0.0] * len(tracklets)
    was_training = model.training
    model.eval()
    try:
        with (
            arithmetic(device),
            torch.inference_mode(),
            autocast(recipe, device),
            progress(title, len(tracklets), "tracklets") as advance,
        ):
            for clips, cameras, index in batches:
                pixels = normalise(clips.to(device, non_blocking=True), recipe.clip)
                cameras = cameras.to(device)
                features = embed(pixels, cameras)
                check_features(features, type(model).__name__, len(clips))
                features = features.float()
                if recipe.test_flip:
                    features = (features + embed(pixels.flip(-1), cameras).float()) / 2
                # summed one by one in double: the order, and so the result, is the same whatever the batch
                share = clips.shape[1] / recipe.test_frames
                for row, i in zip(share * features.double().cpu(), index.tolist(), strict=True):
                    advance(int(counts[i] == 0))
                    sums[i] = sums[i] + row if i in sums else row
                    counts[i] += share
    finally:
        model.train(was_training)
    if 0 in counts:
        raise ReidkitError(f"Tracklet '{tracklets[counts.index(0)].id}' gave no clip. Check it with `reidkit check`.")
    if not tracklets:
        raise ReidkitError("There are no tracklets to extract features of. Check the dataset's test set.")
    means = torch.stack([sums[i] / count for i, count in enumerate(counts)])
    if not bool(means.isfinite().all()):
        bad = int((~means.isfinite().all(1)).nonzero()[0])
        raise ReidkitError(f"The feature of tracklet '{tracklets[bad].id}' is not finite. The training has diverged.")
    return torch.nn.functional.normalize(means, dim=1).float().numpy()


def frame_extractor(recipe: Recipe, device: torch.device | str = "cpu", *, workers: int = 0) -> FrameExtractor:
    """The `FrameExtractor` that `prepare` is given: every frame, as clips of one, normalised, on the device."""
    device = torch.device(device)

    def extract(tracklets: Sequence[Tracklet], function: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        found: list[list[Tensor]] = [[] for _ in tracklets]
        batches = evaluation_clips(
            tracklets,
            dataclasses.replace(recipe.clip, frames=1),
            sampling="dense",
            batch_clips=_frames_at_once(recipe, device),
            workers=workers,
        )
        total = sum(len(t.frames) for t in tracklets)
        # no_grad, not inference mode: what comes out may become a buffer that gradients pass
        with (
            arithmetic(device),
            torch.no_grad(),
            autocast(recipe, device),
            progress("prepare", total, "frames") as advance,
        ):
            for clips, cameras, index in batches:
                images = normalise(clips[:, 0].to(device, non_blocking=True), recipe.clip)
                values = function(images, cameras.to(device)).float().cpu()
                for i, value in zip(index.tolist(), values, strict=True):
                    found[i].append(value)
                advance(len(values))
        return [torch.stack(values) for values in found]

    return extract
