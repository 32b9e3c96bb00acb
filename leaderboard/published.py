"""The published figures, packaged in `published.toml` with their sources.

    for row in published():
        row.model, row.figures["mars"]["mAP"], row.source, row.verified

A figure that a paper doesn't print is absent.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_WORDS = ("model", "venue", "year", "source", "verified")


@dataclass(frozen=True)
class Published:
    """One row of a paper. `figures` is bench -> metric -> percent; `verified` False where it is second-hand."""

    model: str
    venue: str
    year: int
    figures: dict[str, dict[str, float]]
    source: str
    verified: bool

    @property
    def label(self) -> str:
        """`TF-CLIP (AAAI 2024)`."""
        return f"{self.model} ({self.venue} {self.year})"


@cache
def published() -> tuple[Published, ...]:
    """All rows, in the file's order (by year)."""
    rows = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))["result"]
    return tuple(
        Published(
            row["model"],
            row["venue"],
            row["year"],
            {bench: figures for bench, figures in row.items() if bench not in _WORDS},
            row["source"],
            row["verified"],
        )
        for row in rows
    )
