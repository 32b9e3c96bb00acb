"""Batched augmentation against plain loops that are given the same random numbers."""

import numpy as np
import pytest
import torch
from PIL import Image

from reidkit.datasets.clips import ClipSpec
from reidkit.datasets.transforms import (
    ERASE_AREA,
    ERASE_ASPECT,
    Draws,
    Erasing,
    apply,
    augment,
    draw,
    normalise,
    resize,
)

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SPEC = ClipSpec(mean=MEAN, std=STD)
NONE = Erasing(probability=0.0)


def random_clips(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def slow_apply(clips, draws, pad, erasing):
    B, T, C, H, W = clips.shape
    out = np.zeros(clips.shape, np.float64)
    pixels = clips.numpy()
    noise = iter(draws.noise.tolist() if draws.noise is not None else ())
    for b in range(B):
        for t in range(T):
            top, left, tall, wide = draws.patch[b, t].tolist()
            for y in range(H):
                for x in range(W):
                    if top <= y < top + tall and left <= x < left + wide:
                        if draws.colour is not None:
                            colour = draws.colour[b, t].tolist()
                            out[b, t, :, y, x] = [(colour[c] - MEAN[c]) / STD[c] for c in range(C)]
                        elif draws.noise is None:
                            out[b, t, :, y, x] = erasing.value
                        continue
                    column = W - 1 - x if draws.flip[b] else x
                    sy, sx = y + int(draws.top[b]) - pad, column + int(draws.left[b]) - pad
                    for c in range(C):
                        value = pixels[b, t, c, sy, sx] if 0 <= sy < H and 0 <= sx < W else 0
                        out[b, t, c, y, x] = (value / 255 - MEAN[c]) / STD[c]
            for c in range(C if draws.noise is not None else 0):
                for y in range(top, top + tall):
                    for x in range(left, left + wide):
                        out[b, t, c, y, x] = next(noise)
    return out


@pytest.mark.parametrize("pad", [0, 3])
@pytest.mark.parametrize(
    "erasing",
    [
        Erasing(),
        Erasing(value=(0.4, 0.5, 0.6), scope="clip"),
        Erasing(fill="colour"),
        Erasing(fill="noise", scope="place"),
    ],
)
def test_apply_equals_the_plain_loop(pad, erasing):
    clips = random_clips(5, 3, 3, 12, 7)
    draws = draw(5, 3, 12, 7, flip=0.5, pad=pad, erasing=erasing, generator=torch.Generator().manual_seed(4))
    assert 0 < draws.flip.sum() < 5
    assert 0 < (draws.patch[..., 2] > 0).sum() < 15
    got = apply(clips, draws, SPEC, pad=pad, erasing=erasing)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), slow_apply(clips, draws, pad, erasing), atol=1e-5)


@pytest.mark.parametrize("fill", ["value", "colour"])
def test_what_is_drawn_once_a_clip(fill):
    def patches(scope):
        erasing = Erasing(probability=0.5, scope=scope, fill=fill)
        return draw(300, 4, 64, 32, flip=0, pad=0, erasing=erasing, generator=torch.Generator().manual_seed(0))

    clip, place, frame = (patches(scope) for scope in ("clip", "place", "frame"))
    assert (clip.patch == clip.patch[:, :1]).all()
    erased = place.patch[..., 2] > 0
    assert (erased == erased[:, :1]).all()  # all frames or none
    assert 0.4 < erased.double().mean() < 0.6
    some = place.patch[erased[:, 0]]
    assert (some[:, :, 2] != some[:, :1, 2]).any()  # sizes of their own
    room = torch.tensor([64, 32]) - some[..., 2:] + 1
    share = (some[..., :2] + 0.5) / room  # of the room that the patch has: one for all frames, but for whole pixels
    assert ((share - share[:, :1]).abs() <= 1 / room + 1 / room[:, :1]).all()
    assert (frame.patch[..., 2] > 0).any(1).double().mean() > 0.85
    if fill == "colour":
        assert (place.colour == place.colour[:, :1]).all()
        assert (frame.colour != frame.colour[:, :1]).any()
        assert 0 <= frame.colour.min() < 0.01
        assert 0.99 < frame.colour.max() <= 1


def test_patches_of_another_area():
    erasing = Erasing(probability=1.0, area=(0.02, 0.2))
    draws = draw(200, 20, 256, 128, flip=0, pad=0, erasing=erasing, generator=torch.Generator().manual_seed(0))
    area = draws.patch[..., 2:].prod(-1) / (256 * 128)
    assert 0.019 < area.min() < 0.03
    assert 0.19 < area.max() < 0.21


