"""CLIP's image and text towers, with open_clip's state-dict names, as every CLIP model here uses them.

    clip = load_clip("ViT-B-16-quickgelu", "openai", height=256, width=128)
    tokens = clip.image(images, class_offset=camera_embedding)      # before the last block, after ln_post, projected
    outputs, feature = clip.text(tokenize(["A photo of a person."]))
    tiny = load_clip("tiny", "simulated", height=128, width=64)     # 7.7 M parameters, pretrained on simulated people

Configurations are open_clip's (Radford et al. 2021 for the models); `TINY` is one more of the same form. All attention
is `scaled_dot_product_attention`, activations are QuickGELU, layer norms compute in float32 whatever the stream is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import UsageError
from ..datasets.clips import CLIP_MEAN, CLIP_STD, ClipSpec
from ..datasets.errors import choices
from ..datasets.progress import say
from ..training.recipe import Recipe, Weight
from .clip_weights import EMBEDDING, ROWS, read_weights

# 128 x 64 pixels in patches of 8: the same 16 x 8 grid as ViT-B/16 at 256 x 128. Two blocks: in the minutes
# that two cores have, twice the steps are worth more than four blocks, and large patches miss shoes and numbers
TINY = {
    "embed_dim": 128,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 192, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}
CONTEXT = 77  # tokens of a text

# what every CLIP model's recipe of size tiny has in common, so that their figures at that size can be compared
TINY_SETTINGS = {
    "backbone": "tiny",
    "pretrained": "simulated",
    "frames": 4,
    "test_frames": 4,
    "height": 128,
    "width": 64,
    "pad": 5,
    "epoch_of": "identities",
    "composition": "cameras",
    "train_chunks": "even",
    "warmup": "linear",
    "erase": 0.0,  # a hundred-odd steps are too few to learn from what is erased
    "optimizer": "adamw",
    "lr": 1.5e-4,
    "new_lr_factor": 10.0,
    "bias_lr_factor": 1.0,
    "weight_decay": 0.05,
    "epochs": 20,
    "schedule": "cosine",
    "warmup_epochs": 2,
    "id_weight": 1.0,
    "precision": "fp32",
}


@dataclass(frozen=True, kw_only=True)
class ClipRecipe(Recipe):
    """A recipe of a model on CLIP: open_clip's name of the backbone, or "tiny"."""

    clip: ClipSpec = ClipSpec(mean=CLIP_MEAN, std=CLIP_STD)
    backbone: str = "ViT-B-16-quickgelu"
    new_lr_factor: Weight = 1.0  # of lr, for the parts that no weights are there for; the authors have one rate for all


def new_part_factor(recipe: ClipRecipe, name: str) -> float:
    """What multiplies the rate of the parameter `name`: 1 in CLIP's image tower, `new_lr_factor` in what is new."""
    pretrained = name.startswith("image.") and ".adapter." not in name and ".across." not in name
    return 1.0 if pretrained else recipe.new_lr_factor


@torch.no_grad()
def start_cameras(embedding: Tensor | None) -> None:
    """Fills a camera embedding [cameras, W] as training starts with it; None: there is none."""
    if embedding is not None:
        embedding.copy_(nn.init.trunc_normal_(torch.empty(embedding.shape), std=0.02))


def check_heads(key: str, heads: int, width: int) -> None:
    """Refuses a number of attention heads that does not divide the width of the tokens.

    Args:
        key: of the recipe.

    Raises:
        UsageError: it doesn't; the nearest number below that does is named.
    """
    if width % heads:
        nearest = next(n for n in range(heads, 0, -1) if width % n == 0)
        raise UsageError(f"{key}={heads} heads don't divide tokens of {width} numbers. Give --set {key}={nearest}.")


class ClipConfig(NamedTuple):
    """Sizes of both towers. `grid` is the patch grid (rows, columns) of the images it will see."""

    embed: int
    width: int
    layers: int
    heads: int
    patch: int
    grid: tuple[int, int]
    text_width: int
    text_layers: int
    text_heads: int
    vocabulary: int


class ImageTokens(NamedTuple):
    """What the image tower gives for N images of P patches. Index 0 of the second axis is the class token."""

    penultimate: Tensor  # [N, 1+P, W] before the last block
    final: Tensor  # [N, 1+P, W] after ln_post
    projected: Tensor  # [N, 1+P, E] final @ proj


@dataclass
class Clip:
    """Both towers of one model."""

    config: ClipConfig
    image: "ImageTower"
    text: "TextTower"


