"""TF-CLIP (Yu et al., AAAI 2024): CLIP for video re-ID without text; identities' mean features stand in for prompts.

    reidkit run tfclip --bench mars
    reidkit run tfclip/no-ssp --bench demo/sports --size tiny
    reidkit evaluate tfclip --weights TF-CLIP_MARS.pth --bench mars

CLIP-Memory (`prepare`): a frozen prototype an identity. SSP adapts it to each clip, in training only. TMD lets the
frames of a clip tell each other what they saw, on detached tokens. A test feature is the class token [768], its
projection [512] and TMD's vector [768], before the batch norms.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from ..datasets import ReidDataset
from ..datasets.clips import ClipSpec
from ..training.losses import smoothed_cross_entropy
from ..training.model import FrameExtractor, ModelInfo, TrainingOutput
from ..training.recipe import Count, Weight
from .clip import (
    TINY_SETTINGS,
    Attention,
    Block,
    LayerNorm,
    QuickGELU,
    check_heads,
    load_clip,
    new_part_factor,
    start_cameras,
)
from .clip_memory import MemoryRecipe, follow, identity_memory
from .necks import BnNeck, hold_bias
from .renaming import rename


@dataclass(frozen=True, kw_only=True)
class TfclipRecipe(MemoryRecipe):
    """The authors' configuration: Adam 5e-6, x0.1 at 30, 50 and 70 of 80 epochs, 4 identities x 4 clips of 8 frames."""

    clip: ClipSpec = ClipSpec()  # as their loaders normalise, whatever their configuration says
    camera_weight: Weight = 1.0  # of the camera embedding in the class token; 0 builds the model without it
    memory: bool = True  # cross-entropy of the video against the memory
    ssp: bool = True
    ssp_layers: Count = 2
    ssp_heads: Count = 8
    ssp_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    tmd: bool = True
    tmd_heads: Count = 12
    tmd_classifier_lr_factor: Weight = 10.0


RECIPES = {
    "full": TfclipRecipe(),
    "tiny": TfclipRecipe().changed(
        **TINY_SETTINGS,
        ssp_heads=4,
        ssp_dropout=0.0,
        tmd_heads=6,
        tmd_classifier_lr_factor=1.0,
        memory_momentum=0.8,  # so small a tower leaves its first prototypes behind
    ),
}

# the rows of the paper's ablation, and the camera embedding
VARIANTS = {
    "baseline": {"memory": False, "ssp": False, "tmd": False},
    "memory-only": {"ssp": False, "tmd": False},
    "no-tmd": {"tmd": False},
    "no-ssp": {"ssp": False},
    "no-camera": {"camera_weight": 0.0},
}

INFO = ModelInfo(
    title="TF-CLIP",
    venue="AAAI",
    year=2024,
    paper="arXiv 2312.09627",
    backbone="CLIP ViT-B/16",
    licence="MIT",
    version=2,  # trained as the authors trained
    parity="authors' code with made-up weights: feature, SSP, video-to-memory scores and losses within 1e-4",
)


class ContextAttention(nn.Module):
    """Attention of [B, Q, W] over a context [B, S, W]; queries, keys and values without bias."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """[B, Q, W], [B, S, W] -> [B, Q, W]."""
        q, k, v = (
            projection(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection, tokens in ((self.q_proj, x), (self.k_proj, context), (self.v_proj, context))
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return F.dropout(self.proj(y), self.dropout, self.training)


class SspLayer(nn.Module):
    """Identities look at each other, then at the clip's tokens."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = ContextAttention(width, heads, dropout)
        self.cross_attn = ContextAttention(width, heads, dropout)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            QuickGELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, video: Tensor) -> Tensor:
        """[B, Y, E], [B, 1+P, E] -> [B, Y, E]"""
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed)
        x = x + self.cross_attn(self.norm2(x), video)
        return x + self.mlp(self.norm3(x))


