"""VSLA-CLIP (Zhang et al., ECCV 2024): CLIP with small adapters, across frames and within tokens, in every block.

    reidkit run vslaclip --bench mars
    reidkit run vslaclip/finetune --bench mars          # no adapters, the whole tower at 5e-6
    reidkit evaluate vslaclip --weights THEIRS.pth --bench mars

Stage 1 (`prepare`) learns prompts of 8 shared, 4 own and 8 shared vectors against the tower without adapters; stage 2
trains the adapters and the heads. A test feature is the class token [768] and its projection [512], averaged over the
frames.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..datasets.clips import ClipSpec
from ..training.losses import supervised_contrast
from ..training.model import ModelInfo, TrainingOutput
from ..training.recipe import Composition, Count, ErasedScope, Weight
from .clip import (
    TINY_SETTINGS,
    Attention,
    Block,
    ClipConfig,
    ImageTokens,
    ImageTower,
    QuickGELU,
    check_heads,
    load_clip,
)
from .prompts import NAMES, PromptedClip, PromptRecipe
from .renaming import rename

TEMPLATE = " ".join("P" * 8 + "X" * 4 + "P" * 8) + " ."
CAMERA_BLOCKS = 9  # of the camera prompt: the first nine, as in the authors' configuration


@dataclass(frozen=True, kw_only=True)
class VslaclipRecipe(PromptRecipe):
    """The authors' configuration: Adam 1e-4 for adapters and heads, x0.1 at 59 and 89 of 120 epochs."""

    clip: ClipSpec = ClipSpec()
    adapters: bool = True
    adapter_width: Count = 256
    adapter_heads: Count = 4
    adapter_start: Literal["uniform", "zero"] = "uniform"  # what adapters add; zero: the tower starts as CLIP
    frozen: bool = True  # CLIP's own parameters in the image tower; without adapters they train in any case
    camera_prompt: bool = False  # a learned token a camera in the attention of the first nine blocks
    contrast_weight: Weight = 1.0  # of the supervised contrast with the texts, in both directions

    lr: float = 1e-4
    weight_decay: float = 2.5e-4
    bias_weight_decay: float | None = 1e-4
    triplet_distance: Literal["euclidean", "cosine"] = "cosine"
    composition: Composition = "shuffled"
    pad: int = 0
    erase_scope: ErasedScope = "place"
    erase_value: tuple[float, float, float] = (0.4914, 0.4822, 0.4465)  # a mean colour, but on normalised pixels
    epochs: int = 120
    milestones: tuple[int, ...] = (59, 89)
    test_sampling: Literal["dense", "spread", "strided"] = "spread"  # their tests read one clip of T frames a tracklet


RECIPES = {
    "full": VslaclipRecipe(),
    # the tiny tower was pretrained for minutes only: it trains too
    "tiny": VslaclipRecipe().changed(
        **TINY_SETTINGS,
        identities=4,
        prompt_epochs=30,
        prompt_lr=3e-3,
        adapter_width=64,
        adapter_heads=2,
        adapter_start="zero",
        frozen=False,
    ),
}

VARIANTS = {"finetune": {"adapters": False, "lr": 5e-6}, "camera-prompt": {"camera_prompt": True}}

INFO = ModelInfo(
    title="VSLA-CLIP",
    venue="ECCV",
    year=2024,
    paper="arXiv 2408.07500",
    backbone="CLIP ViT-B/16",
    licence="none",
    parity="authors' code with made-up weights: feature at 8 and 4 frames, camera prompt and texts within 1e-4",
    version=2,  # trained as the authors trained
)


class FrameAdapter(nn.Module):
    """Attention across the T frames at each token position, in a bottleneck; nothing is normalised."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, inner)
        self.attn = Attention(inner, heads)
        self.up = nn.Linear(inner, width)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B*T, L, W] -> [B*T, L, W]"""
        tokens = x.shape[1]
        y = self.down(x).unflatten(0, (-1, frames)).transpose(1, 2).flatten(0, 1)  # [B*L, T, inner]
        y = self.attn(y).unflatten(0, (-1, tokens)).transpose(1, 2).flatten(0, 1)
        return self.up(y)


class TokenAdapter(nn.Module):
    """A bottleneck for each token by itself."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, inner)
        self.gelu = QuickGELU()
        self.up = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, W] -> [N, L, W]"""
        return self.up(self.gelu(self.down(x)))


