"""SINet (Bai et al., CVPR 2022): the first frames of a clip look at what is salient, the later ones at what is left.

    reidkit run sinet --bench mars
    reidkit run sinet/no-sbm --bench demo/sports --size tiny
    reidkit evaluate sinet --weights THEIRS.pth --bench mars

Salient-to-Broad Modules (SBM) in the third stage of a ResNet-50 dampen in later frames what the first ones show.
Integration-and-Distribution Modules (IDM) in the second collect features over all places and frames and hand them back
to each. A frame's vector is the maximum over its map, batch-normalised; a clip's feature the mean over its frames.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import UsageError
from ..datasets.clips import ClipSpec
from ..training.model import ModelInfo, TrainingOutput
from ..training.recipe import Composition, EpochOf, ErasedScope, Precision, Temperature, Weight
from .inflated import ClipBlock, clip_maps, convert_inflated, frame_maxima, start_normal
from .necks import FeatureNeck
from .resnet import TINY_SETTINGS, ResNet, ResnetRecipe, load_pretrained

GROUP = 4  # frames that an SBM splits into salient and broad


@dataclass(frozen=True, kw_only=True)
class SinetRecipe(ResnetRecipe):
    """The paper's: Adam 3e-4, x0.1 at 40, 80 and 120 of 160 epochs; batches of 32 clips of 4 frames."""

    sbm: bool = True
    idm: bool = True
    contrast_weight: Weight = 0.001  # of InfoNCE
    contrast_temperature: Temperature = 0.07

    clip: ClipSpec = ClipSpec(frames=4)
    identities: int = 8
    tracklets: int = 4
    epoch_of: EpochOf = "tracklets"
    composition: Composition = "shuffled"
    pad: int = 0
    erase_scope: ErasedScope = "place"
    erase_value: tuple[float, float, float] = (0.4914, 0.4822, 0.4465)  # a mean colour, but on normalised pixels
    lr: float = 3e-4
    epochs: int = 160
    milestones: tuple[int, ...] = (40, 80, 120)
    label_smoothing: float = 0.0
    triplet_distance: Literal["euclidean", "cosine"] = "cosine"
    test_frames: int = 4
    precision: Precision = "fp32"


RECIPES = {
    "full": SinetRecipe(),
    "tiny": SinetRecipe().changed(
        **TINY_SETTINGS,
        tracklets=4,
        lr=1e-3,
        layers=(1, 2, 4, 1),
        backbone_width=16,
    ),
}

# the paper's ablation
VARIANTS = {"no-sbm": {"sbm": False}, "no-idm": {"idm": False}}

INFO = ModelInfo(
    title="SINet",
    venue="CVPR",
    year=2022,
    paper="Salient-to-Broad Transition for Video Person Re-identification",
    backbone="ResNet-50, ImageNet",
    licence="none",
    parity="authors' code with made-up weights: feature of 4 and 8 frames within 1e-4",
    version=2,  # trained as the authors trained
)


