"""BiCnet-TKS (Hou et al., CVPR 2021): few frames at full resolution for detail, the others at half for context.

    reidkit run bicnet --bench mars
    reidkit run bicnet/no-tks --bench demo/sports --size tiny
    reidkit evaluate bicnet --weights THEIRS.pth --bench mars

Of every four frames the first goes through the detail branch, three through the context branch, on the same ResNet-50.
Maps of the first reach the three others after each stage (CSP); TKS mixes frames over time after the second stage, DAO
makes the four look at different stripes of the body after the third, driven apart by the diversity loss
(`attention_overlap`). A clip has a multiple of four frames.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import UsageError
from ..training.model import ModelInfo, TrainingOutput
from ..training.recipe import Composition, EpochOf, ErasedScope, LastClip, Precision, Weight
from .inflated import convert_inflated, frame_maxima
from .necks import FeatureNeck, hold_bias
from .resnet import TINY_SETTINGS, ResNet, ResnetRecipe, load_pretrained

GROUP = 4  # frames: one of detail, three of context
LOW = GROUP - 1


@dataclass(frozen=True, kw_only=True)
class BicnetRecipe(ResnetRecipe):
    """The paper's: Adam 3.5e-4, x0.1 at 40, 80 and 120 of 150 epochs; batches of 64 clips of 8 frames."""

    tks: bool = True
    dao: bool = True
    diversity_weight: Weight = 0.01  # of the overlap of the attentions

    train_stride: int = 4
    identities: int = 16
    tracklets: int = 4
    epoch_of: EpochOf = "tracklets"
    composition: Composition = "shuffled"
    pad: int = 0
    erase_scope: ErasedScope = "clip"
    erase_value: tuple[float, float, float] = (0.4914, 0.4822, 0.4465)  # a mean colour, but on normalised pixels
    epochs: int = 150
    milestones: tuple[int, ...] = (40, 80, 120)
    label_smoothing: float = 0.0
    triplet_margin: float | None = 0.5
    triplet_distance: Literal["euclidean", "cosine"] = "cosine"
    test_frames: int = 8
    test_last: LastClip = "wrapped"
    precision: Precision = "fp32"


RECIPES = {
    "full": BicnetRecipe(),
    # 0.9 M parameters, from scratch
    "tiny": BicnetRecipe().changed(
        **TINY_SETTINGS,
        train_stride=0,
        tracklets=4,
        erase=0.0,
        lr=3e-3,
        layers=(1, 1, 1, 1),
        backbone_width=16,
    ),
}

# the paper's ablation
VARIANTS = {
    "no-tks": {"tks": False},
    "no-dao": {"dao": False},
    "no-diversity": {"diversity_weight": 0.0},
    "two-branches": {"tks": False, "dao": False},
}

INFO = ModelInfo(
    title="BiCnet-TKS",
    venue="CVPR",
    year=2021,
    paper="arXiv 2104.14783",
    backbone="ResNet-50, ImageNet",
    licence="none",
    parity="authors' code with made-up weights: feature and attentions within 1e-4",
    version=2,  # the authors' diversity loss
)