class AdapterBlock(Block):
    """CLIP's block with both adapters beside it; they read the stream as it is, before the layer norms."""

    def __init__(self, width: int, heads: int, inner: int, inner_heads: int) -> None:
        super().__init__(width, heads)
        self.across = FrameAdapter(width, inner, inner_heads)
        self.adapter = TokenAdapter(width, inner)

    def forward(self, x: Tensor, frames: int = 0, prompt: Tensor | None = None) -> Tensor:
        """[B*T, L, W] -> the same; `frames` 0 leaves the adapters out; only the attention sees the prompt [B*T, W]."""
        normed = self.ln_1(x)
        if prompt is not None:
            normed = torch.cat([normed, prompt.to(normed.dtype).unsqueeze(1)], dim=1)
        attended = x + self.attn(normed)[:, : x.shape[1]]
        if not frames:
            return attended + self.mlp(self.ln_2(attended))
        x = attended + self.across(x, frames)
        return x + self.mlp(self.ln_2(x)) + self.adapter(x)


class AdapterTower(ImageTower):
    """CLIP's image tower made of `AdapterBlock`."""

    def __init__(self, config: ClipConfig, inner: int, inner_heads: int) -> None:
        self.inner, self.inner_heads = inner, inner_heads
        super().__init__(config)

    def make_block(self, index: int) -> nn.Module:
        """An `AdapterBlock`, whichever it is."""
        return AdapterBlock(self.config.width, self.config.heads, self.inner, self.inner_heads)

    def forward(self, images: Tensor, frames: int = 0, prompts: Tensor | None = None) -> ImageTokens:
        """Images [B*T, 3, H, W] of clips with T = `frames`; prompts [blocks, B*T, W] for the first few blocks."""
        x = before = self.tokenise(images)
        for index, block in enumerate(self.transformer.resblocks):
            before = x
            x = block(x, frames, prompts[index] if prompts is not None and index < len(prompts) else None)
        return self.finish(before, x)


class Vslaclip(PromptedClip):
    """`forward`, `embed` and `prepare` as `training.model.ReidModel` wants them."""

    def __init__(self, recipe: VslaclipRecipe, num_classes: int, num_cameras: int) -> None:
        clip = load_clip(recipe.backbone, recipe.pretrained, recipe.clip.height, recipe.clip.width, recipe.seed)
        super().__init__(recipe, clip, TEMPLATE, num_classes)
        self.image = clip.image
        if recipe.adapters:
            check_heads("adapter_heads", recipe.adapter_heads, recipe.adapter_width)
            self.image = AdapterTower(clip.config, recipe.adapter_width, recipe.adapter_heads)
            self.image.load_state_dict(clip.image.state_dict(), strict=False)
            if recipe.adapter_start == "zero":
                for adapter in self.image.modules():
                    if isinstance(adapter, FrameAdapter | TokenAdapter):
                        nn.init.zeros_(adapter.up.weight)
                        nn.init.zeros_(adapter.up.bias)
            if recipe.frozen:
                for name, parameter in self.image.named_parameters():
                    parameter.requires_grad_(".across." in name or ".adapter." in name)
        self.camera_prompts = None
        if recipe.adapters and recipe.camera_prompt:
            blocks = min(CAMERA_BLOCKS, clip.config.layers)
            self.camera_prompts = nn.Parameter(torch.randn(blocks, 1, max(num_cameras, 1), clip.config.width) * 0.02)

    def clip_features(self, clips: Tensor, cameras: Tensor) -> dict[str, Tensor]:
        """[B, T, 3, H, W], [B] -> "penultimate" [B, W], "image" [B, W], "projection" [B, E]: means over the frames."""
        batch, frames = clips.shape[:2]
        images = clips.flatten(0, 1)
        if self.recipe.adapters:
            prompts = None
            if self.camera_prompts is not None:
                prompts = self.camera_prompts[:, 0, cameras.repeat_interleave(frames)]
            tokens = self.image(images, frames, prompts)
        else:
            tokens = self.image(images)
        classes = {"penultimate": tokens.penultimate, "image": tokens.final, "projection": tokens.projected}
        return {name: x[:, 0].unflatten(0, (batch, frames)).mean(1) for name, x in classes.items()}

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """As CLIP-ReID's second stage, with the contrast of the first one on top."""
        output = super().forward(clips, cameras, labels)
        images, texts = output.features["projection"], self.text_features[labels]
        contrast = supervised_contrast(images, texts, labels, labels) + supervised_contrast(
            texts, images, labels, labels
        )
        output.losses["contrast"] = self.recipe.contrast_weight * contrast
        return output


def build(recipe: VslaclipRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities; cameras matter to the variant `camera-prompt` only.

    Raises:
        UsageError: CLIP's weights are absent, or of another model; the sentence says how to get them.
    """
    return Vslaclip(recipe, num_classes, num_cameras)


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names to ours; ours, and names that neither has, pass through."""
    renamed = rename(state, {**NAMES, "cv_embed": "camera_prompts"})
    inner = (
        (".dat_cross.temporal_block.temporal_attn.", ".across.attn."),
        (".dat_cross.", ".across."),
        (".dat.", ".adapter."),
    )
    for theirs, ours in inner:
        renamed = {name.replace(theirs, ours): tensor for name, tensor in renamed.items()}
    return renamed
