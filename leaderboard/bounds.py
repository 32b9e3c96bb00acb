"""How far a float32 product may be from an exact distance, whatever the order of its additions: a proof.

Exact sums of all pairs cost several times a float32 product, and ranks need few of them: how an entry's distance d
compares with a true match's distance L. So a tile is a float32 product t of the float32 roundings x', y' of the rows
x, y on the grid of `distances` (with the factor -1 or -2 in x'), and d is computed exactly only where t leaves the
comparison open.

Let u = 2**-24, n the dimensions, N = |x||y| with that factor, and B' = float32(B), B = 0 under cosine. Then

1. |x'.y' - x.y| <= (2u + u**2) N, as every component is rounded once (Cauchy-Schwarz for the sums).
2. |t - x'.y'| <= g N (1 + u)**2 + n 2**-125 with g = mu / (1 - mu): each of the n products passes through at most m
   roundings, its own and those of the additions above it, *in whatever order they are added, fused or not* (Higham,
   Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). m is n where the product is taken in one; in
   parts of 1,024 dimensions (`spans`) that are added one by one, it is 1,024 and the number of further parts, which
   halves the bound of 2,048 dimensions for one more addition a pair. Sum |x'_i y'_i| <= (1 + u)**2 N; and where
   something underflows, less than 2**-126 is lost at each of 2n - 1 operations (and at the rounding of B).
3. key = float32(t + B'): B' is off by uB, and the sum, at most 2 (N + B), by 2u (N + B).
4. key + s and key - s in float32, with s the slack: off by at most u (2 (N + B) + s).
5. The float64 operations of the definition are off by less than 2**-51 (A + B) < uB + 2**-51 A.

So with s = (g (1 + u)**2 + 2u + u**2 + 4u) N + 6uB + n 2**-125, made larger by 2**-21 of itself for its own roundings
and the last term of 4, d - A lies between key - s and key + s. d < L holds for certain where key + s < `below(L)`, and
d > L where key - s > `above(L)`: these subtract A and give way by 2**-22 of the limit, more than a float32 step, for
the rounding of d to float32 and of the bound itself, and by 2**-48 A for what is left of 5.
All this needs a product whose every operation rounds to float32: no TF32, no bfloat16, no fast algorithm of Strassen's
kind (`count_torch` sees to it on a GPU). It holds below 2**29 dimensions.
"""

from dataclasses import dataclass

import numpy as np

U = 2.0**-24
SPAN = 1024


@dataclass(frozen=True)
class Side:
    """Rows of one side of a product, on the grid.

    Attributes:
        which: int [n], numbers of queries or columns of entries.
        ints: int32 [n, D]; D is 0 where distances are given.
        values: float32 [n, D], the factors of the product.
        offset: float64 [n], A of a query or B of an entry.
        weight: float64 [n], such that a distance is (A + B) - (X.Y) weight weight.
        size: float32 [n]; of a query and an entry their product is the first term of the slack.
        extra: float32 [n], the rest of the slack (of an entry).
    """

    which: np.ndarray
    ints: np.ndarray
    values: np.ndarray
    offset: np.ndarray
    weight: np.ndarray
    size: np.ndarray
    extra: np.ndarray

    def __len__(self) -> int:
        return len(self.offset)

    def rows(self, part: slice) -> "Side":
        """Some of the rows, as views."""
        return Side(*(getattr(self, name)[part] for name in self.__dataclass_fields__))


def below(limit, offset):
    """What key + slack must stay under for a distance to be less than `limit` (float64, arrays or numbers)."""
    bound = limit - abs(limit) * 2.0**-22 - 2.0**-148 - offset * (1 + 2.0**-48)
    return bound - abs(bound) * 2.0**-22


def above(limit, offset):
    """What key - slack must exceed for a distance to be greater than `limit`."""
    bound = limit + abs(limit) * 2.0**-22 + 2.0**-148 - offset * (1 - 2.0**-48)
    return bound + abs(bound) * 2.0**-22


def spans(width: int) -> list[slice]:
    """Parts of the dimensions whose products are taken apart and then added.

    >>> spans(1500)
    [slice(0, 1024, None), slice(1024, 1500, None)]
    """
    return [slice(k, min(k + SPAN, width)) for k in range(0, width, SPAN)]


def spread(width: int) -> float:
    """The slack of a product of two rows of `width` dimensions and of length one.

    >>> f"{spread(2048):.6f}"
    '0.000061'
    """
    roundings = min(width, SPAN) + len(spans(width)) - 1
    return roundings * U / (1 - roundings * U) * (1 + U) ** 2 + 6 * U + U * U


def upward(values: np.ndarray) -> np.ndarray:
    """float32, larger by 2**-21 than float64 `values`."""
    return (values * (1 + 2.0**-21) + 2.0**-126).astype(np.float32)


def exact_part(side: Side) -> tuple[np.ndarray, ...]:
    """What the exact distances need of a side, as `count_loops` takes it."""
    return side.ints, side.offset, side.weight, side.size
