"""Clip transforms on the device, batched, from the `uint8` that the loader gives to the floats that a model takes.

    clips = augment(clips.to(device), spec, flip=0.5, pad=10, erasing=Erasing(), generator=generator)   # training
    clips = normalise(clips.to(device), spec)                                                           # test

Random numbers come from the generator given, so the same generator state gives the same clips. A generator on the CPU
gives the same augmentation on every device, and saves the GPU a synchronisation.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .clips import ClipSpec

# Random erasing as published (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, section 3.2 and table 5).
ERASE_AREA = (0.02, 0.4)  # of the frame
ERASE_ASPECT = (0.3, 1 / 0.3)  # height / width
ERASE_ATTEMPTS = 16  # the paper draws until a patch fits, which at 256x128 is the first one in 19 times of 20


ErasedScope = Literal["frame", "clip", "place"]
ErasedFill = Literal["value", "colour", "noise"]


@dataclass(frozen=True, kw_only=True)
class Erasing:
    """Which random erasing; the published one unless said otherwise.

    Attributes:
        probability: of a patch.
        scope: "frame": drawn for each frame, a patch of its own. "clip": one patch in all frames. "place": drawn once a
            clip, and where the patch lies (as a share of the room it has) too, but its size for each frame.
        area: least and most of the frame.
        fill: "value"; "colour": one uniform random colour a patch; "noise": standard normal numbers for each pixel.
        value: of the channels R, G, B, *after* normalisation: 0 is the mean (RE-M of the paper).
    """

    probability: float = 0.5
    scope: ErasedScope = "frame"
    area: tuple[float, float] = ERASE_AREA
    fill: ErasedFill = "value"
    value: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Draws:
    """The random numbers of one `augment` call, in pixels.

    Attributes:
        flip: [B] bool.
        top, left: [B] int64, where the crop starts in the padded clip.
        patch: [B, T, 4] int64, the erased top, left, height, width of each frame; height 0 where nothing is erased.
        colour: [B, T, 3] float32, what each patch is filled with where that is a colour: 0 is black, 1 is white.
        noise: [3 x erased pixels] float32, what is filled in where that is noise, in the order of the clips' values.
    """

    flip: Tensor
    top: Tensor
    left: Tensor
    patch: Tensor
    colour: Tensor | None = None
    noise: Tensor | None = None


def normalise(clips: Tensor, spec: ClipSpec) -> Tensor:
    """(clips / 255 - mean) / std, channel by channel: uint8 [..., 3, H, W] to float32 of the same shape."""
    mean, std = torch.tensor(spec.mean, device=clips.device), torch.tensor(spec.std, device=clips.device)
    scale = std.mul(255).reciprocal().view(3, 1, 1)
    shift = mean.div(std).view(3, 1, 1)
    return clips.float().mul_(scale).sub_(shift)


def augment(
    clips: Tensor,
    spec: ClipSpec,
    *,
    flip: float,
    pad: int,
    erasing: Erasing,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Flips, shifts, normalises and erases: uint8 [B, T, 3, H, W] to float32 [B, T, 3, H, W].

    Args:
        spec: mean and deviation that the pixels are normalised by.
        flip: probability of a left-right flip, drawn once a clip: all its frames turn or none.
        pad: pixels of black added on each side before a random crop back to H x W, one place a clip.
        erasing: which random erasing, after all else.
        generator: source of the random numbers, on any device; PyTorch's global one when None.
    """
    batch, frames, _, height, width = clips.shape
    draws = draw(batch, frames, height, width, flip=flip, pad=pad, erasing=erasing, generator=generator)
    return apply(clips, draws, spec, pad=pad, erasing=erasing)


