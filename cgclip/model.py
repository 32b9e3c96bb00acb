"""CG-CLIP (arXiv 2604.07740): CLIP, a memory of identities refined by captions, and a few tokens that read the clip.

    reidkit run cgclip --bench mars
    reidkit run cgclip/no-cmr --bench demo/sports --size tiny
    reidkit explain runs/sports/cgclip/seed0 demo/sports --tracklet ID -o tokens.png

The paper gives the two modules' purpose and no code; the construction is ours, in the line of TF-CLIP (AAAI 2024), and
docs/reproduction.md says which part is which. Captions and CMR work in training only: a test feature concatenates
three features of the clip: class token [768], its projection [512] and TFE [768], before their batch norms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from ..baselines.clip import TINY_SETTINGS, check_heads, encode_text, load_clip, new_part_factor, tokenize
from ..baselines.clip_memory import MemoryRecipe, follow, identity_memory
from ..baselines.necks import BnNeck
from ..datasets import ReidDataset
from ..datasets.progress import say
from ..datasets.withheld import Topic
from ..training.losses import smoothed_cross_entropy
from ..training.model import FrameExtractor, ModelInfo, TrainingOutput
from ..training.recipe import Count, Temperature, Weight
from .captions import CaptionBank, EncodedCaption, captions_by_identity, encode_clip, encode_words
from .memory import thin
from .refinement import CaptionGuidedRefinement
from .tfe import TokenExtraction


@dataclass(frozen=True, kw_only=True)
class CgclipRecipe(MemoryRecipe):
    """TF-CLIP's batches, augmentation and schedule (Adam 5e-6, x0.1 at 30, 50 and 70 of 80 epochs) and our choices."""

    # TFE
    tfe: bool = True  # False: the mean of all the clip's tokens takes its place
    tokens: Count = 8  # K
    tfe_layers: Count = 2
    tfe_heads: Count = 12
    # CMR
    cmr: bool = True
    cmr_layers: Count = 2
    cmr_heads: Count = 8
    # captions
    captions: Literal["none", "template", "attributes", "mllm", "any"] = "any"
    captions_without: tuple[Topic, ...] = ()  # topics that they are not to speak of
    captions_swapped: bool = False  # a control: every identity is told by the captions of another
    caption_encoder: Literal["auto", "clip", "words"] = "auto"  # auto: clip with pretrained weights, otherwise words
    captions_per_identity: Count = 4
    caption_tokens: Count = 160  # room an identity, shared by its captions
    caption_weight: Weight = 0.5  # lambda of the contrast with the caption prototypes
    caption_temperature: Temperature = 0.01  # CLIP's own, at the end of its training
    # memory
    memory_only: bool = False  # neither TFE's feature nor CMR nor captions: CLIP-Memory and the two CLIP features
    memory_weight: Weight = 1.0
    memory_frames: Annotated[int, Meta(ge=0, le=100_000)] = (
        0  # frames of a tracklet that the first memory is made of; 0: all
    )
    # rates of the parts that no weights are there for, as factors of lr
    new_lr_factor: Weight = 10.0
    gate_lr_factor: Weight = 1000.0  # Adam moves a scalar by lr a step at most; g has to come from 0 to about 1


RECIPES = {
    "full": CgclipRecipe(),
    # 128x64 pixels in 8x8 patches, on the tiny CLIP that was pretrained on simulated people
    "tiny": CgclipRecipe().changed(
        **TINY_SETTINGS,
        tfe_heads=6,
        cmr_heads=4,
        caption_temperature=0.1,
        memory_momentum=0.8,
        memory_frames=4,
        gate_lr_factor=30.0,
    ),
}

VARIANTS = {
    "no-cmr": {"cmr": False},
    "no-tfe": {"tfe": False},
    **{f"k{k}": {"tokens": k} for k in (1, 2, 4, 8, 16, 32)},
    **{f"captions-{source}": {"captions": source} for source in ("none", "template", "attributes", "mllm")},
    "captions-swapped": {"captions_swapped": True},
    "memory-only": {"memory_only": True},
}

