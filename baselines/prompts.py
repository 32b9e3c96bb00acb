"""Learned prompts: the first stage of CLIP-ReID and VSLA-CLIP, and what the two models share in the second.

    prompts = Prompts(clip.text, "A photo of a X X X X person.", num_classes=625)
    train_prompts(prompts, clip.text, image_features, labels, recipe)
    texts = encode_prompts(prompts, clip.text)                # [Y, 512], frozen from here on

Stage 1 (Li, Sun and Li 2023): image features are computed once and kept; only the prompts train, under the supervised
contrast of images with the texts of their identities, in both directions, temperature 1, nothing normalised.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..datasets import ReidDataset
from ..datasets.progress import progress
from ..training.losses import smoothed_cross_entropy, supervised_contrast
from ..training.model import FrameExtractor, TrainingOutput
from ..training.recipe import Count, EpochOf, Epochs, Rate, Share, Warmup, Weight
from .clip import Clip, ClipRecipe, TextTower, new_part_factor, tokenize
from .necks import BnNeck

AT_ONCE = 256  # identities encoded in one pass


@dataclass(frozen=True, kw_only=True)
class PromptRecipe(ClipRecipe):
    """Adds the prompt stage. Its epochs are passes over the training tracklets, one image feature each."""

    prompt_epochs: Epochs = 120
    prompt_batch: Count = 64  # tracklets
    prompt_lr: Rate = 3.5e-4
    prompt_min_lr: Rate = 1e-6  # where the cosine ends
    prompt_warmup_epochs: Epochs = 5
    prompt_warmup_lr: Rate = 1e-5  # where the warm-up starts
    prompt_weight_decay: Share = 1e-4
    text_weight: Weight = 1.0  # of the image-to-text cross-entropy in the second stage

    identities: int = 8
    tracklets: int = 4
    epoch_of: EpochOf = "tracklets"
    bias_lr_factor: float = 2.0
    weight_decay: float = 1e-4
    # 0.19, 0.28, …, 1: both count ten epochs, and take their scheduler's step before an epoch
    warmup: Warmup = "stair"
    warmup_epochs: int = 9
    warmup_factor: float = 0.19
    id_weight: float = 0.25
    pretrained: str = "openai"


class Prompts(nn.Module):
    """A prompt an identity: fixed words around learned vectors.

    In `template` each X stands for a vector of the identity, each P for a vector shared by all. Words are embedded when
    the module is made; afterwards the text tower's table of 49,408 embeddings is not needed.
    """

    def __init__(self, text: TextTower, template: str, num_classes: int) -> None:
        super().__init__()
        width = text.token_embedding.embedding_dim
        words = template.replace(".", " .").split()
        places = [i for i, word in enumerate(words, start=1) if word in ("P", "X")]  # 0 is the start-of-text token
        first, last = places[0], places[-1]
        own = [i for i in places if words[i - 1] == "X"]
        before, after = own[0] - first, last - own[-1]
        with torch.device("cpu"):  # read here, also where the model is outlined on the meta device
            tokens = tokenize([template])
        self.end = int(tokens.argmax())  # position of the end-of-text token
        self.identity = nn.Parameter(torch.randn(num_classes, len(own), width) * 0.02)
        self.before = nn.Parameter(torch.randn(1, before, width) * 0.02) if before else None
        self.after = nn.Parameter(torch.randn(1, after, width) * 0.02) if after else None
        with torch.no_grad():
            embedded = text.token_embedding(tokens.to(text.token_embedding.weight.device))
        self.register_buffer("start", embedded[:, :first].clone())
        self.register_buffer("rest", embedded[:, last + 1 :].clone())

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Classes [N] -> token embeddings [N, 77, W], positions of the end-of-text token [N]."""
        n = len(labels)
        parts = [self.start, self.before, self.identity[labels], self.after, self.rest]
        embeddings = torch.cat([part.expand(n, -1, -1) for part in parts if part is not None], dim=1)
        return embeddings, torch.full((n,), self.end, device=labels.device)


def encode_prompts(prompts: Prompts, text: TextTower) -> Tensor:
    """Text features [Y, E] of all classes, without gradient."""
    with torch.no_grad():
        labels = torch.arange(len(prompts.identity), device=prompts.identity.device)
        return torch.cat([text.from_embeddings(*prompts(part))[1].float() for part in labels.split(AT_ONCE)])


def prompt_rate(recipe: PromptRecipe, epoch: int) -> float:
    """Learning rate of stage 1 in `epoch` (from 0): a linear warm-up, then a cosine to `prompt_min_lr`.

    As the authors' code counts: epochs from 1, and the cosine as if it had begun with the first of them.
    """
    warm, number = recipe.prompt_warmup_epochs, epoch + 1
    if number < warm:
        return recipe.prompt_warmup_lr + (recipe.prompt_lr - recipe.prompt_warmup_lr) * number / warm
    done = number / recipe.prompt_epochs
    return recipe.prompt_min_lr + (recipe.prompt_lr - recipe.prompt_min_lr) * (1 + math.cos(math.pi * done)) / 2


