"""Reliability diagrams: of those said to be so sure, how many are right (DeGroot and Fienberg 1983).

    curve = reliability("tracklets", said, right)
    curve.error, curve.surest                      # expected calibration error; (count, share right) of 0.9 and more
    diagram([curve, …])                            # where an SVG puts them: `parts.html.j2` draws it

The curve of figures that can be trusted lies on the diagonal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .curves import COLOURS, DASHES

BINS = 10
SURE = 0.9
SIZE, LEFT, RIGHT, TOP, BOTTOM = 340, 38, 12, 26, 36
SMALLEST, LARGEST = 2.0, 9.0  # radius of a point


@dataclass(frozen=True)
class Reliability:
    """How often one kind of figure is right.

    Attributes:
        points: (mean said, share right, number) of each tenth that holds any.
        count: number of figures. said, right: their means.
        error: expected calibration error (Naeini et al., AAAI 2015): mean distance of said and right over the tenths,
            by number.
        surest: number and share right of those said to be 0.9 or more; the share is None where there is none.
    """

    label: str
    points: tuple[tuple[float, float, int], ...]
    count: int
    said: float
    right: float
    error: float
    surest: tuple[int, float | None]


def reliability(label: str, said: np.ndarray, right: np.ndarray) -> Reliability:
    """said: [n] 0 to 1. right: [n] bool. n is 1 or more."""
    from sklearn.calibration import calibration_curve

    said, right = np.asarray(said, np.float64), np.asarray(right, bool)
    shares, means = calibration_curve(right, said, n_bins=BINS)
    tenth = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], said)
    counts = np.bincount(tenth, minlength=BINS)
    counts = counts[counts > 0]
    sure = said >= SURE
    return Reliability(
        label,
        tuple((float(m), float(s), int(n)) for m, s, n in zip(means, shares, counts, strict=True)),
        len(said),
        float(said.mean()),
        float(right.mean()),
        float(np.abs(means - shares) @ counts / len(said)),
        (int(sure.sum()), float(right[sure].mean()) if sure.any() else None),
    )


@dataclass(frozen=True)
class Line:
    """One curve: `points` an SVG polyline, `dots` (x, y, radius, words)."""

    curve: Reliability
    points: str
    dots: tuple[tuple[float, float, float, str], ...]
    colour: str
    dash: str


@dataclass(frozen=True)
class Diagram:
    """Curves, and the ticks of both axes as (x, y, text)."""

    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, float, str], ...]
    width: int = SIZE + LEFT + RIGHT
    height: int = SIZE + TOP + BOTTOM
    left: int = LEFT
    right: int = SIZE + LEFT
    top: int = TOP
    bottom: int = SIZE + TOP


def diagram(curves: Sequence[Reliability]) -> Diagram:
    """A point's area grows with the number of figures in it."""

    def x(value: float) -> float:
        return round(LEFT + value * SIZE, 1)

    def y(value: float) -> float:
        return round(TOP + (1 - value) * SIZE, 1)

    lines = []
    for i, curve in enumerate(curves):
        most = max((n for _, _, n in curve.points), default=1)
        dots = tuple(
            (x(m), y(s), round(max(SMALLEST, LARGEST * (n / most) ** 0.5), 1), f"{curve.label}: {n:,} said to be "
             f"{100 * m:.0f} % sure, {100 * s:.0f} % right")
            for m, s, n in curve.points
        )  # fmt: skip
        points = " ".join(f"{a},{b}" for a, b, _, _ in dots)
        lines.append(Line(curve, points, dots, COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]))
    ticks = tuple((x(v), y(v), f"{100 * v:.0f}") for v in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    return Diagram(tuple(lines), ticks)