class LayerNorm(nn.LayerNorm):
    """Layer norm in float32, handed back in the input's type."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., W] -> [..., W]."""
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation OpenAI's weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Multi-head self-attention with the parameter names of `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        """[N, L, W] -> [N, L, W]"""
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=causal)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear maps around QuickGELU, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gelu = QuickGELU()
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., W] -> [..., W]."""
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        """[N, L, W] -> [N, L, W]"""
        x = x + self.attn(self.ln_1(x), causal)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of blocks, under the name that checkpoints have for it: `transformer.resblocks`."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        """[N, L, W] -> [N, L, W]; `causal`: a token sees those before it only."""
        for block in self.resblocks:
            x = block(x, causal)
        return x


class ImageTower(nn.Module):
    """CLIP's ViT. A subclass may give other blocks (VSLA-CLIP's adapters)."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        width, (rows, columns) = config.width, config.grid
        self.conv1 = nn.Conv2d(3, width, config.patch, config.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn(1 + rows * columns, width) * width**-0.5)
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer([self.make_block(index) for index in range(config.layers)])
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(torch.randn(width, config.embed) * width**-0.5)

    def make_block(self, index: int) -> nn.Module:
        """Block `index` of `config.layers`."""
        return Block(self.config.width, self.config.heads)

    def tokenise(self, images: Tensor, class_offset: Tensor | None = None) -> Tensor:
        """Images [N, 3, H, W] -> tokens [N, 1+P, W] that enter the first block.

        `class_offset` [N, W] is added to the class token before the position embedding (TransReID's SIE).
        """
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        if patches.shape[1] + 1 != len(self.positional_embedding):
            height, width = (n * self.config.patch for n in self.config.grid)
            raise ValueError(f"images are {tuple(images.shape[-2:])}, the tower was built for {(height, width)}")
        first = self.class_embedding.expand(patches.shape[0], 1, -1)
        if class_offset is not None:
            first = first + class_offset.unsqueeze(1)
        return self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)

    def finish(self, penultimate: Tensor, last: Tensor) -> ImageTokens:
        """The named outputs from the stream before [N, 1+P, W] and after [N, 1+P, W] the last block."""
        final = self.ln_post(last)
        return ImageTokens(penultimate, final, final @ self.proj)

    def forward(self, images: Tensor, class_offset: Tensor | None = None) -> ImageTokens:
        """Normalised images [N, 3, H, W], optional [N, W] -> tokens of N images."""
        x = self.tokenise(images, class_offset)
        for block in self.transformer.resblocks[:-1]:
            x = block(x)
        return self.finish(x, self.transformer.resblocks[-1](x))


