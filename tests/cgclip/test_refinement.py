"""CMR against a plain loop over clips and identities; the gate; identities without a caption."""

import torch
from torch import Tensor

from reidkit.cgclip.refinement import CaptionGuidedRefinement

WIDTH, IDENTITIES, TOKENS, CLIPS, PATCHES = 16, 5, 7, 3, 4


def loop_refinement(cmr: CaptionGuidedRefinement, memory: Tensor, captions: Tensor, mask: Tensor, video: Tensor):
    """One clip and one identity at a time, captions cut to their length and projected, as the docstring says it."""
    refined = torch.zeros(len(video), *memory.shape)
    for b in range(len(video)):
        for y in range(len(memory)):
            x = memory[y][None, None]
            for layer in cmr.layers:
                own = captions[y][mask[y]][None]
                if own.shape[1]:
                    x = x + layer.caption_attention(layer.caption_norm(x), own)
                x = x + layer.video_attention(layer.video_norm(x), video[b][None])
                x = x + layer.mlp(layer.mlp_norm(x))
            refined[b, y] = memory[y] + torch.tanh(cmr.gate) * cmr.norm(x)[0, 0]
    return refined


def make(gate: float) -> tuple[CaptionGuidedRefinement, tuple[Tensor, Tensor, Tensor, Tensor]]:
    torch.manual_seed(0)
    cmr = CaptionGuidedRefinement(WIDTH, heads=4, layers=2)
    with torch.no_grad():
        cmr.gate.fill_(gate)
        for parameter in cmr.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    mask = torch.arange(TOKENS) < torch.tensor([7, 3, 0, 1, 5])[:, None]  # full, part, none, one, part
    inputs = (
        torch.randn(IDENTITIES, WIDTH),
        torch.randn(IDENTITIES, TOKENS, WIDTH),
        mask,
        torch.randn(CLIPS, PATCHES, WIDTH),
    )
    return cmr, inputs


@torch.no_grad()
def test_equals_loops() -> None:
    cmr, inputs = make(gate=0.7)
    torch.testing.assert_close(cmr(*inputs), loop_refinement(cmr, *inputs), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_starts_at_the_memory_itself() -> None:
    cmr, inputs = make(gate=0.0)
    assert torch.equal(cmr(*inputs), inputs[0].expand(CLIPS, -1, -1))
    assert CaptionGuidedRefinement(WIDTH, 4, 1).gate == 0


@torch.no_grad()
def test_padding_is_not_read() -> None:
    cmr, (memory, captions, mask, video) = make(gate=0.7)
    other = torch.where(mask[..., None], captions, 100.0)
    torch.testing.assert_close(cmr(memory, captions, mask, video), cmr(memory, other, mask, video))


@torch.no_grad()
def test_captions_shape_their_own_identity_only() -> None:
    cmr, (memory, captions, mask, video) = make(gate=0.7)
    changed = captions.clone()
    changed[1] += 1
    difference = (cmr(memory, captions, mask, video) - cmr(memory, changed, mask, video)).abs().amax((0, 2))
    assert difference[1] > 1e-3
    assert (difference[[0, 2, 3, 4]] == 0).all()


@torch.no_grad()
def test_each_clip_has_its_own_refinement() -> None:
    cmr, (memory, captions, mask, video) = make(gate=0.7)
    together = cmr(memory, captions, mask, video)
    assert (together[0] - together[1]).abs().max() > 1e-3
    torch.testing.assert_close(cmr(memory, captions, mask, video[1:2])[0], together[1], rtol=1e-4, atol=1e-5)


def test_a_closed_gate_has_a_gradient() -> None:
    closed, inputs = make(gate=0.0)
    closed(*inputs).pow(2).sum().backward()
    assert closed.gate.grad.abs() > 1e-3  # or it would never open