class SequenceSpecificPrompt(nn.Module):
    """SSP: what to add to the memory for one clip."""

    def __init__(self, embed: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.video_in = nn.Sequential(LayerNorm(embed), nn.Linear(embed, embed), LayerNorm(embed))
        self.memory_in = nn.Sequential(LayerNorm(embed), nn.Linear(embed, embed))
        self.layers = nn.ModuleList(SspLayer(embed, heads, dropout) for _ in range(layers))
        self.out = nn.Sequential(LayerNorm(embed), nn.Linear(embed, embed))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        hold_bias(*self.out)  # it would raise a clip's scores of all identities alike

    def forward(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Memory [Y, E], the clip's projected tokens averaged over time [B, 1+P, E] -> [B, Y, E]."""
        video = self.video_in(tokens)
        x = self.memory_in(memory).expand(len(tokens), -1, -1)
        for layer in self.layers:
            x = layer(x, video)
        return self.out(x)


class TemporalMemoryDiffusion(nn.Module):
    """TMD: a message a frame, exchanged over the clip and handed to the frame's tokens. No embedding of time."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.message_fc = nn.Linear(width, width)
        self.message_ln = LayerNorm(width)
        self.message_attn = Attention(width, heads)
        self.block = Block(width, heads)
        hold_bias(self.block.mlp.c_proj)  # it would move the vectors of all frames alike

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T, L, W] -> [B, T, W]: a vector a frame, the mean over its tokens and its message."""
        batch = tokens.shape[0]
        message = self.message_fc(tokens.mean(2))
        message = message + self.message_attn(self.message_ln(message))
        x = torch.cat([tokens, message.to(tokens.dtype).unsqueeze(2)], dim=2).flatten(0, 1)
        return self.block(x).mean(1).unflatten(0, (batch, -1))


class Tfclip(nn.Module):
    """`forward`, `embed`, `prepare` and `lr_factor` as `training.model.ReidModel` wants them."""

    def __init__(self, recipe: TfclipRecipe, num_classes: int, num_cameras: int) -> None:
        super().__init__()
        self.recipe = recipe
        clip = load_clip(recipe.backbone, recipe.pretrained, recipe.clip.height, recipe.clip.width, recipe.seed)
        width, embed = clip.config.width, clip.config.embed
        self.image = clip.image
        self.cameras = self.ssp = self.tmd = None
        if recipe.camera_weight:
            # zero until `prepare` starts it, so that a checkpoint without the embedding changes nothing
            self.cameras = nn.Parameter(torch.zeros(max(num_cameras, 1), width))
        if recipe.memory:
            self.register_buffer("memory", torch.zeros(num_classes, embed))
        if recipe.memory and recipe.ssp:
            check_heads("ssp_heads", recipe.ssp_heads, embed)
            self.ssp = SequenceSpecificPrompt(embed, recipe.ssp_heads, recipe.ssp_layers, recipe.ssp_dropout)
        sizes = {"image": width, "projection": embed}
        if recipe.tmd:
            check_heads("tmd_heads", recipe.tmd_heads, width)
            self.tmd = TemporalMemoryDiffusion(width, recipe.tmd_heads)
            sizes["clip"] = width
            self.frame_norm = nn.BatchNorm1d(width)  # frames share the clips' classifier, not their batch norm
            self.frame_norm.bias.requires_grad_(False)
        self.necks = nn.ModuleDict({name: BnNeck(size, num_classes) for name, size in sizes.items()})

    def features(self, clips: Tensor, cameras: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
        """Clips [B, T, 3, H, W], cameras [B] -> what test and training need.

        Returns:
            [B, D] by name ("image", "projection", "clip"), the projected tokens averaged over time [B, 1+P, E], and
            TMD's frame vectors [B, T, W].
        """
        batch, frames = clips.shape[:2]
        offset = None
        if self.cameras is not None:
            offset = self.recipe.camera_weight * self.cameras[cameras].repeat_interleave(frames, dim=0)
        tokens = self.image(clips.flatten(0, 1), offset)
        final = tokens.final.unflatten(0, (batch, frames))
        video = tokens.projected.unflatten(0, (batch, frames)).mean(1)
        features = {"image": final[:, :, 0].mean(1), "projection": video[:, 0]}
        of_frames = None
        if self.tmd is not None:
            of_frames = self.tmd(final.detach())
            features["clip"] = of_frames.mean(1)
        return features, video, of_frames

    def memory_logits(self, projection: Tensor, tokens: Tensor, memory: Tensor) -> Tensor:
        """Video-to-memory scores v . (M + SSP(M, tokens)): [B, E], [B, 1+P, E], [Y, E] -> [B, Y]; no temperature."""
        adapted = memory.expand(len(tokens), -1, -1)
        if self.ssp is not None:
            adapted = adapted + self.ssp(memory, tokens).float()
        # scores of features that aren't normalised reach the hundreds, where bf16 has steps of one
        with torch.autocast(projection.device.type, enabled=False):
            return torch.einsum("be,bye->by", projection.float(), adapted)

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W], cameras [B], labels [B]; `prepare` or a checkpoint has filled the memory."""
        features, video, of_frames = self.features(clips, cameras)
        memory_logits = frame_logits = None
        if self.recipe.memory:
            # a copy, because `follow` below must not change what the backward pass reads
            memory_logits = self.memory_logits(features["projection"], video, self.memory.clone())
            if self.training and self.recipe.memory_momentum < 1:
                follow(self.memory, features["projection"], labels, self.recipe.memory_momentum)
        if of_frames is not None:
            frame_logits = self.necks["clip"].classifier(self.frame_norm(of_frames.flatten(0, 1)))
        logits = {name: neck(features[name]) for name, neck in self.necks.items()}
        return training_output(features, logits, memory_logits, frame_logits, labels, self.recipe.label_smoothing)

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W], [B] -> [B, 768 + 512 + 768] at full size, before the batch norms."""
        return torch.cat(list(self.features(clips, cameras)[0].values()), dim=1)

    def prepare(self, dataset: ReidDataset, extract: FrameExtractor) -> None:
        """CLIP-Memory from all training frames, without camera embedding; and where the camera embedding starts."""
        start_cameras(self.cameras)
        if not self.recipe.memory:
            return
        mode = self.training
        self.eval()
        frames = extract(dataset.train, lambda images, cameras: self.image(images).projected[:, 0])
        self.train(mode)
        labels = [dataset.label_of[tracklet.identity] for tracklet in dataset.train]
        self.memory.copy_(identity_memory(frames, labels, len(self.memory), self.recipe.clip.frames))

    def lr_factor(self, name: str) -> float:
        """TMD's classifier starts from nothing on features that no other loss shapes."""
        classifier = name.startswith("necks.clip.classifier")
        return new_part_factor(self.recipe, name) * (self.recipe.tmd_classifier_lr_factor if classifier else 1.0)


def training_output(
    features: dict[str, Tensor],
    logits: dict[str, Tensor],
    memory_logits: Tensor | None,
    frame_logits: Tensor | None,
    labels: Tensor,
    smoothing: float,
) -> TrainingOutput:
    """TF-CLIP's loss: 0.25 sum CE(logits) + sum triplet(features) + CE(memory) + CE(frames) / T.

    The first two weights are the recipe's. memory_logits [B, Y], frame_logits [B*T, Y] clip by clip, labels int64 [B].
    """
    losses = {}
    if memory_logits is not None:
        losses["memory"] = smoothed_cross_entropy(memory_logits, labels, smoothing)
    if frame_logits is not None:
        frames = len(frame_logits) // len(labels)
        losses["frames"] = smoothed_cross_entropy(frame_logits, labels.repeat_interleave(frames), smoothing) / frames
    return TrainingOutput(logits=logits, features=features, losses=losses)


def build(recipe: TfclipRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities and cameras 0 … `num_cameras` - 1.

    Raises:
        UsageError: CLIP's weights are absent, or of another model; the sentence says how to get them.
    """
    return Tfclip(recipe, num_classes, num_cameras)


NAMES = {
    "image_encoder.": "image.",
    "cv_embed": "cameras",
    "SSP.memory_proj.": "ssp.video_in.",  # their names for the two sides are swapped
    "SSP.text_proj.": "ssp.memory_in.",
    "SSP.out_proj.": "ssp.out.",
    "SSP.decoder.": "ssp.layers.",
    "TMD.resblocks.0.": "tmd.block.",
    "TMD.resblocks.0.message_": "tmd.message_",
    "bottleneck.": "necks.image.norm.",
    "bottleneck_proj.": "necks.projection.norm.",
    "bottleneck_proj_temp.": "frame_norm.",
    "bottleneck_proj_temp2.": "necks.clip.norm.",
    "classifier2.": "necks.image.classifier.",
    "classifier_proj.": "necks.projection.classifier.",
    "classifier_proj_temp.": "necks.clip.classifier.",
}


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names to ours; ours pass through, and so do the four of theirs that they never use."""
    return rename(state, NAMES)
