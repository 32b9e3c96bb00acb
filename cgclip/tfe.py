"""TFE, token-based feature extraction: K learnable tokens read a whole clip.

    tfe = TokenExtraction(width=768, tokens=8, layers=2, heads=12, frames=8)
    feature = tfe(patches)          # [B, T, N, 768] -> [B, 768]
    maps = tfe.maps(patches)        # [B, K, T, N]: where each token looks, for `reidkit explain`

Each token attends to all T x N patch and class tokens of the clip, so attention costs K T N instead of the (T N)^2 of
joint space-time attention; `benchmarks/tfe.py` compares the two, TF-CLIP's TMD and mean pooling.
"""

import torch
from torch import Tensor, nn

from ..baselines.necks import hold_bias
from .attention import Attention, Mlp


class ExtractionLayer(nn.Module):
    """Self-attention among the K tokens, cross-attention to the clip, MLP; all pre-norm with a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_norm, self.cross_norm, self.mlp_norm = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention = Attention(width, width, heads)
        self.cross_attention = Attention(width, width, heads)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [B, K, D], context [B, T*N, D] -> [B, K, D]."""
        own = self.self_norm(x)
        x = x + self.self_attention(own, own)
        query = self.cross_norm(x)
        # below so many tokens, projecting the T*N patches to keys and values would cost more than all the rest
        few = x.shape[1] * self.cross_attention.heads < context.shape[2]
        x = x + (self.cross_attention.absorbed if few else self.cross_attention)(query, context)
        return x + self.mlp(self.mlp_norm(x))

    def weights(self, x: Tensor, context: Tensor) -> Tensor:
        """The cross-attention that `forward` would use, mean over heads: [B, K, T*N]."""
        own = self.self_norm(x)
        x = x + self.self_attention(own, own)
        return self.cross_attention.weights(self.cross_norm(x), context).mean(1)


def stretched(rows: Tensor, count: int) -> Tensor:
    """[F, D] -> [count, D], interpolated linearly as `F.interpolate` does, whatever `count`; F itself gives the same.

    >>> stretched(torch.tensor([[0.0], [2.0]]), 4).squeeze().tolist()
    [0.0, 0.5, 1.5, 2.0]
    """
    places = torch.arange(len(rows), device=rows.device)
    at = (torch.arange(count, device=rows.device) + 0.5) * len(rows) / count - 0.5
    weights = (1 - (at.clamp(0, len(rows) - 1)[:, None] - places).abs()).clamp(min=0)
    return (weights[..., None] * rows).sum(1)  # no matrix product, which autocast would round


class TokenExtraction(nn.Module):
    """K tokens -> `layers` x ExtractionLayer over the clip -> mean of the tokens.

    The patches are normalised before they are keys and values. The temporal embedding is learned for `frames` frames
    and interpolated linearly where a clip has another length.
    """

    def __init__(self, width: int, tokens: int, layers: int, heads: int, frames: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(tokens, width))
        self.temporal = nn.Parameter(torch.empty(frames, width))
        # of the size of what the layers add to them: small tokens would soon be one and the same
        nn.init.normal_(self.tokens)
        nn.init.trunc_normal_(self.temporal, std=0.02)
        self.context_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(ExtractionLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        hold_bias(self.norm)  # it would move the features of all clips alike

    def _context(self, patches: Tensor) -> Tensor:
        temporal = stretched(self.temporal, patches.shape[1])
        return (self.context_norm(patches) + temporal[:, None]).flatten(1, 2)

    def forward(self, patches: Tensor) -> Tensor:
        """Tokens of all frames [B, T, N, D], class token first -> [B, D]."""
        context = self._context(patches)
        x = self.tokens.expand(patches.shape[0], -1, -1)
        for layer in self.layers:
            x = layer(x, context)
        return self.norm(x).mean(1)

    @torch.no_grad()
    def maps(self, patches: Tensor) -> Tensor:
        """Attention of the last layer, mean over heads: [B, T, N, D] -> [B, K, T, N]; sums to one over T and N."""
        context = self._context(patches)
        x = self.tokens.expand(patches.shape[0], -1, -1)
        for layer in self.layers[:-1]:
            x = layer(x, context)
        return self.layers[-1].weights(x, context).unflatten(-1, patches.shape[1:3])