def draw(
    batch: int,
    frames: int,
    height: int,
    width: int,
    *,
    flip: float,
    pad: int,
    erasing: Erasing,
    generator: torch.Generator | None = None,
) -> Draws:
    """The random numbers for [B, T, 3, H, W]. How many are drawn depends on the shape and the kind of erasing alone,
    but for noise, which comes last."""
    device = generator.device if generator is not None else torch.device("cpu")

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device, dtype=torch.float64)

    def below(u: Tensor, limit: Tensor | int) -> Tensor:  # uniform over 0 .. limit - 1
        return (u * limit).long()

    turned = uniform(batch) < flip
    top, left = below(uniform(batch), 2 * pad + 1), below(uniform(batch), 2 * pad + 1)

    places, sizes = (frames if erasing.scope == "frame" else 1), (1 if erasing.scope == "clip" else frames)
    erased = uniform(batch, places) < erasing.probability
    least, most = erasing.area
    area = least + (most - least) * uniform(batch, sizes, ERASE_ATTEMPTS)
    aspect = ERASE_ASPECT[0] + (ERASE_ASPECT[1] - ERASE_ASPECT[0]) * uniform(batch, sizes, ERASE_ATTEMPTS)
    place = uniform(batch, places, 2)
    tall = (area * height * width * aspect).sqrt().round().long()
    wide = (area * height * width / aspect).sqrt().round().long()
    fits = (tall < height) & (wide < width) & (tall > 0) & (wide > 0)
    first = fits.to(torch.uint8).argmax(-1, keepdim=True)  # the first attempt that fits
    tall, wide = tall.gather(-1, first)[..., 0], wide.gather(-1, first)[..., 0]
    corner = below(place[..., 0], height - tall + 1), below(place[..., 1], width - wide + 1)
    patch = torch.stack(torch.broadcast_tensors(*corner, tall, wide), dim=-1) * (erased & fits.any(-1))[..., None]
    patch, colour, noise = patch.expand(batch, frames, 4), None, None
    if erasing.fill == "colour":
        colour = uniform(batch, places, 3).float().expand(batch, frames, 3)
    elif erasing.fill == "noise":
        pixels = int(patch[..., 2:].prod(-1).sum())
        noise = torch.randn(3 * pixels, generator=generator, device=device)
    return Draws(turned, top, left, patch, colour, noise)


def apply(clips: Tensor, draws: Draws, spec: ClipSpec, *, pad: int, erasing: Erasing) -> Tensor:
    """`augment` with the random numbers given: uint8 [B, T, 3, H, W] to float32 [B, T, 3, H, W]."""
    height, width = clips.shape[-2:]
    device = clips.device
    padded = F.pad(clips, (pad, pad, pad, pad)) if pad else clips
    out = torch.empty_like(clips)
    # A loop over clips: slices with Python numbers are views, where a batched gather would copy an index per pixel.
    rows = zip(draws.flip.tolist(), draws.top.tolist(), draws.left.tolist(), strict=True)
    for index, (turned, top, left) in enumerate(rows):
        crop = padded[index, :, :, top : top + height, left : left + width]
        out[index] = crop.flip(-1) if turned else crop

    values = normalise(out, spec)
    if bool((draws.patch[..., 2] > 0).any()):
        top, left, tall, wide = draws.patch.to(device, non_blocking=True)[..., None].unbind(-2)  # each [B, T, 1]
        y, x = torch.arange(height, device=device), torch.arange(width, device=device)
        inside_y, inside_x = (y >= top) & (y < top + tall), (x >= left) & (x < left + wide)
        inside = (inside_y[..., :, None] & inside_x[..., None, :])[:, :, None]  # [B, T, 1, H, W]
        if draws.noise is not None:
            values.masked_scatter_(inside, draws.noise.to(device))
        elif draws.colour is not None:
            mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
            colour = ((draws.colour.cpu() - mean) / std).to(device)
            values = torch.where(inside, colour[..., None, None], values)
        elif any(erasing.value):
            value = torch.tensor(erasing.value, device=device)
            values = torch.where(inside, value.view(3, 1, 1), values)
        else:
            values.masked_fill_(inside, 0.0)
    return values


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bilinear resize, as Pillow's: uint8 or float [..., C, h, w] to [..., C, height, width]."""
    if images.shape[-2:] == (height, width):
        return images
    flat = images.reshape(-1, *images.shape[-3:])
    # PyTorch's uint8 kernel is for the CPU only.
    work = flat if flat.is_floating_point() or not flat.is_cuda else flat.float()
    out = F.interpolate(work, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    if out.dtype != images.dtype:
        out = out.round().clamp(0, 255).to(images.dtype)
    return out.reshape(*images.shape[:-2], height, width)