class TemporalKernelSelection(nn.Module):
    """TKS (§3.3): a short and a longer convolution over time on a coarse grid of the body, chosen between by channel.

    Args:
        channels: C of the maps.
        grid: rows and columns that the maps of both branches are averaged to.
    """

    reduction = 16

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        inner = max(channels // self.reduction, 1)
        self.grid = grid
        self.short = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.long = nn.Conv1d(channels, channels, 3, padding=2, dilation=2, bias=False)
        self.squeeze = nn.Sequential(nn.Linear(channels, inner, bias=False), nn.BatchNorm1d(inner), nn.ReLU())
        self.select = nn.Linear(inner, 2 * channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)  # the block starts as the identity
        hold_bias(self.norm)  # the next stage begins with 1x1 convolutions and batch norms

    def forward(self, high: Tensor, low: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Maps [B*G, C, H, W] and [B*G*3, C, H/2, W/2], G groups a clip -> the same shapes."""
        cells = torch.cat([self._pool(high, 1), self._pool(low, LOW)], dim=1)  # [B*G, 4, C, P]: in time order
        clips, places = cells.shape[0] // groups, cells.shape[-1]
        # every place of the grid is a sequence of its own
        series = cells.unflatten(0, (clips, groups)).permute(0, 4, 3, 1, 2).flatten(3).flatten(0, 1)
        branches = torch.stack([self.short(series), self.long(series)], dim=1)  # [B*P, 2, C, T]
        branches = branches.unflatten(0, (clips, places))
        weights = self.select(self.squeeze(branches.sum(2).mean((1, 3)))).unflatten(1, (2, -1)).softmax(1)
        mixed = torch.einsum("bpkct,bkc->btcp", branches, weights)
        mixed = mixed.unflatten(1, (groups, GROUP)).flatten(0, 1).unflatten(-1, self.grid)
        return high + self._to_map(mixed[:, :1], high), low + self._to_map(mixed[:, 1:], low)

    def _pool(self, maps: Tensor, frames: int) -> Tensor:
        """[B*G*frames, C, H, W] -> [B*G, frames, C, P]."""
        return F.adaptive_avg_pool2d(maps, self.grid).flatten(2).unflatten(0, (-1, frames))

    def _to_map(self, cells: Tensor, like: Tensor) -> Tensor:
        """[B*G, frames, C, rows, columns] -> normalised, each cell repeated over its part of the map."""
        return F.interpolate(self.norm(cells.flatten(0, 1)), size=like.shape[2:])


class StripeAttention(nn.Module):
    """One learned attention of DAO: a score a stripe, mixed over the stripes."""

    def __init__(self, channels: int, stripes: int) -> None:
        super().__init__()
        self.score = nn.Linear(channels, 1)
        self.mix = nn.Linear(stripes, stripes)
        self.norm = nn.BatchNorm1d(stripes)
        hold_bias(self.score, self.mix)  # the batch norm takes both out again

    def forward(self, stripes: Tensor) -> Tensor:
        """[N, S, C] -> [N, S], rows sum to 1."""
        return self.norm(self.mix(self.score(stripes).squeeze(-1))).softmax(-1)


class DiverseAttentionsOperation(nn.Module):
    """DAO (§3.2): the frames of a group attend to stripes of the body by attentions of their own.

    The detail frame and the first context frame are attended by their mean activation, without parameters; the second
    and the third context frame by a learned attention each. What a frame attends to is added at all its places.
    """

    def __init__(self, channels: int, stripes: int) -> None:
        super().__init__()
        self.stripes = stripes
        self.attentions = nn.ModuleList(StripeAttention(channels, stripes) for _ in range(LOW - 1))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(GROUP))
        for norm in self.norms:
            nn.init.zeros_(norm.weight)  # the block starts as the identity
        hold_bias(self.norms[0])  # alone in its batch norm of the next stage, unlike those of the three context frames

    def forward(self, high: Tensor, low: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """[B*G, C, H, W], [B*G*3, C, H/2, W/2] -> the same shapes and the context frames' attentions, three [B*G, S].

        The order of the attentions is that of the frames.
        """
        of_low = self._stripes(low).unflatten(0, (-1, LOW)).unbind(1)
        frames = [self._stripes(high), *of_low]
        plain = [stripes.mean(-1).softmax(-1) for stripes in frames[:2]]
        masks = [*plain, *(attend(s) for attend, s in zip(self.attentions, frames[2:], strict=True))]
        attended = [
            norm(torch.einsum("ns,nsc->nc", mask, stripes))[:, :, None, None]
            for norm, mask, stripes in zip(self.norms, masks, frames, strict=True)
        ]
        return high + attended[0], low + torch.stack(attended[1:], dim=1).flatten(0, 1), masks[1:]

    def _stripes(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, S, C]: means of horizontal stripes."""
        return F.adaptive_avg_pool2d(maps, (self.stripes, 1)).squeeze(-1).transpose(1, 2)


def attention_overlap(masks: list[Tensor]) -> Tensor:
    """How much attentions [N, S] agree, averaged over pairs and N: 0 where they share no stripe, sqrt(2) / 4 at most.

    As the authors' code has it: a pair's is the norm of (X X^T - I) / 4, where the rows of X are the square roots of
    the two attentions. Its diagonal is zero, so what is left is sqrt(2) / 4 times sum_s sqrt(a_s b_s), the similarity
    of Hellinger's distance. The first attention, which has no parameters, gets no gradient.
    """
    first, *learned = masks
    pairs = itertools.combinations([first.detach(), *learned], 2)
    similar = [(a.float() * b.float()).clamp(min=1e-12).sqrt().sum(-1).mean() for a, b in pairs]
    return math.sqrt(2) / 4 * torch.stack(similar).mean()


def _halve(maps: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, H/2, W/2], rounded up as the backbone's strides round."""
    return F.max_pool2d(maps, 2, ceil_mode=True)


class Bicnet(nn.Module):
    """`forward` and `embed` as `training.model.ReidModel` wants them; D = 2048 at full size."""

    def __init__(self, recipe: BicnetRecipe, num_classes: int) -> None:
        super().__init__()
        self.diversity_weight = recipe.diversity_weight
        self.backbone = ResNet(recipe.layers, recipe.backbone_width, recipe.last_stride)
        load_pretrained(self.backbone, recipe.pretrained)
        channels = self.backbone.stage_channels
        # cross-scale paths: a map of detail becomes one for each of the three context frames
        self.paths = nn.ModuleList(nn.Conv2d(c, LOW * c, 1, bias=False) for c in channels[:3])
        self.to(memory_format=torch.channels_last)
        # 4 x 2 cells and 8 stripes at 256 x 128
        grid = max(recipe.clip.height // 64, 1), max(recipe.clip.width // 64, 1)
        self.tks = TemporalKernelSelection(channels[1], grid) if recipe.tks else None
        self.dao = DiverseAttentionsOperation(channels[2], max(recipe.clip.height // 32, 1)) if recipe.dao else None
        self.neck = FeatureNeck(self.backbone.channels, num_classes)

    def branches(self, clips: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """[B, T, 3, H, W] -> the branches' maps [B*G, D, H/16, W/16] and [B*G*3, D, H/32, W/32], DAO's attentions.

        T = 4 G; the attentions are those of the context frames, three [B*G, S], none without DAO.
        """
        groups = clips.shape[1] // GROUP
        maps = self.backbone.stem(clips.flatten(0, 1)).unflatten(0, (-1, GROUP))
        high, low = maps[:, 0], _halve(maps[:, 1:].flatten(0, 1))
        masks: list[Tensor] = []
        for index, stage in enumerate(self.backbone.stages):
            high, low = stage(high), stage(low)
            if index < len(self.paths):
                detail = self.paths[index](_halve(high))
                low = low + detail.unflatten(1, (LOW, -1)).flatten(0, 1)
            if index == 1 and self.tks is not None:
                high, low = self.tks(high, low, groups)
            if index == 2 and self.dao is not None:
                high, low, masks = self.dao(high, low)
        return high, low, masks

    def pool(self, high: Tensor, low: Tensor, clips: int) -> Tensor:
        """The branches' maps of `clips` clips -> [B, D]: both branches' means over frames of maxima, half and half."""
        means = [frame_maxima(maps).unflatten(0, (clips, -1)).mean(1) for maps in (high, low)]
        return (means[0] + means[1]) / 2

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W]; cameras and labels [B]."""
        high, low, masks = self.branches(clips)
        features, logits = self.neck(self.pool(high, low, len(clips)))
        losses = {}
        if masks and self.diversity_weight:
            losses["diversity"] = self.diversity_weight * attention_overlap(masks)
        return TrainingOutput(logits={"clip": logits}, features={"clip": features}, losses=losses)

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, D], after the batch norm; an affine map, so the mean over clips may come after it."""
        high, low, _ = self.branches(clips)
        return self.neck.norm(self.pool(high, low, clips.shape[0]))


def build(recipe: BicnetRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities; cameras play no part in it.

    Raises:
        UsageError: a clip length that is no multiple of four; the pretrained weights are absent.
    """
    for key, frames in (("frames", recipe.clip.frames), ("test_frames", recipe.test_frames)):
        if frames % GROUP:
            raise UsageError(
                f"{key}={frames} is no clip length for bicnet, whose clips have a multiple of {GROUP} "
                f"frames. Give --set {key}=8."
            )
    return Bicnet(recipe, num_classes)


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names to ours; ours pass through."""
    names = {f"layer{stage}_h2l.": f"paths.{stage - 1}." for stage in (1, 2, 3)}
    names |= {"TKS.conv1.": "tks.short.", "TKS.conv2.": "tks.long.", "TKS.W.": "tks.norm."}
    names |= {"TKS.fc1.": "tks.squeeze.", "TKS.fc2.": "tks.select.", "DAO.W.": "dao.norms."}
    for i in range(LOW - 1):
        names |= {f"DAO.conv.{i}.": f"dao.attentions.{i}.score."}
        names |= {f"DAO.conv1.{i}.conv.": f"dao.attentions.{i}.mix.", f"DAO.conv1.{i}.bn.": f"dao.attentions.{i}.norm."}
    converted = {}
    for name, tensor in convert_inflated(state, names).items():
        if name.startswith(("tks.short.", "tks.long.")):  # [O, I, 3, 1, 1] -> [O, I, 3]
            tensor = tensor.flatten(2)
        elif name.startswith(("tks.", "dao.")) and tensor.ndim > 2:  # 1x1 kernels
            tensor = tensor.flatten(1)
        converted[name] = tensor
    return converted