class IntegrationDistribution(ClipBlock):
    """IDM: features of the whole clip, integrated over its T H W places and distributed back to each of them.

    The layers over places fix the number of frames and the size of the map.

    Args:
        channels: C of the maps.
        places: T H W.
    """

    reduction = 16

    def __init__(self, channels: int, places: int) -> None:
        super().__init__()
        narrow, few = max(channels // self.reduction, 1), max(places // self.reduction, 1)
        self.chl_reduction = nn.Sequential(nn.Conv2d(channels, narrow, 1, bias=False), nn.BatchNorm2d(narrow))
        self.thw_reduction = nn.Sequential(nn.Conv1d(places, few, 1, bias=False), nn.BatchNorm1d(few))
        self.thw_expansion = nn.Conv1d(few, places, 1)
        self.chl_expansion = nn.Conv2d(narrow, channels, 1)
        start_normal(self.chl_reduction[0], self.thw_reduction[0], self.thw_expansion)
        nn.init.zeros_(self.chl_expansion.weight)  # the block starts as the identity
        nn.init.zeros_(self.chl_expansion.bias)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B*T, C, H, W], T -> the same shape."""
        narrow = self.chl_reduction(x)
        size = narrow.shape[2:]
        places = narrow.permute(0, 2, 3, 1).flatten(1, 2).unflatten(0, (-1, frames)).flatten(1, 2)  # [B, T H W, C / 16]
        places = places + self.thw_expansion(self.thw_reduction(places))
        maps = places.unflatten(1, (frames, *size)).flatten(0, 1).permute(0, 3, 1, 2)
        return F.relu(x + self.chl_expansion(maps))


class SalientToBroad(ClipBlock):
    """SBM: what the first frames of four show is dampened in the others, and each side learns of what the other saw.

    Args:
        channels: C of the maps.
        salient: how many frames come first: 1, 2 or 3.
    """

    reduction = 4
    exchange = 0.1  # how much of the other side's mean is added
    steepness = 5.0  # of the dampening

    def __init__(self, channels: int, salient: int) -> None:
        super().__init__()
        self.salient = salient
        self.squeeze_excite = nn.Sequential(
            nn.Linear(channels, channels // self.reduction),
            nn.ReLU(inplace=True),
            nn.Linear(channels // self.reduction, channels),
            nn.Sigmoid(),
        )
        self.kernel = nn.Sequential(nn.Conv2d(channels, 9, 1, bias=False), nn.BatchNorm2d(9), nn.ReLU())
        # reads nine responses, each at its place of a 3x3 window
        self.register_buffer("window", torch.eye(9).view(1, 9, 3, 3), persistent=False)

    def gates(self, x: Tensor) -> Tensor:
        """[G, 4, C, H, W] -> [G, C]: squeeze and excitation, for the channels alone that are stronger inside the map
        than at its border."""
        return self.squeeze_excite(x.mean((1, 3, 4))) * (self.contrast(x) > 1)

    def contrast(self, x: Tensor) -> Tensor:
        """[G, 4, C, H, W] -> [G, C]: the mean without the outermost pixels over the mean of all."""
        return x[..., 1:-1, 1:-1].mean((1, 3, 4)) / (x.mean((1, 3, 4)) + 1e-8)

    def kernels(self, salient: Tensor) -> Tensor:
        """Gated salient frames [G, t, C, H, W] -> [G, 9, C]: a 3x3 kernel of means over their places.

        Nine maps share out each place, then each is normalised over all places.
        """
        weights = F.normalize(self.kernel(salient.flatten(0, 1)).float(), p=1, dim=1).unflatten(0, salient.shape[:2])
        weights = F.normalize(weights.transpose(1, 2).flatten(2), p=1, dim=2)  # [G, 9, t H W]
        return weights @ salient.float().transpose(1, 2).flatten(2).mT

    def respond(self, kernels: Tensor, broad: Tensor) -> Tensor:
        """Kernels [G, 9, C] and gated broad frames [G, t, C, H, W] -> [G, t, H, W]: correlation, border repeated.

        A product of the kernel's nine vectors with all places comes first, so that what slides is nine maps, not C.
        """
        parts = kernels.unsqueeze(1) @ broad.float().flatten(3)
        maps = parts.unflatten(3, broad.shape[3:]).flatten(0, 1)
        maps = F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), self.window)
        return maps.view(*broad.shape[:2], *broad.shape[3:]) / 9

    def dampening(self, responses: Tensor) -> Tensor:
        """[G, t, H, W] -> factors of the places in (0, 1]: 1 where a place responds no more than the average one."""
        share = responses.flatten(2).softmax(-1).clamp(min=1e-4) * responses[0, 0].numel()
        # clamped before the exponential, which would overflow and make NaN of the gradient
        return (self.steepness * ((1 / share).clamp(max=1) - 1)).exp().view_as(responses)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B*T, C, H, W], T a multiple of 4 -> the same shape."""
        groups = x.unflatten(0, (-1, GROUP))
        gated = F.relu(groups * self.gates(groups)[:, None, :, None, None])
        first, others = groups.split([self.salient, GROUP - self.salient], dim=1)
        kernels = self.kernels(gated[:, : self.salient])
        keep = self.dampening(self.respond(kernels, gated[:, self.salient :])).unsqueeze(2)
        means = first.mean((1, 3, 4), keepdim=True)
        removed = ((1 - keep) * others).mean((1, 3, 4), keepdim=True)
        # where all places respond alike nothing is removed, and zero is divided
        removed = removed / (1 - keep).mean((1, 3, 4), keepdim=True).clamp(min=1e-8)
        broad = others * keep + self.exchange * means
        return torch.cat([first + self.exchange * removed, broad], dim=1).flatten(0, 1).to(x.dtype)


