"""STMN (Eom et al., ICCV 2021): memories of what distracts, in space and in time.

    reidkit run stmn --bench mars
    reidkit run stmn/by-place --bench demo/sports --size tiny
    reidkit evaluate stmn --weights THEIRS.pth --bench mars

The spatial memory knows what clutters frames again and again, and what it recalls is subtracted from the map.
The temporal memory knows patterns of attention over the T frames of a clip, and what it recalls weighs the
frames. A ResNet-50 whose last stage exists three times gives the values and the queries of both memories.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import UsageError
from ..datasets.clips import ClipSpec
from ..training.model import ModelInfo, TrainingOutput
from ..training.recipe import Composition, Count, Precision, Sampling, Share, Weight
from .necks import BnNeck, hold_bias
from .renaming import rename
from .resnet import TINY_SETTINGS, Bottleneck, ResNet, ResnetRecipe, load_pretrained


@dataclass(frozen=True, kw_only=True)
class StmnRecipe(ResnetRecipe):
    """The paper's: Adam 1e-4, x0.1 every 50 of 200 epochs; clips of 6 frames, tested with their mirror images."""

    spatial_slots: Count = 10
    temporal_slots: Count = 5
    by_place: bool = False  # what a query of the spatial memory is: see SpatialMemory
    spread_weight: Weight = 1.0
    spread_margin: Share = 0.3

    clip: ClipSpec = ClipSpec(frames=6)
    identities: int = 8
    tracklets: int = 4
    composition: Composition = "drawn"
    pad: int = 0
    lr: float = 1e-4
    weight_decay: float = 1e-5
    epochs: int = 200
    milestones: tuple[int, ...] = (50, 100, 150)
    label_smoothing: float = 0.0
    triplet_margin: float | None = None
    test_sampling: Sampling = "strided"
    test_frames: int = 6
    test_flip: bool = True
    precision: Precision = "fp32"


RECIPES = {
    "full": StmnRecipe(),
    # 3.4 M parameters, 2.1 M of them in the LSTM, from scratch
    "tiny": StmnRecipe().changed(
        **TINY_SETTINGS,
        frames=4,
        test_frames=4,
        tracklets=4,
        lr=1e-3,
        layers=(1, 1, 1, 1),
        backbone_width=16,
    ),
}

VARIANTS = {"by-place": {"by_place": True}}

INFO = ModelInfo(
    title="STMN",
    venue="ICCV",
    year=2021,
    paper="arXiv 2108.09039",
    backbone="ResNet-50, ImageNet",
    licence="none",
    parity="authors' code with made-up weights: feature of 6 and 8 frames, with and without mirror image, within 1e-4",
    version=2,  # trained as the authors trained
)


class QueryBottleneck(Bottleneck):
    """A bottleneck without the ReLU at its end: queries have both signs."""

    @classmethod
    def of(cls, block: Bottleneck) -> "QueryBottleneck":
        """The same block, its weights kept."""
        changed = cls(block.conv1.in_channels, block.conv1.out_channels, block.conv2.stride[0])
        changed.load_state_dict(block.state_dict())
        return changed

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, 4 planes, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x)) + shortcut


class Memory(nn.Module):
    """Slots with a key [S, D] and a value [S, V] each; a query recalls a mixture of the values.

    Args:
        slots: S.
        query: D, length of a query.
        value: V, length of a value.
    """

    def __init__(self, slots: int, query: int, value: int) -> None:
        super().__init__()
        self.key = nn.Parameter(torch.randn(slots, query))
        self.value = nn.Parameter(torch.randn(slots, value))

    def match(self, queries: Tensor) -> Tensor:
        """[..., D] -> matching probabilities [..., S] of the slots.

        Queries get length 1. Keys are normalised over the slots, each of the D numbers by itself, as the authors' code
        has it.
        """
        return (F.normalize(queries, dim=-1) @ F.normalize(self.key, dim=0).T).softmax(-1)


def spread_loss(matches: Tensor, margin: float) -> Tensor:
    """Memory spread loss: [..., S] -> scalar.

    Of all queries in the batch, the one that matches a slot best shall do so by a margin more than the one that matches
    it worst. A slot that all queries use alike, or none, is penalised.
    """
    matches = matches.flatten(0, -2)
    return F.relu(matches.amin(0) - matches.amax(0) + margin).mean()


class SpatialMemory(Memory):
    """What is recalled for a frame is normalised and subtracted from its map; the mean over the places is left.

    The authors' code reshapes the query map [C, H W] to [H W, C] without a transpose, so that a query is C / (H W)
    channels at all places. Weights trained that way need it; `by_place` transposes, as the paper has it.
    """

    def __init__(self, slots: int, channels: int, by_place: bool) -> None:
        super().__init__(slots, channels, channels)
        self.by_place = by_place
        self.norm = nn.BatchNorm1d(channels)
        nn.init.zeros_(self.norm.weight)  # training starts at the frame as it is
        hold_bias(self.norm)  # it would move the vectors of all frames alike

    def rows(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] -> the queries [N, H W, C]."""
        maps = maps.flatten(2)
        return maps.mT if self.by_place else maps.reshape(maps.mT.shape)

    def forward(self, maps: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Value and query maps [N, C, H, W] -> vectors [N, C], matching probabilities [N, H W, S]."""
        matches = self.match(self.rows(queries).float())
        recalled = self.norm((matches @ self.value).flatten(0, 1)).view(maps.shape[0], -1, maps.shape[1])
        # both ways of reading hold every number of the map once, so the mean over places needs no reshaping back
        clutter = recalled.mean(1) if self.by_place else recalled.reshape(*maps.shape[:2], -1).mean(2)
        return maps.float().mean((2, 3)) - clutter, matches


