"""TFE against a plain loop over tokens and places."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reidkit.cgclip.tfe import TokenExtraction, stretched

from .test_attention import loop_attention

BATCH, FRAMES, PATCHES, WIDTH, TOKENS = 2, 3, 5, 12, 4


def make(frames: int = FRAMES, tokens: int = TOKENS) -> tuple[TokenExtraction, Tensor]:
    torch.manual_seed(0)
    tfe = TokenExtraction(WIDTH, tokens=tokens, layers=2, heads=3, frames=frames)
    with torch.no_grad():
        for parameter in tfe.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return tfe, torch.randn(BATCH, FRAMES, PATCHES, WIDTH)


@pytest.mark.parametrize("tokens", [1, 3, 4, 7])  # below 12 / 3 heads the projections are absorbed
@torch.no_grad()
def test_equals_loops(tokens: int) -> None:
    tfe, patches = make(tokens=tokens)
    for clip, result in zip(patches, tfe(patches), strict=True):
        context = torch.stack(
            [tfe.context_norm(clip[t, n]) + tfe.temporal[t] for t in range(FRAMES) for n in range(PATCHES)]
        )
        x = tfe.tokens
        for layer in tfe.layers:
            x = x + loop_attention(layer.self_attention, layer.self_norm(x), layer.self_norm(x))
            x = x + loop_attention(layer.cross_attention, layer.cross_norm(x), context)
            x = x + torch.stack([layer.mlp(layer.mlp_norm(token)) for token in x])
        expected = sum(tfe.norm(token) for token in x) / tokens
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_maps_are_distributions_over_the_clip() -> None:
    tfe, patches = make()
    maps = tfe.maps(patches)
    assert maps.shape == (BATCH, TOKENS, FRAMES, PATCHES)
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(BATCH, TOKENS))
    assert (maps[0, 0] - maps[0, 1]).abs().max() > 1e-4  # tokens differ


@torch.no_grad()
def test_maps_point_at_what_the_token_asks_for() -> None:
    tfe, patches = make()
    cross = tfe.layers[-1].cross_attention
    for parameter in (cross.query.weight, cross.query.bias, cross.key.weight, tfe.temporal, tfe.context_norm.bias):
        parameter.zero_()
    tfe.context_norm.weight.fill_(1)
    cross.key.weight[0, 0] = 1
    cross.query.bias[0] = 100  # the first of three heads asks for channel 0, the others for nothing
    patches[0, 1, 2] = torch.eye(WIDTH)[0]
    maps = tfe.maps(patches)[0]
    even = 1 / (FRAMES * PATCHES)
    torch.testing.assert_close(maps[:, 1, 2], torch.full((TOKENS,), (1 + 2 * even) / 3))


@torch.no_grad()
def test_time_matters_through_the_temporal_embedding_only() -> None:
    tfe, patches = make()
    assert (tfe(patches) - tfe(patches.flip(1))).abs().max() > 1e-4
    tfe.temporal.zero_()
    torch.testing.assert_close(tfe(patches), tfe(patches.flip(1)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_another_clip_length_interpolates_the_temporal_embedding() -> None:
    tfe, patches = make(frames=2)
    tfe.temporal.copy_(torch.tensor([[0.0], [1.0]]).expand(2, WIDTH))
    assert tfe(patches).shape == (BATCH, WIDTH)
    one = TokenExtraction(WIDTH, TOKENS, 2, 3, frames=1)
    assert one(patches).shape == (BATCH, WIDTH)


def test_gradients_reach_the_patches() -> None:
    tfe, patches = make()
    patches.requires_grad_()
    tfe(patches).pow(2).sum().backward()
    assert (patches.grad.abs().amax(-1) > 1e-6).all()


@pytest.mark.parametrize("count", [1, 2, 4, 7, 16])
def test_times_are_stretched_as_torch_interpolates(count):
    rows = torch.randn(4, 6)
    wanted = F.interpolate(rows.T[None], size=count, mode="linear", align_corners=False)[0].T
    assert stretched(rows, count) == pytest.approx(wanted, abs=1e-6)
    assert torch.equal(stretched(rows, 4), rows)