class TextTower(nn.Module):
    """CLIP's text transformer. `token_embedding` may be set to None where only learned prompts are encoded."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        width = config.text_width
        self.token_embedding: nn.Embedding | None = nn.Embedding(config.vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.randn(CONTEXT, width) * 0.01)
        self.transformer = Transformer([Block(width, config.text_heads) for _ in range(config.text_layers)])
        self.ln_final = LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, config.embed) * width**-0.5)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids [N, L] -> projected outputs [N, L, E] after ln_final, end-of-text feature [N, E]."""
        # the end-of-text token has the largest id
        return self.from_embeddings(self.token_embedding(tokens), tokens.argmax(dim=-1))

    def from_embeddings(self, embeddings: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Token embeddings [N, L, W], position of the end-of-text token [N] -> as `forward`."""
        x = embeddings + self.positional_embedding[: embeddings.shape[1]]
        outputs = self.ln_final(self.transformer(x, causal=True)) @ self.text_projection
        return outputs, outputs[torch.arange(len(outputs), device=outputs.device), ends]


def tokenize(texts: Sequence[str]) -> Tensor:
    """CLIP's token ids [N, 77], int64, zero after the end-of-text token; longer texts are cut."""
    import open_clip

    return open_clip.SimpleTokenizer(context_length=CONTEXT)(list(texts))


def encode_text(clip: Clip, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Texts -> token outputs [N, 77, E] and end-of-text features [N, E], without gradient, on the tower's device."""
    with torch.inference_mode():
        return clip.text(tokenize(texts).to(clip.text.positional_embedding.device))


def clip_config(name: str, height: int, width: int) -> ClipConfig:
    """Sizes of an open_clip ViT, or of `TINY`, for images of height x width pixels.

    Raises:
        UsageError: unknown name, a backbone that is no plain ViT with QuickGELU, or a size the patches do not divide.
    """
    import open_clip

    raw = TINY if name == "tiny" else open_clip.get_model_config(name)
    known = ["tiny", *(n for n in open_clip.list_models() if n.startswith("ViT") and n.endswith("quickgelu"))]
    if name not in known or raw is None:
        hint = f" {name}-quickgelu is the form OpenAI's weights need." if f"{name}-quickgelu" in known else ""
        raise UsageError(choices(name, known, "CLIP backbone") + hint)
    vision, text = raw["vision_cfg"], raw["text_cfg"]
    patch = vision["patch_size"]
    if height % patch or width % patch:
        raise UsageError(
            f"Images of {height}x{width} pixels cannot be cut into {patch}x{patch} patches; use multiples."
        )
    return ClipConfig(
        embed=raw["embed_dim"],
        width=vision["width"],
        layers=vision["layers"],
        heads=vision["width"] // vision.get("head_width", 64),
        patch=patch,
        grid=(height // patch, width // patch),
        text_width=text["width"],
        text_layers=text["layers"],
        text_heads=text["heads"],
        vocabulary=text["vocab_size"],
    )


def load_clip(name: str, pretrained: str, height: int, width: int, seed: int = 0) -> Clip:
    """Both towers for images of height x width pixels.

    Args:
        name: open_clip's name ("ViT-B-16-quickgelu") or "tiny".
        pretrained: open_clip's tag ("openai"), "simulated" for the tiny one, the path of a weights file, or "" to start
            from `seed`. Words that a file has no embedding for keep the one from `seed`.

    Raises:
        UsageError: unknown name, or the weights are absent, unreadable or of another model.
    """
    config = clip_config(name, height, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = Clip(config, ImageTower(config), TextTower(config))
    if pretrained:
        _fill(clip, read_weights(name, pretrained), pretrained)
    return clip


def _fill(clip: Clip, weights: dict[str, Tensor], source: str) -> None:
    image = {key.removeprefix("visual."): value for key, value in weights.items() if key.startswith("visual.")}
    text = {key: value for key, value in weights.items() if not key.startswith("visual.") and key != "logit_scale"}
    if ROWS in text:
        text[EMBEDDING] = _with_rows(clip.text.token_embedding.weight, text.pop(ROWS), text[EMBEDDING], source)
    if "positional_embedding" in image:
        image["positional_embedding"] = resize_positions(image["positional_embedding"], clip.config.grid)
    for tower, state, what in ((clip.image, image, "image"), (clip.text, text, "text")):
        wanted = {key: value.shape for key, value in tower.state_dict().items()}
        wrong = [key for key, shape in wanted.items() if key not in state or state[key].shape != shape]
        if wrong:
            raise UsageError(
                f"'{source}' is not of this backbone: {len(wrong)} of {len(wanted)} entries of its {what} tower are "
                f"absent or of another shape, '{wrong[0]}' first; choose the matching --set backbone=NAME."
            )
        unused = sorted(state.keys() - wanted.keys())
        if unused:
            say(f"{source}: {len(unused)} entries have no place in the {what} tower: {', '.join(unused)}")
        tower.load_state_dict({key: state[key] for key in wanted})


def _with_rows(table: Tensor, rows: Tensor, values: Tensor, source: str) -> Tensor:
    """A copy of `table` [V, W] with `values` [R, W] in the rows [R]."""
    rows = rows.long()
    inside = len(rows) > 0 and 0 <= int(rows.min()) <= int(rows.max()) < len(table)
    if values.shape != (len(rows), table.shape[1]) or not inside:
        raise UsageError(
            f"'{source}' is not of this backbone: its {len(rows)} token embeddings are {tuple(values.shape)} for a "
            f"table of {tuple(table.shape)}; choose the matching --set backbone=NAME."
        )
    return table.detach().clone().index_copy_(0, rows, values)


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embedding [1+S*S, W] of a square grid -> [1+rows*columns, W], bilinear without antialiasing.

    The class token's row stays; one that has the grid's length already, or is of no square, comes back as it is.
    This is how CLIP-ReID and TF-CLIP resize, so their figures depend on it. [1+2*S*S, W] is a grid twice as high as
    wide, as the tiny CLIP's.
    """
    patches = len(positions) - 1
    columns = math.isqrt(patches)
    if columns * columns != patches:
        columns = math.isqrt(patches // 2)
    if patches == grid[0] * grid[1] or patches not in (columns**2, 2 * columns**2):
        return positions
    square = positions[1:].T.reshape(1, -1, patches // columns, columns)
    resized = F.interpolate(square, size=grid, mode="bilinear", align_corners=False)
    return torch.cat([positions[:1], resized[0].flatten(1).T])
