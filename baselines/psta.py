"""PSTA (Wang et al., ICCV 2021): pairs of frames are merged level by level, 8 to 4 to 2 to 1, under attention.

    reidkit run psta --bench mars
    reidkit run psta/no-tra --bench demo/sports --size tiny
    reidkit evaluate psta --weights THEIRS.pth --bench mars

Each level is a Spatial-Temporal Aggregation Module (STAM): Temporal Reference Attention (TRA) weighs the places of two
frames by their relations with the other frame, Spatial Reference Attention (SRA) by the relations within the frame.
The features of the levels are averaged, and each average is supervised; the last is the test feature.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from ..datasets import UsageError
from ..training.model import ModelInfo, TrainingOutput
from ..training.recipe import Composition, ErasedScope, Precision, Sampling, TrainChunks, Warmup
from .necks import FeatureNeck
from .renaming import rename
from .resnet import TINY_SETTINGS, ResNet, ResnetRecipe, load_pretrained


@dataclass(frozen=True, kw_only=True)
class PstaRecipe(ResnetRecipe):
    """The paper's: Adam 3.5e-4, ten epochs of warm-up, x0.3 at five milestones of 500 epochs; clips of 8 frames."""

    channels: Annotated[int, Meta(ge=8, le=16384)] = 1024  # of the maps that the levels merge, and of the feature
    levels: Annotated[int, Meta(ge=1, le=10)] = 3  # a clip has a multiple of 2**levels frames
    tra: bool = True
    sra: bool = True

    identities: int = 8
    tracklets: int = 4
    composition: Composition = "different"
    train_chunks: TrainChunks = "window"
    pad: int = 0
    erase_scope: ErasedScope = "clip"
    erase_value: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's mean, but on normalised pixels
    epochs: int = 500
    warmup: Warmup = "stair"
    warmup_epochs: int = 10
    warmup_factor: float = 0.01
    milestones: tuple[int, ...] = (70, 140, 210, 310, 410)
    gamma: float = 0.3
    triplet_distance: Literal["euclidean", "cosine"] = "cosine"
    test_sampling: Sampling = "first"  # as the published script; strided is their dense test
    test_frames: int = 8
    precision: Precision = "fp32"


RECIPES = {
    "full": PstaRecipe(),
    # 1.4 M parameters, from scratch
    "tiny": PstaRecipe().changed(
        **TINY_SETTINGS,
        tracklets=2,
        test_sampling="strided",
        lr=1e-3,
        layers=(1, 1, 1, 1),
        backbone_width=24,
        channels=128,
    ),
}

# the paper's ablation of STAM
VARIANTS = {"no-tra": {"tra": False}, "no-sra": {"sra": False}}

INFO = ModelInfo(
    title="PSTA",
    venue="ICCV",
    year=2021,
    paper="Pyramid Spatial-Temporal Aggregation for Video-based Person Re-Identification",
    backbone="ResNet-50, ImageNet",
    licence="none",
    parity="authors' code with made-up weights: feature of 8 and 16 frames within 1e-4",
    version=2,  # trained as the authors trained
)


def conv_block(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU at the same size."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _relation_maps(incoming: Tensor, outgoing: Tensor, size: tuple[int, int]) -> Tensor:
    """Two [M, P, P], whose last axis is the place they belong to, as one map [M, 2 P, H, W]."""
    return torch.cat([incoming, outgoing], dim=1).unflatten(2, size)


def other_of_pair(frames: Tensor) -> Tensor:
    """[B, T, ...] -> the same, frames 0 and 1, 2 and 3, … exchanged."""
    return frames.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)


def frame_by_frame(part: nn.Module, maps: Tensor) -> Tensor:
    """A convolution block on maps [B, T, C, H, W], in training one frame at a time.

    So its batch norm takes its statistics over the batch's maps of that frame alone, and its running statistics move T
    times a step, as in the authors' code.
    """
    if part.training:
        return torch.stack([part(frame) for frame in maps.unbind(1)], dim=1)
    return part(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])


