"""Cross-attention in the two forms that CG-CLIP needs, with one set of weights.

    attention = Attention(width=512, context_width=512, heads=8)
    attention(query, context)                      # projects the context: few contexts, many queries
    attention.absorbed(query, context, mask)       # folds the projections into the query: many contexts, few queries
    attention.weights(query, context)              # what `reidkit explain` draws

`forward` and `absorbed` compute the same and differ in what they cost.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention of `query` [B, Q, width] over `context` [B, S, context_width].

    Keys carry no bias: it adds the same to all scores of a query, which the softmax takes out again.
    """

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads don't divide a width of {width}")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width, bias=False)
        self.value = nn.Linear(context_width, width)
        self.out = nn.Linear(width, width)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)  # [..., S, D] -> [..., H, S, D/H]

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """[B, Q, width], [B, S, context_width] -> [B, Q, width]."""
        q, k, v = self._split(self.query(query)), self._split(self.key(context)), self._split(self.value(context))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(-3, -2).flatten(-2))

    def absorbed(self, query: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """The same attention without projecting the context, which serves as keys and values of all heads as it is.

        A score is (Wq q) . (Wk x) = (Wk^T Wq q) . x, and the values' projection comes after the weighted mean, since
        the weights sum to one. Multiply-adds a context, beside the query's and output's own: 2 Q context_width (width +
        heads S) instead of 2 S context_width width + 2 Q S width. So it pays where queries are few and contexts are
        many: the captions of all training identities, and the patches that a few tokens look at.

        Args:
            query: [Y, Q, width].
            context: [Y, S, context_width]; S may be 0.
            mask: bool [Y, S], True where there is a token; None: everywhere. A row without any gives zeros.

        Returns:
            [Y, Q, width].
        """
        if context.shape[1] == 0:
            return torch.zeros_like(query)
        rows, queries, width = query.shape
        q = self.query(query).unflatten(-1, (self.heads, -1))  # [Y, Q, H, d]
        key, value = (layer.weight.unflatten(0, (self.heads, -1)) for layer in (self.key, self.value))  # [H, d, C]
        q = torch.einsum("yqhd,hdc->yqhc", q, key.to(q.dtype)).flatten(1, 2)  # [Y, Q*H, C]
        some = allowed = None
        if mask is not None:
            some = mask.any(-1)[:, None, None]
            # a row with nothing allowed would be a softmax over nothing: NaN
            allowed = (mask[:, None] | ~some)[:, None]
        context = context.to(q.dtype)[:, None]
        scale = (width // self.heads) ** -0.5
        mixed = F.scaled_dot_product_attention(q[:, None], context, context, allowed, scale=scale)
        mixed = mixed.view(rows, queries, self.heads, -1)
        mixed = torch.einsum("yqhc,hdc->yqhd", mixed, value.to(mixed.dtype)).flatten(-2) + self.value.bias
        return self.out(mixed) if some is None else self.out(mixed) * some

    def weights(self, query: Tensor, context: Tensor) -> Tensor:
        """Softmax weights of each head, [B, H, Q, S]; each row sums to one."""
        q, k = self._split(self.query(query)), self._split(self.key(context))
        return ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1)


class Mlp(nn.Sequential):
    """Two linear layers with a GELU between them, `ratio` times wider inside."""

    def __init__(self, width: int, ratio: int = 4) -> None:
        super().__init__(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))