def test_one_flip_and_one_crop_a_clip_but_a_patch_of_its_own_a_frame():
    frame = random_clips(8, 1, 3, 32, 16)
    clips = frame.expand(8, 4, 3, 32, 16).contiguous()
    generator = torch.Generator().manual_seed(0)
    same = augment(clips, SPEC, flip=0.5, pad=4, erasing=NONE, generator=generator)
    assert torch.equal(same, same[:, :1].expand_as(same))  # identical frames stay identical
    erased = augment(clips, SPEC, flip=0.0, pad=0, erasing=Erasing(probability=1.0), generator=generator)
    assert not torch.equal(erased[:, 0], erased[:, 1])


def test_same_generator_state_same_clips_and_the_input_stays():
    clips = random_clips(4, 2, 3, 16, 8)
    before = clips.clone()
    options = {"flip": 0.5, "pad": 2, "erasing": Erasing()}
    first, again, other = (
        augment(clips, SPEC, **options, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(clips, before)


def test_probabilities_zero_and_one():
    clips = random_clips(3, 2, 3, 8, 6)
    assert torch.equal(augment(clips, SPEC, flip=0, pad=0, erasing=NONE), normalise(clips, SPEC))
    assert torch.equal(augment(clips, SPEC, flip=1, pad=0, erasing=NONE), normalise(clips.flip(-1), SPEC))


def test_patches_have_the_sizes_of_the_paper_and_lie_inside():
    height, width = 256, 128
    draws = draw(
        200,
        50,
        height,
        width,
        flip=0,
        pad=0,
        erasing=Erasing(probability=0.5),
        generator=torch.Generator().manual_seed(0),
    )
    top, left, tall, wide = draws.patch.reshape(-1, 4)[(draws.patch[..., 2] > 0).flatten()].double().unbind(-1)
    assert 0.47 < len(top) / 10000 < 0.53
    area, aspect = tall * wide / (height * width), tall / wide
    assert area.min() > ERASE_AREA[0] - 0.003
    assert area.max() < ERASE_AREA[1] + 0.01
    assert aspect.min() > ERASE_ASPECT[0] - 0.02
    assert aspect.max() < ERASE_ASPECT[1] + 0.2  # sizes are whole pixels
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()
    # both ends of the range of places are reached
    assert (top == 0).any()
    assert (top + tall == height).any()


def test_crops_reach_every_offset():
    draws = draw(2000, 1, 8, 8, flip=0.5, pad=3, erasing=NONE, generator=torch.Generator().manual_seed(0))
    assert set(draws.top.tolist()) == set(draws.left.tolist()) == set(range(7))
    assert 0.45 < draws.flip.double().mean() < 0.55


def test_normalise_any_leading_shape():
    clips = random_clips(2, 3, 3, 4, 5)
    expected = (clips.double() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    for view in (clips, clips[0], clips[0, 0]):
        got = normalise(view, SPEC)
        assert got.shape == view.shape
        torch.testing.assert_close(got.double(), expected[tuple(0 for _ in range(5 - view.ndim))], atol=1e-5, rtol=0)


def test_resize_is_pillows():
    image = random_clips(3, 37, 21)
    got = resize(image[None, None], 16, 8)
    assert got.shape == (1, 1, 3, 16, 8)
    expected = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((8, 16), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(got[0, 0].permute(1, 2, 0).numpy().astype(int), np.asarray(expected), atol=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_generator_on_the_cpu_gives_the_same_clips_on_the_gpu():
    clips = random_clips(4, 2, 3, 16, 8)
    options = {"flip": 0.5, "pad": 2, "erasing": Erasing()}
    here = augment(clips, SPEC, **options, generator=torch.Generator().manual_seed(1))
    there = augment(clips.cuda(), SPEC, **options, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(there.cpu(), here)


def test_draws_with_a_patch_at_the_edge():
    clips = torch.full((1, 1, 3, 4, 4), 255, dtype=torch.uint8)
    zero = torch.zeros(1, dtype=torch.long)
    draws = Draws(zero.bool(), zero, zero, torch.tensor([[[2, 1, 2, 3]]]))
    got = apply(clips, draws, ClipSpec(mean=(0.0,) * 3, std=(1.0,) * 3), pad=0, erasing=Erasing())[0, 0, 0]
    assert got.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]]
