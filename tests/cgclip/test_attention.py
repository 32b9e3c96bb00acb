"""Attention against plain loops, and its absorbed form against the projected one."""

import math

import pytest
import torch
from torch import Tensor

from reidkit.cgclip.attention import Attention


def loop_attention(module: Attention, query: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
    """[Q, D], [S, C] -> [Q, D], one query, head and key at a time."""
    size = query.shape[-1] // module.heads
    rows = []
    for q in module.query(query):
        parts = []
        for h in range(module.heads):
            part = slice(h * size, (h + 1) * size)
            keys, values = module.key(context)[:, part], module.value(context)[:, part]
            exps = [math.exp(float(q[part] @ k) / math.sqrt(size)) for k in keys]
            if mask is not None:
                exps = [e if m else 0.0 for e, m in zip(exps, mask.tolist(), strict=True)]
            parts.append(sum(e / sum(exps) * v for e, v in zip(exps, values, strict=True)))
        rows.append(torch.cat(parts))
    return module.out(torch.stack(rows))


def make(width: int = 8, context: int = 6, heads: int = 2) -> Attention:
    torch.manual_seed(0)
    module = Attention(width, context, heads)
    with torch.no_grad():
        for layer in (module.query, module.value, module.out):
            layer.bias.normal_()
    return module


@torch.no_grad()
def test_attention_equals_loops() -> None:
    module, query, context = make(), torch.randn(3, 4, 8), torch.randn(3, 5, 6)
    expected = torch.stack([loop_attention(module, q, c) for q, c in zip(query, context, strict=True)])
    torch.testing.assert_close(module(query, context), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_absorbed_equals_loops_under_the_mask() -> None:
    module, query, context = make(), torch.randn(3, 4, 8), torch.randn(3, 5, 6)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    result = module.absorbed(query, context, mask)
    for row in (0, 1):
        expected = loop_attention(module, query[row], context[row], mask[row])
        torch.testing.assert_close(result[row], expected, rtol=1e-4, atol=1e-5)
    assert (result[2] == 0).all()  # nothing to look at: nothing, and no NaN


def test_absorbed_gradients_are_those_of_the_projected_form() -> None:
    module, query, context = make(), torch.randn(3, 4, 8), torch.randn(3, 5, 6)
    gradients = []
    for form in (lambda: module(query, context), lambda: module.absorbed(query, context, torch.ones(3, 5).bool())):
        module.zero_grad()
        form().pow(2).sum().backward()
        gradients.append([p.grad.clone() for p in module.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_masked_rows_have_no_nan_gradient() -> None:
    module = make()
    module.absorbed(torch.randn(2, 1, 8), torch.randn(2, 5, 6), torch.zeros(2, 5).bool()).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_absorbed_without_any_token_is_zero() -> None:
    result = make().absorbed(torch.randn(2, 3, 8), torch.zeros(2, 0, 6), torch.zeros(2, 0).bool())
    assert result.shape == (2, 3, 8)
    assert (result == 0).all()


@torch.no_grad()
def test_weights_are_those_of_forward() -> None:
    module, query, context = make(heads=1), torch.randn(2, 3, 8), torch.randn(2, 5, 6)
    weights = module.weights(query, context)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 3))
    expected = module.out(weights[:, 0] @ module.value(context))
    torch.testing.assert_close(module(query, context), expected, rtol=1e-4, atol=1e-5)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="3 heads"):
        Attention(8, 8, 3)
