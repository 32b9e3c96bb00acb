"""CMR, caption-guided memory refinement: what the captions and the clip at hand say about each identity's prototype.

    cmr = CaptionGuidedRefinement(width=512, heads=8, layers=2)
    refined = cmr(memory, bank.tokens, bank.mask, video)     # M' [B, Y, 512]

Training only; at test time nothing of it runs. Our construction in the line of TF-CLIP's SSP (AAAI 2024), which refines
the memory by self-attention over all identities and cross-attention to the clip; here the captions take the first part.

What it costs. The captions are keys and values as the frozen text encoder left them (`Attention.absorbed`), so no step
projects the tokens of all identities' captions; and the first layer's caption attention doesn't depend on the clip, so
it is computed once for a batch. M' and each activation behind it are [B, Y, 512]: 16 clips x 625 identities
are 20 MB in float32, and the backward pass keeps about 30 times that at two layers (benchmarks/cmr.py measures it).
"""

import torch
from torch import Tensor, nn

from ..baselines.necks import hold_bias
from .attention import Attention, Mlp


class RefinementLayer(nn.Module):
    """(a) attention to the identity's captions, (b) attention to the clip, (c) MLP; all pre-norm with a residual."""

    def __init__(self, width: int, heads: int, captions: bool = True) -> None:
        super().__init__()
        self.video_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.caption_norm = nn.LayerNorm(width) if captions else None
        self.caption_attention = Attention(width, width, heads) if captions else None
        self.video_attention = Attention(width, width, heads)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, captions: Tensor, mask: Tensor, video: Tensor) -> Tensor:
        """x [B or 1, Y, D], captions [Y, S, D], mask bool [Y, S], video [B, N, D] -> [B, Y, D].

        With x [1, Y, D], the caption attention is computed once and shared by the B clips.
        """
        if self.caption_attention is not None:
            by_identity = self.caption_norm(x).transpose(0, 1)  # the clips are the queries of an identity's captions
            x = x + self.caption_attention.absorbed(by_identity, captions, mask).transpose(0, 1)
        query = self.video_norm(x).expand(len(video), -1, -1)
        x = x + self.video_attention(query, video)
        return x + self.mlp(self.mlp_norm(x))


class CaptionGuidedRefinement(nn.Module):
    """M' = M + tanh(g) CMR(M), with g = 0 at the start: training begins at the plain CLIP-Memory.

    `captions` False leaves out (a) and its parameters: the ablation without captions.
    """

    def __init__(self, width: int, heads: int = 8, layers: int = 2, captions: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(RefinementLayer(width, heads, captions) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        hold_bias(self.norm)  # it would raise a clip's scores of all identities alike
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, memory: Tensor, captions: Tensor, mask: Tensor, video: Tensor) -> Tensor:
        """The memory as each clip sees it.

        Args:
            memory: [Y, D], a row an identity.
            captions: [Y, S, D], tokens of the identities' captions.
            mask: bool [Y, S], True where there is a token; a row without any skips (a).
            video: [B, N, D], the clips' projected tokens, averaged over time.

        Returns:
            [B, Y, D].
        """
        x = memory[None]
        for layer in self.layers:
            x = layer(x, captions, mask, video)
        return memory + self.gate.tanh() * self.norm(x)
