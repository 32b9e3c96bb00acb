"""Embeddings of some of N boxes, one of which may serve several: `Looks.of(table)`, `looks[rows]`."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Looks:
    """What is known of how the people in N boxes look.

    Attributes:
        place: [N] row of `features` that tells of each box; -1 where none does.
        features: [m, D], rows L2-normalised.
    """

    place: np.ndarray
    features: np.ndarray

    @classmethod
    def of(cls, table: np.ndarray) -> "Looks":
        """From a table [N, D], in which a box that has no embedding has zeros."""
        known = table.any(1)
        return cls(np.where(known, known.cumsum() - 1, -1), table[known])

    @classmethod
    def nothing(cls, count: int) -> "Looks":
        """Of boxes none of which has an embedding."""
        return cls(np.full(count, -1), np.zeros((0, 0), np.float32))

    @property
    def known(self) -> np.ndarray:
        """[N] whether a box has an embedding."""
        return self.place >= 0

    def __bool__(self) -> bool:
        return len(self.features) > 0

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """[n, D] float64 of the boxes `rows`, zeros where one has none."""
        place = self.place[rows]
        found = np.zeros((len(place), self.features.shape[1]))
        found[place >= 0] = self.features[place[place >= 0]]
        return found

    def rows(self, rows: np.ndarray) -> "Looks":
        """Those of the boxes `rows`; -1 stands for a box of which nothing is known."""
        return Looks(np.where(rows >= 0, self.place[rows] if len(self.place) else -1, -1), self.features)
