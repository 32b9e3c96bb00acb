"""CMC curves of stored results, and where an SVG puts them.

    cmc(result.per_query)[0]                       # rank 1, percent
    chart([("cgclip", cmc(...)), ("resnet50", cmc(...))])

A chart knows the SVG's coordinates; `parts.html.j2` draws it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..results import QueryRow

RANKS = 50
TICKS = (1, 5, 10, 20, 30, 40, 50)
WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 26, 36
# Okabe and Ito's colours, told apart by colour-blind people; the dashes tell them apart in print
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2")


def cmc(per_query: Sequence[QueryRow]) -> list[float]:
    """Percent of queries with a true match among the first 1, 2, … 50: of several splits the mean over them."""
    by_split = defaultdict(list)
    for row in per_query:
        by_split[row.split].append(row.rank)
    ranks = np.arange(1, RANKS + 1)
    curves = [(np.array(rows)[:, None] <= ranks).mean(axis=0) for rows in by_split.values()]
    return (100 * np.mean(curves, axis=0)).tolist()


@dataclass(frozen=True)
class Curve:
    """One model's: `values` are percent at rank 1 … 50, `points` an SVG polyline."""

    label: str
    values: tuple[float, ...]
    points: str
    colour: str
    dash: str


@dataclass(frozen=True)
class Chart:
    """The curves of a bench, and the ticks as (position, text)."""

    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart(curves: Sequence[tuple[str, Sequence[float]]]) -> Chart | None:
    """Percent from the ten below the lowest value up to 100; None without a curve."""
    if not curves:
        return None
    low = min(90, 10 * int(min(values[0] for _, values in curves) // 10))

    def x(rank: int) -> float:
        return round(LEFT + (rank - 1) / (RANKS - 1) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (100 - value) / (100 - low) * (HEIGHT - TOP - BOTTOM), 1)

    step = 5 if low >= 80 else 10 if low >= 40 else 20
    marks = range(100, low - 1, -step)
    return Chart(
        tuple(
            Curve(
                label,
                tuple(values),
                " ".join(f"{x(k)},{y(v)}" for k, v in enumerate(values, start=1)),
                COLOURS[i % len(COLOURS)],
                DASHES[i % len(DASHES)],
            )
            for i, (label, values) in enumerate(curves)
        ),
        tuple((x(k), str(k)) for k in TICKS),
        tuple((y(v), str(v)) for v in marks),
    )
