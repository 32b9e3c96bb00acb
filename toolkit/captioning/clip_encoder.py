"""CLIP's two towers as plain functions over pictures and texts, for the captioner `attributes`."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from ...baselines.clip import encode_text, load_clip
from ...datasets.clips import CLIP_MEAN, CLIP_STD, ClipSpec
from ...datasets.errors import MissingWeights
from ...datasets.transforms import normalise
from ...training.weights import missing

# (open_clip's name, pixels): a person's shape, with the position embedding resized to it
FULL = ("ViT-B-16-quickgelu", 256, 128)
TINY = ("tiny", 128, 64)
SIMULATED = "simulated"  # the weights of the tiny CLIP, which knows the simulator's people only


def encoders(
    pretrained: str, device: str = ""
) -> tuple[Callable[[list[Image.Image]], np.ndarray], Callable[[list[str]], np.ndarray]]:
    """(images -> [n, D], texts -> [n, D]), both L2-normalised float32: ViT-B/16, or `SIMULATED`'s tiny CLIP.

    Raises:
        MissingWeights: the weights are not on this machine. UsageError: unknown tag, or an unusable file.
    """
    backbone, height, width = TINY if pretrained == SIMULATED else FULL
    spec = ClipSpec(frames=1, height=height, width=width, mean=CLIP_MEAN, std=CLIP_STD)
    try:
        clip = load_clip(backbone, pretrained, height, width)
    except MissingWeights as error:  # what else its sentence offers (--set, --from-scratch) is for training
        raise missing(*error.names, otherwise="give a file with --weights FILE") from None
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    clip.image.to(where).eval()
    clip.text.to(where).eval()

    def images(pictures: list[Image.Image]) -> np.ndarray:
        batch = torch.stack([resize(pil_to_tensor(p), [height, width], antialias=True) for p in pictures])
        with torch.inference_mode():
            return _unit(clip.image(normalise(batch.to(where), spec)).projected[:, 0])

    def texts(sentences: list[str]) -> np.ndarray:
        return _unit(encode_text(clip, sentences)[1])

    return images, texts


def _unit(features: Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy()