class TemporalMemory(Memory):
    """What is recalled for a clip is an attention over its T frames."""

    def __init__(self, slots: int, channels: int, frames: int) -> None:
        super().__init__(slots, channels, frames)
        nn.init.uniform_(self.value)
        self.lstm = nn.LSTM(channels, channels, batch_first=True)

    def forward(self, vectors: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Frames' vectors and queries [B, T, C] -> the clips' vectors [B, C], probabilities [B, S]."""
        matches = self.match(self.lstm(queries)[0][:, -1])
        attention = (matches @ self.value).softmax(-1)
        return torch.einsum("bt,btc->bc", attention, vectors), matches


class Stmn(nn.Module):
    """`forward` and `embed` as `training.model.ReidModel` wants them; D = 2048 at full size."""

    def __init__(self, recipe: StmnRecipe, num_classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        backbone = ResNet(recipe.layers, recipe.backbone_width, recipe.last_stride)
        load_pretrained(backbone, recipe.pretrained)
        channels = backbone.channels
        self.value = backbone.layer4
        self.spatial_query, self.temporal_query = copy.deepcopy(self.value), copy.deepcopy(self.value)
        for branch in (self.spatial_query, self.temporal_query):
            branch[-1] = QueryBottleneck.of(branch[-1])
        backbone.layer4 = nn.Identity()
        backbone.relu = nn.Identity()  # their stem goes from batch norm to pooling
        hold_bias(backbone.bn1)  # behind the pooling are 1x1 convolutions with batch norms
        self.backbone = backbone
        for part in (backbone, self.value, self.spatial_query, self.temporal_query):
            part.to(memory_format=torch.channels_last)
        self.spatial_memory = SpatialMemory(recipe.spatial_slots, channels, recipe.by_place)
        self.temporal_memory = TemporalMemory(recipe.temporal_slots, channels, recipe.clip.frames)
        self.spatial_neck = BnNeck(channels, num_classes)
        self.temporal_neck = BnNeck(channels, num_classes)

    def remember(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[B, T, 3, H, W] -> the frames' vectors [B, T, D] and the clips' [B, D], then both matches."""
        size = clips.shape[:2]
        maps = self.backbone(clips.flatten(0, 1))
        vectors, spatial = self.spatial_memory(self.value(maps), self.spatial_query(maps))
        vectors = vectors.unflatten(0, size)
        queries = self.temporal_query(maps).float().mean((2, 3)).unflatten(0, size)
        clip_vectors, temporal = self.temporal_memory(vectors, queries)
        return vectors, clip_vectors, spatial, temporal

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W]; cameras and labels [B]. The frames' vectors and the clip's are both supervised."""
        vectors, clip_vectors, spatial, temporal = self.remember(clips)
        frame_scores = self.spatial_neck(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2])
        weight, margin = self.recipe.spread_weight, self.recipe.spread_margin
        return TrainingOutput(
            logits={"spatial": frame_scores.mean(1), "temporal": self.temporal_neck(clip_vectors)},
            features={"spatial": vectors.mean(1), "temporal": clip_vectors},
            losses={
                "spread/spatial": weight * spread_loss(spatial, margin),
                "spread/temporal": weight * spread_loss(temporal, margin),
            },
        )

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, D], after the batch norm; T is the recipe's."""
        return self.temporal_neck.norm(self.remember(clips)[1])


def build(recipe: StmnRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities; cameras play no part in it.

    Raises:
        UsageError: clips in test are not as long as those in training, or the pretrained weights are absent.
    """
    if recipe.test_frames != recipe.clip.frames:
        raise UsageError(
            f"test_frames is {recipe.test_frames}, but STMN's temporal memory holds attentions over "
            f"{recipe.clip.frames} frames: use --set test_frames={recipe.clip.frames}."
        )
    return Stmn(recipe, num_classes)


# the authors' prefix -> ours
NAMES = {
    "features.backbone.layer4_val.": "value.",
    "features.backbone.layer4_key_s.": "spatial_query.",
    "features.backbone.layer4_key_t.": "temporal_query.",
    "features.backbone.": "backbone.",
    "smem.val": "spatial_memory.value",
    "smem.bn.": "spatial_memory.norm.",
    "smem.": "spatial_memory.",
    "tmem.val": "temporal_memory.value",
    "tmem.": "temporal_memory.",
    "bn_s.": "spatial_neck.norm.",
    "cls_s.": "spatial_neck.classifier.",
    "bn_t.": "temporal_neck.norm.",
    "cls_t.": "temporal_neck.classifier.",
}


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names to ours; ours, and names that neither has, pass through."""
    return rename(state, NAMES)