def info_nce(frames: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """InfoNCE within each identity: frames at one position of its clips are alike, those at other positions are not.

    So that a position keeps its part, salient or broad, whichever the clip. A frame and another at its position, in
    another clip of the identity, make a pair; against them stand all frames of the identity at other positions. The
    losses of an identity's pairs are averaged, and the identities of the batch added up. Positions count within groups
    of four, as the SBM has them.

    Args:
        frames: projected frames [B, T, D], of any length.
        labels: int64 [B].
        temperature: divides the cosines.
    """
    with torch.autocast(frames.device.type, enabled=False):
        vectors = F.normalize(frames.flatten(0, 1).float(), dim=1)
        scores = vectors @ vectors.T / temperature
    batch, length = frames.shape[:2]
    owners = labels.repeat_interleave(length)
    positions = torch.arange(length, device=labels.device).repeat(batch) % GROUP
    same, alike = owners[:, None] == owners[None, :], positions[:, None] == positions[None, :]
    pairs = same & alike & ~torch.eye(len(owners), dtype=torch.bool, device=same.device)
    others = scores.masked_fill(~same | alike, -torch.inf).logsumexp(1, keepdim=True)
    # log of exp(score) / (exp(score) + sum over the others), for each pair by itself
    losses = -F.logsigmoid(scores - others)
    of_identity = same.to(scores.dtype) @ pairs.sum(1).to(scores.dtype)  # pairs of the identity of each frame
    if not pairs.any():
        return scores.sum() * 0
    return (losses / of_identity.clamp(min=1)[:, None])[pairs].sum()


def _map_size(recipe: SinetRecipe) -> tuple[int, int]:
    """Height and width of the second stage's maps; those of the third are half as large, rounded up."""
    # the stem's pooling is not padded
    pooled = [((side + 1) // 2 - 3) // 2 + 1 for side in (recipe.clip.height, recipe.clip.width)]
    return (pooled[0] + 1) // 2, (pooled[1] + 1) // 2


def insert_modules(backbone: ResNet, recipe: SinetRecipe) -> None:
    """Behind blocks 1, 3, 5 …: IDM in the second stage; SBM in the third, with 1, 2, then 3 salient frames of 4."""
    for name, wanted in (("layer2", recipe.idm), ("layer3", recipe.sbm)):
        blocks = []
        for index, block in enumerate(getattr(backbone, name)):
            blocks.append(block)
            channels = block.conv3.out_channels
            if index % 2 and wanted and name == "layer2":
                blocks.append(IntegrationDistribution(channels, recipe.clip.frames * math.prod(_map_size(recipe))))
            elif index % 2 and wanted:
                blocks.append(SalientToBroad(channels, min((index + 1) // 2, GROUP - 1)))
        setattr(backbone, name, nn.Sequential(*blocks))


class Sinet(nn.Module):
    """`forward` and `embed` as `training.model.ReidModel` wants them; D = 2048 at full size."""

    def __init__(self, recipe: SinetRecipe, num_classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.backbone = ResNet(recipe.layers, recipe.backbone_width, recipe.last_stride)
        load_pretrained(self.backbone, recipe.pretrained)
        self.backbone.maxpool = nn.MaxPool2d(3, stride=2)
        insert_modules(self.backbone, recipe)
        self.backbone.to(memory_format=torch.channels_last)
        self.neck = FeatureNeck(self.backbone.channels, num_classes)
        self.projection = nn.Linear(self.backbone.channels, self.backbone.channels)

    def frame_vectors(self, clips: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, T, D], before the batch norm."""
        return frame_maxima(clip_maps(self.backbone, clips)).unflatten(0, clips.shape[:2])

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W]; cameras and labels [B]."""
        vectors = self.frame_vectors(clips)
        features, logits = self.neck(vectors.mean(1))
        # a second pass through the same batch norm, over frames, which moves its running statistics as well
        frames = self.neck.norm(vectors.flatten(0, 1)).view_as(vectors)
        contrast = info_nce(self.projection(frames), labels, self.recipe.contrast_temperature)
        return TrainingOutput(
            logits={"clip": logits},
            features={"clip": features},
            losses={"contrast": self.recipe.contrast_weight * contrast},
        )

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, D]; T is the recipe's where there is IDM, otherwise any multiple of 4."""
        return self.neck.norm(self.frame_vectors(clips).mean(1))


def build(recipe: SinetRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities and images of the recipe's size; cameras play no part in it.

    Raises:
        UsageError: images are so small that maps are all border, a clip's length is no multiple of 4, clips in test
            are not as long as those in training, or the pretrained weights are absent.
    """
    if recipe.sbm and min(_map_size(recipe)) < 5:  # the third stage halves them
        raise UsageError(
            f"Images of {recipe.clip.height}x{recipe.clip.width} leave SINet's SBM maps without an inside: use a "
            "height and width of at least 40, for example --set height=64 --set width=40."
        )
    for key, frames in (("frames", recipe.clip.frames), ("test_frames", recipe.test_frames)):
        if recipe.sbm and frames % GROUP:
            raise UsageError(f"{key} is {frames}, but SINet's SBM wants a multiple of 4: use --set {key}=4.")
    if recipe.idm and recipe.test_frames != recipe.clip.frames:
        raise UsageError(
            f"test_frames is {recipe.test_frames}, but SINet's IDM is made for clips of {recipe.clip.frames} frames: "
            f"use --set test_frames={recipe.clip.frames}."
        )
    return Sinet(recipe, num_classes)


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names to ours; ours, and names that neither has, pass through.

    Their convolutions have biases in front of batch norms, which take them out again. The running mean takes ours.
    """
    folded = dict(state)
    for name in state:
        stem, _, leaf = name.rpartition(".")
        if leaf != "bias":
            continue
        before, _, layer = stem.rpartition(".")
        norm = {"0": "1"}.get(layer, layer.replace("conv", "bn"))
        mean = f"{before}.{norm}.running_mean".lstrip(".")
        if norm != layer and mean in folded:
            folded[mean] = folded[mean] - folded.pop(name)
    parts = {
        ".se.1.": ".squeeze_excite.0.",
        ".se.3.": ".squeeze_excite.2.",
        ".thw_expansion.0.": ".thw_expansion.",
        ".chl_expansion.0.": ".chl_expansion.",
    }
    converted = {}
    for name, tensor in convert_inflated(folded).items():
        for theirs, ours in parts.items():
            name = name.replace(theirs, ours)
        if name.endswith(".weight") and tensor.ndim > 2:  # kernels of one place
            if ".squeeze_excite." in name or name.startswith("projection."):
                tensor = tensor.flatten(1)
            elif ".thw_" in name:
                tensor = tensor.flatten(2)
        converted[name] = tensor
    return converted
