"""Batched augmentation against plain loops that are given the same random numbers."""

import numpy as np
import pytest
import torch
from PIL import Image

from reidkit.datasets.clips import ClipSpec
from reidkit.datasets.transforms import ERASE_AREA, ERASE_ASPECT, Draws, apply, augment, draw, normalise, resize

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SPEC = ClipSpec(mean=MEAN, std=STD)


def random_clips(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def slow_apply(clips, draws, pad):
    B, T, C, H, W = clips.shape
    out = np.zeros(clips.shape, np.float64)
    pixels = clips.numpy()
    for b in range(B):
        for t in range(T):
            top, left, tall, wide = draws.patch[b, t].tolist()
            for y in range(H):
                for x in range(W):
                    if top <= y < top + tall and left <= x < left + wide:
                        continue  # erased: the mean, 0 after normalisation
                    column = W - 1 - x if draws.flip[b] else x
                    sy, sx = y + int(draws.top[b]) - pad, column + int(draws.left[b]) - pad
                    for c in range(C):
                        value = pixels[b, t, c, sy, sx] if 0 <= sy < H and 0 <= sx < W else 0
                        out[b, t, c, y, x] = (value / 255 - MEAN[c]) / STD[c]
    return out


@pytest.mark.parametrize("pad", [0, 3])
def test_apply_equals_the_plain_loop(pad):
    clips = random_clips(5, 3, 3, 12, 7)
    draws = draw(5, 3, 12, 7, flip=0.5, pad=pad, erase=0.7, generator=torch.Generator().manual_seed(4))
    assert 0 < draws.flip.sum() < 5
    assert 0 < (draws.patch[..., 2] > 0).sum() < 15
    got = apply(clips, draws, SPEC, pad=pad)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), slow_apply(clips, draws, pad), atol=1e-5)


def test_one_flip_and_one_crop_a_clip_but_a_patch_of_its_own_a_frame():
    frame = random_clips(8, 1, 3, 32, 16)
    clips = frame.expand(8, 4, 3, 32, 16).contiguous()
    generator = torch.Generator().manual_seed(0)
    same = augment(clips, SPEC, flip=0.5, pad=4, erase=0.0, generator=generator)
    assert torch.equal(same, same[:, :1].expand_as(same))  # identical frames stay identical
    erased = augment(clips, SPEC, flip=0.0, pad=0, erase=1.0, generator=generator)
    assert not torch.equal(erased[:, 0], erased[:, 1])


def test_same_generator_state_same_clips_and_the_input_stays():
    clips = random_clips(4, 2, 3, 16, 8)
    before = clips.clone()
    options = {"flip": 0.5, "pad": 2, "erase": 0.5}
    first, again, other = (
        augment(clips, SPEC, **options, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(clips, before)


def test_probabilities_zero_and_one():
    clips = random_clips(3, 2, 3, 8, 6)
    assert torch.equal(augment(clips, SPEC, flip=0, pad=0, erase=0), normalise(clips, SPEC))
    assert torch.equal(augment(clips, SPEC, flip=1, pad=0, erase=0), normalise(clips.flip(-1), SPEC))


def test_patches_have_the_sizes_of_the_paper_and_lie_inside():
    height, width = 256, 128
    draws = draw(200, 50, height, width, flip=0, pad=0, erase=0.5, generator=torch.Generator().manual_seed(0))
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
    draws = draw(2000, 1, 8, 8, flip=0.5, pad=3, erase=0, generator=torch.Generator().manual_seed(0))
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
    options = {"flip": 0.5, "pad": 2, "erase": 0.5}
    here = augment(clips, SPEC, **options, generator=torch.Generator().manual_seed(1))
    there = augment(clips.cuda(), SPEC, **options, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(there.cpu(), here)


def test_draws_with_a_patch_at_the_edge():
    clips = torch.full((1, 1, 3, 4, 4), 255, dtype=torch.uint8)
    zero = torch.zeros(1, dtype=torch.long)
    draws = Draws(zero.bool(), zero, zero, torch.tensor([[[2, 1, 2, 3]]]))
    got = apply(clips, draws, ClipSpec(mean=(0.0,) * 3, std=(1.0,) * 3), pad=0)[0, 0, 0]
    assert got.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]]
