"""AP3D with non-local blocks (Gu et al., ECCV 2020, "AP3D + NL").

    reidkit run ap3d_nl --bench mars

Everything but the recipe is in `ap3d.py`.
"""

import dataclasses

from . import ap3d
from .ap3d import build, convert

__all__ = ["INFO", "RECIPES", "VARIANTS", "build", "convert"]

RECIPES = {
    "full": dataclasses.replace(ap3d.RECIPES["full"], non_local=True),
    # two bottlenecks a stage, because the blocks stand behind every second
    "tiny": dataclasses.replace(ap3d.RECIPES["tiny"], non_local=True, layers=(1, 2, 2, 1)),
}

VARIANTS = ap3d.VARIANTS

INFO = dataclasses.replace(
    ap3d.INFO,
    title="AP3D + NL",
    parity="authors' code with made-up weights: feature of 4 and 8 frames within 1e-3",
)