INFO = ModelInfo(
    title="CG-CLIP",
    venue="arXiv",
    year=2026,
    paper="arXiv 2604.07740",
    backbone="CLIP ViT-B/16",
    licence="-",
    version=2,  # TF-CLIP's epoch, batches and augmentation as its authors have them
)


class Cgclip(nn.Module):
    """`forward`, `embed`, `prepare` and `lr_factor` as `training.model.ReidModel` wants them."""

    def __init__(self, recipe: CgclipRecipe, num_classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        clip = load_clip(recipe.backbone, recipe.pretrained, recipe.clip.height, recipe.clip.width, recipe.seed)
        self.image = clip.image
        width, embed = clip.config.width, clip.config.embed
        whole = not recipe.memory_only
        self.with_captions = whole and recipe.captions != "none"
        self.bank = CaptionBank(num_classes, embed)
        self.register_buffer("memory", torch.zeros(num_classes, embed))
        self.cmr = self.tfe = None
        if whole and recipe.cmr:
            check_heads("cmr_heads", recipe.cmr_heads, embed)
            self.cmr = CaptionGuidedRefinement(embed, recipe.cmr_heads, recipe.cmr_layers, self.with_captions)
        if whole and recipe.tfe:
            check_heads("tfe_heads", recipe.tfe_heads, width)
            self.tfe = TokenExtraction(width, recipe.tokens, recipe.tfe_layers, recipe.tfe_heads, recipe.clip.frames)
        sizes = {"image": width, "projection": embed, **({"tfe": width} if whole else {})}
        self.necks = nn.ModuleDict({name: BnNeck(size, num_classes) for name, size in sizes.items()})

    def features(self, clips: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Clips [B, T, 3, H, W] -> features [B, D] by name, and the projected tokens averaged over time [B, N, E]."""
        batch, frames = clips.shape[:2]
        tokens = self.image(clips.flatten(0, 1))
        final = tokens.final.unflatten(0, (batch, frames))
        video = tokens.projected.unflatten(0, (batch, frames)).mean(1)
        features = {"image": final[:, :, 0].mean(1), "projection": video[:, 0]}
        if "tfe" in self.necks:
            features["tfe"] = self.tfe(final) if self.tfe is not None else final.mean((1, 2))
        return features, video

    def memory_logits(self, projection: Tensor, tokens: Tensor, memory: Tensor) -> Tensor:
        """Video-to-memory scores v . CMR(M, tokens): [B, E], [B, 1+P, E], [Y, E] -> float32 [B, Y]; no temperature."""
        refined = None
        if self.cmr is not None:
            refined = self.cmr(memory, self.bank.tokens, self.bank.mask, tokens).float()
        # scores of features that aren't normalised reach the hundreds, where bf16 has steps of one
        with torch.autocast(projection.device.type, enabled=False):
            if refined is None:
                return projection.float() @ memory.T
            return torch.einsum("be,bye->by", projection.float(), refined)

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W], cameras [B], labels [B]; `prepare` or a checkpoint has filled memory and captions."""
        recipe = self.recipe
        features, video = self.features(clips)
        v = features["projection"]
        # a copy, because `follow` below must not change what the backward pass reads
        logits = self.memory_logits(v, video, self.memory.clone())
        losses = {"memory": recipe.memory_weight * smoothed_cross_entropy(logits, labels, recipe.label_smoothing)}
        if self.with_captions and recipe.caption_weight:
            losses["captions"] = recipe.caption_weight * self.bank.contrast(v, labels, recipe.caption_temperature)
        if self.training and recipe.memory_momentum < 1:
            follow(self.memory, v, labels, recipe.memory_momentum)
        return TrainingOutput(
            logits={name: self.necks[name](feature) for name, feature in features.items()},
            features=features,
            losses=losses,
        )

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, 768 + 512 + 768] at full size, before the batch norms."""
        return torch.cat(list(self.features(clips)[0].values()), dim=1)

    def attention(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """What TFE's tokens look at: over patches [B, K, T, rows, columns], and on class tokens [B, K, T].

        Raises:
            ValueError: the model has no TFE.
        """
        if self.tfe is None:
            raise ValueError("this variant has no TFE, so no tokens")
        batch, frames = clips.shape[:2]
        maps = self.tfe.maps(self.image(clips.flatten(0, 1)).final.unflatten(0, (batch, frames)))
        return maps[..., 1:].unflatten(-1, self.image.config.grid), maps[..., 0]

    @torch.no_grad()
    def prepare(self, dataset: ReidDataset, extract: FrameExtractor) -> None:
        """CLIP-Memory over all training frames, and the caption bank; both into buffers.

        Raises:
            UsageError: the recipe names a captioner of which the dataset has nothing.
        """
        recipe, mode = self.recipe, self.training
        texts = captions_by_identity(dataset, recipe.captions, recipe.captions_per_identity, recipe.captions_without)
        self.eval()
        tracklets = [thin(tracklet, recipe.memory_frames) for tracklet in dataset.train]
        frames = extract(tracklets, lambda images, cameras: self.image(images).projected[:, 0])
        self.train(mode)
        labels = [dataset.label_of[tracklet.identity] for tracklet in dataset.train]
        self.memory.copy_(identity_memory(frames, labels, len(dataset.identities), recipe.clip.frames))
        if not self.with_captions:
            return
        by_label = [texts.get(identity, ()) for identity in dataset.identities]
        if recipe.captions_swapped:
            by_label = swapped(by_label)
        lost = self.bank.fill(self._encode(by_label), recipe.caption_tokens)
        told = sum(bool(captions) for captions in by_label)
        cut = f", {lost} caption tokens over the room of {recipe.caption_tokens} an identity left out" if lost else ""
        say(f"cgclip: captions for {told} of {len(by_label)} training identities{cut}")

    def _encode(self, texts: Sequence[Sequence[str]]) -> list[list[EncodedCaption]]:
        recipe = self.recipe
        if recipe.caption_encoder == "words" or (recipe.caption_encoder == "auto" and not recipe.pretrained):
            return encode_words(texts, self.memory.shape[1])
        # Needed here only, so the model doesn't carry the 63 M parameters of the text tower through training.
        clip = load_clip(recipe.backbone, recipe.pretrained, recipe.clip.height, recipe.clip.width, recipe.seed)
        clip.text.to(self.memory.device).eval()

        def tokens_of(batch: list[str]) -> tuple[Tensor, Tensor, Tensor]:
            return *encode_text(clip, batch), tokenize(batch).argmax(1) + 1

        return encode_clip(texts, tokens_of)

    def lr_factor(self, name: str) -> float:
        """CLIP's image tower at the recipe's rate, what starts from nothing faster."""
        return self.recipe.gate_lr_factor if name == "cmr.gate" else new_part_factor(self.recipe, name)


def swapped(by_label: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The same captions, each told of another identity: those that have any are shifted by half of them.

    >>> swapped([["red shoes"], [], ["blue shorts"]])
    [['blue shorts'], [], ['red shoes']]
    """
    told = [label for label, captions in enumerate(by_label) if captions]
    moved = list(by_label)
    for place, label in enumerate(told):
        moved[label] = by_label[told[(place + max(len(told) // 2, 1)) % len(told)]]
    return moved


def build(recipe: CgclipRecipe, num_classes: int, num_cameras: int) -> nn.Module:
    """The model for `num_classes` training identities; cameras play no part in it.

    Raises:
        UsageError: CLIP's weights are absent, or of another model; the sentence says how to get them.
    """
    return Cgclip(recipe, num_classes)
