"""CLIP-ReID (Li, Sun and Li, AAAI 2023), an image model, as a video baseline: frames are averaged.

    reidkit run clipreid --bench mars
    reidkit evaluate clipreid --weights ViT-B-16_60.pth --bench mars

Stage 1 (`prepare`) learns four vectors an identity in "A photo of a X X X X person."; stage 2 trains the image tower
with the texts frozen. A test feature is the class token [768] and its projection [512], before the batch norms.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..datasets import ReidDataset
from ..datasets.clips import ClipSpec
from ..training.model import FrameExtractor, ModelInfo
from ..training.recipe import Composition, ErasedFill, Weight
from .clip import TINY_SETTINGS, load_clip, start_cameras
from .prompts import NAMES, PromptedClip, PromptRecipe
from .renaming import rename

TEMPLATE = "A photo of a X X X X person."


@dataclass(frozen=True, kw_only=True)
class ClipreidRecipe(PromptRecipe):
    """The authors' configuration for people: pixels scaled to -1 … 1, Adam 5e-6, x0.1 at 29 and 49 of 60 epochs."""

    clip: ClipSpec = ClipSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    camera_weight: Weight = 0.0  # of the camera embedding in the class token; 0 builds the model without it

    composition: Composition = "different"
    erase_fill: ErasedFill = "noise"
    lr: float = 5e-6
    epochs: int = 60
    milestones: tuple[int, ...] = (29, 49)


RECIPES = {
    "full": ClipreidRecipe(),
    "tiny": ClipreidRecipe().changed(**TINY_SETTINGS, identities=4, prompt_epochs=30, prompt_lr=3e-3),
}

VARIANTS = {"camera": {"camera_weight": 1.0}}

INFO = ModelInfo(
    title="CLIP-ReID",
    venue="AAAI",
    year=2023,
    paper="arXiv 2211.13977",
    backbone="CLIP ViT-B/16",
    licence="MIT",
    parity="authors' code with made-up weights: feature, texts, scores and contrast within 1e-4",
    version=2,  # trained as the authors trained
)


class Clipreid(PromptedClip):
    """`forward`, `embed` and `prepare` as `training.model.ReidModel` wants them."""

    def __init__(self, recipe: ClipreidRecipe, num_classes: int, num_cameras: int) -> None:
        clip = load_clip(recipe.backbone, recipe.pretrained, recipe.clip.height, recipe.clip.width, recipe.seed)
        super().__init__(recipe, clip, TEMPLATE, num_classes)
        self.image = clip.image
        self.cameras = None
        if recipe.camera_weight:
            # zero until `prepare` starts it, so that a checkpoint without the embedding changes nothing
            self.cameras = nn.Parameter(torch.zeros(max(num_cameras, 1), clip.config.width))

    def prepare(self, dataset: ReidDataset, extract: FrameExtractor) -> None:
        """Stage 1, and where the camera embedding starts."""
        super().prepare(dataset, extract)
        start_cameras(self.cameras)

    def clip_features(self, clips: Tensor, cameras: Tensor) -> dict[str, Tensor]:
        """[B, T, 3, H, W], [B] -> "penultimate" [B, W], "image" [B, W], "projection" [B, E]: means over the frames."""
        batch, frames = clips.shape[:2]
        offset = None
        if self.cameras is not None:
            offset = self.recipe.camera_weight * self.cameras[cameras].repeat_interleave(frames, dim=0)
        tokens = self.image(clips.flatten(0, 1), offset)
        classes = {"penultimate": tokens.penultimate, "image": tokens.final, "projection": tokens.projected}
        return {name: x[:, 0].unflatten(0, (batch, frames)).mean(1) for name, x in classes.items()}


def build(recipe: ClipreidRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities and cameras 0 … `num_cameras` - 1.

    Raises:
        UsageError: CLIP's weights are absent, or of another model; the sentence says how to get them.
    """
    return Clipreid(recipe, num_classes, num_cameras)


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names to ours; ours, and names that neither has, pass through."""
    return rename(state, {**NAMES, "cv_embed": "cameras"})