class ReferenceAttention(nn.Module):
    """What TRA and SRA share: relations between places, read as maps; they tell how much a place counts.

    Args:
        channels: C of the maps.
        embedded: E of the embedded maps.
        places: P = H W of the maps; the relations of a place with all others are P numbers.
    """

    def __init__(self, channels: int, embedded: int, places: int) -> None:
        super().__init__()
        self.query = conv_block(channels, embedded)
        self.key = conv_block(channels, embedded)
        self.relation = conv_block(2 * places, embedded)

    def queries_and_keys(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """[M, C, H, W] -> twice [M, E, P]."""
        return self.query(maps).flatten(2), self.key(maps).flatten(2)


class TemporalReferenceAttention(ReferenceAttention):
    """TRA: a place of one frame counts by its relations with the places of the other frame.

    Maps are not negative, nor is their weighted sum; its square amplifies what both frames show.
    """

    def __init__(self, channels: int, embedded: int, places: int) -> None:
        super().__init__(channels, embedded, places)
        self.pair = conv_block(2 * embedded, embedded)
        self.place = nn.Sequential(nn.Conv2d(2 * embedded, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid())
        self.squeeze = nn.Sequential(nn.Linear(channels, embedded, bias=False), nn.ReLU(inplace=True))
        self.channel = nn.Sequential(
            nn.Linear(2 * embedded, embedded), nn.ReLU(inplace=True), nn.Linear(embedded, channels), nn.Sigmoid()
        )

    def forward(self, maps: Tensor, embedded: Tensor) -> Tensor:
        """Maps [B, T, C, H, W], their embedding [B, T, E, H, W] -> [B, T / 2, C, H, W]: frames 0 and 1, 2 and 3, …"""
        # [B, T, E, P]: these two see all frames at once, unlike the three below
        query, key = (x.unflatten(0, maps.shape[:2]) for x in self.queries_and_keys(maps.flatten(0, 1)))
        relations = query.mT @ other_of_pair(key)  # of each frame's places with those of the other frame
        both = _relation_maps(relations.mT.flatten(0, 1), other_of_pair(relations).flatten(0, 1), maps.shape[3:])
        relation = frame_by_frame(self.relation, both.unflatten(0, maps.shape[:2]))
        pair = frame_by_frame(self.pair, torch.cat([embedded, other_of_pair(embedded)], dim=2))
        place = frame_by_frame(self.place, torch.cat([pair, relation], dim=2))
        vectors = self.squeeze(maps.mean((3, 4)))
        channel = self.channel(torch.cat([vectors, other_of_pair(vectors)], dim=2))
        return (maps * place * channel[..., None, None]).unflatten(1, (-1, 2)).sum(2).square()


class SpatialReferenceAttention(ReferenceAttention):
    """SRA: a place counts by its relations with all places of its frame."""

    def __init__(self, channels: int, embedded: int, places: int) -> None:
        super().__init__(channels, embedded, places)
        self.place = nn.Sequential(
            *conv_block(2 * embedded, embedded), nn.Conv2d(embedded, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid()
        )
        self.channel = nn.Sequential(
            nn.Linear(channels, embedded), nn.ReLU(inplace=True), nn.Linear(embedded, channels), nn.Sigmoid()
        )

    def forward(self, maps: Tensor, embedded: Tensor) -> Tensor:
        """Maps [M, C, H, W] and their embedding [M, E, H, W] -> the maps weighed, [M, C, H, W]."""
        query, key = self.queries_and_keys(maps)
        relations = query.mT @ key
        relation = self.relation(_relation_maps(relations.mT, relations, maps.shape[2:]))
        place = self.place(torch.cat([embedded, relation], dim=1))
        return maps * place * self.channel(maps.mean((2, 3)))[..., None, None]


class Stam(nn.Module):
    """Spatial-Temporal Aggregation Module: merges frames (0, 1), (2, 3), … into one map each."""

    def __init__(self, channels: int, places: int, *, tra: bool, sra: bool) -> None:
        super().__init__()
        inner, embedded = channels // 4, channels // 8
        self.embedding = nn.Sequential(*conv_block(channels, inner), *conv_block(inner, embedded))
        self.tra = TemporalReferenceAttention(channels, embedded, places) if tra else None
        self.sra = SpatialReferenceAttention(channels, embedded, places) if sra else None
        self.conv = nn.Sequential(
            *conv_block(channels, inner), *conv_block(inner, inner, 3), *conv_block(inner, channels)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[B, T, C, H, W] -> [B, T / 2, C, H, W]."""
        shape, maps = maps.shape, maps.flatten(0, 1)
        embedded = self.embedding(maps)
        merged = 0
        if self.tra is not None:
            merged = self.tra(maps.view(shape), embedded.unflatten(0, shape[:2])).flatten(0, 1)
        if self.sra is not None:
            merged = merged + self.sra(maps, embedded).unflatten(0, (-1, 2)).sum(1)
        return self.conv(merged).unflatten(0, (shape[0], -1))


class Psta(nn.Module):
    """`forward` and `embed` as `training.model.ReidModel` wants them; D = 1024 at full size."""

    def __init__(self, recipe: PstaRecipe, num_classes: int) -> None:
        super().__init__()
        self.backbone = ResNet(recipe.layers, recipe.backbone_width, recipe.last_stride)
        load_pretrained(self.backbone, recipe.pretrained)
        self.backbone.to(memory_format=torch.channels_last)
        self.reduce = conv_block(self.backbone.channels, recipe.channels)
        step = 16 * recipe.last_stride
        places = -(-recipe.clip.height // step) * -(-recipe.clip.width // step)
        self.stages = nn.ModuleList(
            Stam(recipe.channels, places, tra=recipe.tra, sra=recipe.sra) for _ in range(recipe.levels)
        )
        self.necks = nn.ModuleList(FeatureNeck(recipe.channels, num_classes) for _ in range(recipe.levels))
        for neck in self.necks:
            neck.norm.bias.requires_grad_(False)  # as the authors have it

    def level_vectors(self, clips: Tensor) -> list[Tensor]:
        """[B, T, 3, H, W] -> for each level float32 [B, D]: the mean of its vector and of those below it."""
        maps = self.reduce(self.backbone(clips.flatten(0, 1))).unflatten(0, clips.shape[:2])
        vectors = []
        for stage in self.stages:
            maps = stage(maps)
            vectors.append(maps.float().mean((1, 3, 4)))
        return [torch.stack(vectors[: level + 1]).mean(0) for level in range(len(vectors))]

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W]; cameras and labels [B]. Every level is supervised; the losses are means over them."""
        output = TrainingOutput(weight=1 / len(self.necks))
        for level, (neck, vectors) in enumerate(zip(self.necks, self.level_vectors(clips), strict=True), 1):
            output.features[f"level{level}"], output.logits[f"level{level}"] = neck(vectors)
        return output

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, D]: the last level's, after its batch norm."""
        return self.necks[-1].norm(self.level_vectors(clips)[-1])


def build(recipe: PstaRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities and images of the recipe's size; cameras play no part in it.

    Raises:
        UsageError: a clip's length is no multiple of 2**levels, both attentions are off, or the pretrained weights are
            absent.
    """
    if not (recipe.tra or recipe.sra):
        raise UsageError("PSTA needs tra or sra to merge frames, but both are false: set one of them to true.")
    for key, frames in (("frames", recipe.clip.frames), ("test_frames", recipe.test_frames)):
        if frames % 2**recipe.levels:
            raise UsageError(
                f"{key} is {frames}, but PSTA with {recipe.levels} levels wants a multiple of {2**recipe.levels}: "
                f"use --set {key}={2**recipe.levels}, or fewer --set levels."
            )
    return Psta(recipe, num_classes)


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names to ours; ours, and names that neither has, pass through."""
    attention = {
        "TRAG.gamma_temporal.": "tra.query.",
        "TRAG.beta_temporal.": "tra.key.",
        "TRAG.gg_temporal.": "tra.relation.",
        "TRAG.tte_para.": "tra.pair.",
        "TRAG.te_para.": "tra.place.",
        "TRAG.theta_channel.": "tra.squeeze.",
        "TRAG.channel_para.": "tra.channel.",
        "SRAG.alphi_appearance.": "sra.query.",
        "SRAG.delta_appearance.": "sra.key.",
        "SRAG.gg_spatial.": "sra.relation.",
        "SRAG.spa_para.": "sra.place.",
        "SRAG.app_channel.": "sra.channel.",
        "Embeding.": "embedding.",
        "conv_block.": "conv.",
    }
    names = {"base.": "backbone.", "down_channel.": "reduce."}
    for level in range(3):
        names |= {f"layer{level + 1}.{theirs}": f"stages.{level}.{ours}" for theirs, ours in attention.items()}
        names[f"bottleneck.{level}."] = f"necks.{level}.norm."
        names[f"classifier.{level}."] = f"necks.{level}.classifier."
    renamed = rename(state, names)
    return {k: v.squeeze(2) if ".squeeze." in k and v.ndim == 3 else v for k, v in renamed.items()}