def train_prompts(prompts: Prompts, text: TextTower, images: Tensor, labels: Tensor, recipe: PromptRecipe) -> float:
    """Stage 1. Only `prompts` train; the text tower is left as it is.

    Args:
        images: [N, E] frozen image features; labels: int64 [N]. Both on the prompts' device.

    Returns:
        The mean loss of the last epoch.
    """
    device = images.device
    prompts.requires_grad_(True)
    optimiser = torch.optim.Adam(prompts.parameters(), lr=recipe.prompt_lr, weight_decay=recipe.prompt_weight_decay)
    generator = torch.Generator().manual_seed(recipe.seed)
    half = recipe.precision == "bf16" and device.type == "cuda"
    batches = math.ceil(len(images) / recipe.prompt_batch)
    mean = float("nan")
    with progress("prompts", recipe.prompt_epochs * batches, "steps") as advance:
        for epoch in range(recipe.prompt_epochs):
            optimiser.param_groups[0]["lr"] = prompt_rate(recipe, epoch)
            total = torch.zeros((), device=device)
            for batch in torch.randperm(len(images), generator=generator).to(device).split(recipe.prompt_batch):
                # an identity's text is encoded once however often it occurs in the batch
                present, where = labels[batch].unique(return_inverse=True)
                with torch.autocast(device.type, torch.bfloat16, enabled=half):
                    texts = text.from_embeddings(*prompts(present))[1][where]
                own = labels[batch]
                loss = supervised_contrast(images[batch], texts, own, own)
                loss = loss + supervised_contrast(texts, images[batch], own, own)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.detach()
                advance()
            mean = float(total) / batches
    optimiser.zero_grad()
    prompts.requires_grad_(False)
    return mean


class PromptedClip(nn.Module):
    """Stage 2 of both models: two BNNecks, triplets on three features, and the frozen texts as classifiers.

    A subclass gives `self.image` and `clip_features`. The text tower and the prompts are frozen but part of the state:
    they are in the authors' checkpoints, and the text features can be made again from them.
    """

    def __init__(self, recipe: PromptRecipe, clip: Clip, template: str, num_classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.text = clip.text
        self.prompts = Prompts(clip.text, template, num_classes)
        self.text.token_embedding = None
        self.text.requires_grad_(False)
        self.prompts.requires_grad_(False)
        sizes = {"image": clip.config.width, "projection": clip.config.embed}
        self.necks = nn.ModuleDict({name: BnNeck(size, num_classes) for name, size in sizes.items()})
        self.register_buffer("text_features", torch.zeros(num_classes, clip.config.embed))

    def clip_features(self, clips: Tensor, cameras: Tensor) -> dict[str, Tensor]:
        """[B, T, 3, H, W], [B] -> [B, D] by name: "penultimate" (before the last block), "image", "projection"."""
        raise NotImplementedError

    def lr_factor(self, name: str) -> float:
        """CLIP's tower at the recipe's rate, heads, adapters and camera embedding at `new_lr_factor` times that."""
        return new_part_factor(self.recipe, name)

    def stage1_features(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, E]: the projected class token that the prompts are fitted to."""
        return self.image(images).projected[:, 0]

    def forward(self, clips: Tensor, cameras: Tensor, labels: Tensor) -> TrainingOutput:
        """clips [B, T, 3, H, W], cameras [B], labels [B]; `prepare` or a checkpoint has filled the text features."""
        features = self.clip_features(clips, cameras)
        # scores of features that aren't normalised reach the hundreds, where bf16 has steps of one
        with torch.autocast(clips.device.type, enabled=False):
            scores = features["projection"].float() @ self.text_features.T
        ranked = smoothed_cross_entropy(scores, labels, self.recipe.label_smoothing)
        return TrainingOutput(
            logits={name: neck(features[name]) for name, neck in self.necks.items()},
            features=features,
            losses={"image_to_text": self.recipe.text_weight * ranked},
        )

    def embed(self, clips: Tensor, cameras: Tensor) -> Tensor:
        """[B, T, 3, H, W], [B] -> [B, W + E], before the batch norms."""
        features = self.clip_features(clips, cameras)
        return torch.cat([features["image"], features["projection"]], dim=1)

    def prepare(self, dataset: ReidDataset, extract: FrameExtractor) -> None:
        """Stage 1: prompts fitted to the frozen tower's features, one a tracklet (the mean over its frames)."""
        mode = self.training
        self.eval()
        frames = extract(dataset.train, lambda images, cameras: self.stage1_features(images))
        device = self.text_features.device
        images = torch.stack([feature.float().mean(0) for feature in frames]).to(device)
        labels = torch.tensor([dataset.label_of[tracklet.identity] for tracklet in dataset.train], device=device)
        train_prompts(self.prompts, self.text, images, labels, self.recipe)
        self.text_features.copy_(encode_prompts(self.prompts, self.text))
        self.train(mode)


# the authors' prefix -> ours; CLIP-ReID and VSLA-CLIP share them
NAMES = {
    "image_encoder.": "image.",
    "text_encoder.": "text.",
    "prompt_learner.cls_ctx": "prompts.identity",
    "prompt_learner.prefix_prompt": "prompts.before",
    "prompt_learner.suffix_prompt": "prompts.after",
    "prompt_learner.token_prefix": "prompts.start",
    "prompt_learner.token_suffix": "prompts.rest",
    "bottleneck.": "necks.image.norm.",
    "bottleneck_proj.": "necks.projection.norm.",
    "classifier.": "necks.image.classifier.",
    "classifier_proj.": "necks.projection.classifier.",
}
