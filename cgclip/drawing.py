"""The picture of CG-CLIP's tokens: a row a token, a column a frame, the token's attention as heat over the crop.

    trained = open_run(zoo.module("cgclip"), Path("runs/sports/cgclip/seed0"))
    found = draw_tokens(trained, dataset.train[0])
    found.picture.save("tokens.png")

`reidkit explain` draws it from the command line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..datasets import Tracklet, UsageError
from ..datasets.loader import decode_tracklet
from ..datasets.sampling import middle_frames
from ..datasets.transforms import normalise
from ..training.trained import Trained

MARGIN, GAP, LABEL, TEXT, NARROWEST = 16, 6, 132, 14, 360  # pixels; LABEL is the width of the left column
BACKGROUND, INK, FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
NOTE = ("bright: much attention, each row up", "to its own maximum; %: share of the", "token's attention on that frame")
STRONGEST = 0.75  # opacity of the heat at a token's maximum


@dataclass(frozen=True)
class TokenPicture:
    """What the K tokens of a model look at in one tracklet.

    Attributes:
        picture: as `draw_attention` makes it.
        frames: indices of the T frames that were read, from 0.
        shares: [K, T], the share of each token's attention that lies on each frame; rows sum to one.
    """

    picture: Image.Image
    frames: tuple[int, ...]
    shares: np.ndarray


def draw_tokens(trained: Trained, tracklet: Tracklet, frames: int | None = None, height: int = 128) -> TokenPicture:
    """Reads a tracklet with a trained CG-CLIP and draws where each of its tokens looks.

    Args:
        trained: a run of `cgclip`, opened.
        tracklet: of any dataset.
        frames: how many of its frames, evenly spread; None: the clip length that the model is tested with.
        height: of a crop in the picture, pixels.

    Raises:
        UsageError: the model has no TFE, or a frame can't be read.
    """
    model, recipe, facts = trained.model, trained.recipe, trained.facts
    if model.tfe is None:
        raise UsageError(
            f"{facts.model} has no TFE, so no tokens to draw. Give a run of cgclip, or of a variant that has tokens."
        )
    chosen = middle_frames(len(tracklet.frames), frames or recipe.test_frames)
    crops = decode_tracklet(tracklet, chosen, recipe.clip.height, recipe.clip.width)
    clip = normalise(crops[None].to(next(model.parameters()).device), recipe.clip)
    with torch.inference_mode():
        maps, on_class = (part[0].float().cpu().numpy() for part in model.attention(clip))
    columns = [f"frame {index + 1}" for index in chosen.tolist()]
    title = f"{facts.model} {facts.size}, tracklet {tracklet.id}, identity {tracklet.identity}"
    picture = draw_attention(crops.numpy(), maps, on_class, columns, title, height)
    return TokenPicture(picture, tuple(chosen.tolist()), maps.sum((2, 3)) + on_class)


def heat(crop: np.ndarray, weights: np.ndarray, peak: float) -> np.ndarray:
    """A crop under its heat map: the more attention, the more colour and the less of the grey crop.

    Args:
        crop: uint8 [h, w, 3], RGB.
        weights: [rows, columns] of the patch grid.
        peak: the weight that gets the strongest colour.
    """
    height, width = crop.shape[:2]
    strength = cv2.resize(weights.astype(np.float32) / max(peak, 1e-12), (width, height), interpolation=cv2.INTER_CUBIC)
    strength = strength.clip(0, 1)
    colour = cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = crop.mean(-1, keepdims=True).repeat(3, -1)
    opacity = STRONGEST * strength[..., None]
    return (grey * (1 - opacity) + colour * opacity).clip(0, 255).astype(np.uint8)


def draw_attention(
    crops: np.ndarray,
    maps: np.ndarray,
    on_class: np.ndarray,
    columns: Sequence[str],
    title: str,
    height: int = 128,
) -> Image.Image:
    """The crops in the first row, then a row for each token.

    Each row has its own colour scale, up to its largest weight; the number below a crop is the share of the token's
    attention that lies on the frame.

    Args:
        crops: uint8 [T, 3, H, W].
        maps: [K, T, rows, columns], attention of each token over the patches.
        on_class: [K, T], attention on the class tokens; with `maps` it sums to one for each token.
        columns: heading of each frame.
        height: of a crop in the picture, pixels.
    """
    tokens, frames = maps.shape[:2]
    width = round(height * crops.shape[3] / crops.shape[2])
    images = [cv2.resize(c.transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_LINEAR) for c in crops]
    cell_width, cell_height = width + GAP, height + TEXT + 2 * GAP
    top = MARGIN + 3 * TEXT
    size = (
        max(2 * MARGIN + LABEL + frames * cell_width, NARROWEST),
        top + (tokens + 1) * cell_height + MARGIN + len(NOTE) * TEXT,
    )
    picture = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(picture)
    font, small = ImageFont.load_default(TEXT), ImageFont.load_default(TEXT - 2)
    draw.text((MARGIN, MARGIN), title, INK, font)

    def place(row: int, column: int) -> tuple[int, int]:
        return MARGIN + LABEL + column * cell_width, top + row * cell_height

    def below(row: int, column: int, text: str) -> None:
        left, upper = place(row, column)
        draw.text((left + width / 2, upper + height + 2), text, FAINT, small, anchor="ma")

    draw.text((MARGIN, top + height / 2), "crops", INK, font, anchor="lm")
    for column, image in enumerate(images):
        picture.paste(Image.fromarray(image), place(0, column))
        below(0, column, columns[column])
    for token in range(tokens):
        _, upper = place(token + 1, 0)
        draw.text((MARGIN, upper + height / 2 - TEXT), f"token {token + 1}", INK, font, anchor="lm")
        told = f"{100 * on_class[token].sum():.0f} % class tokens"
        draw.text((MARGIN, upper + height / 2 + TEXT / 2), told, FAINT, small, anchor="lm")
        peak = float(maps[token].max())
        for column, image in enumerate(images):
            shown = heat(image, maps[token, column], peak)
            picture.paste(Image.fromarray(shown), place(token + 1, column))
            below(token + 1, column, f"{100 * (maps[token, column].sum() + on_class[token, column]):.0f} %")
    for line, text in enumerate(NOTE):
        draw.text((MARGIN, size[1] - MARGIN - (len(NOTE) - line) * TEXT), text, FAINT, small)
    return picture
