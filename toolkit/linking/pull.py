"""What else than looks speaks for or against two nodes being one person: `Pull.from_log_odds(count, …)`.

Log-odds of independent evidence add up. Linkage compares similarities, so the log-odds are turned into them: divided by
the log-odds that a unit of similarity is worth in this footage. Looks that tell people apart well leave other evidence
little to say, and looks that don't leave it much.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from .calibration import Calibration

MOST = 10.0  # log-odds that other evidence brings between two clusters, however many of their tracklets it speaks of
# Standard deviation of similarities below which an event has too few pairs to know it.
LEAST_SPREAD = 0.05


def worth(calibration: Calibration) -> float:
    """The log-odds that one unit of similarity is worth: the slope of the ratio of two normal densities."""
    variance = (calibration.different_std**2 + calibration.same_std**2) / 2
    return max(calibration.same_mean - calibration.different_mean, 0.05) / max(variance, LEAST_SPREAD**2)


@dataclass(frozen=True)
class Pull:
    """Of each pair of nodes, in units of similarity.

    Attributes:
        matrix: [n, n] symmetric, without a diagonal. most: between two nodes, up or down.
    """

    matrix: csr_array
    most: float

    @staticmethod
    def from_log_odds(
        count: int, first: np.ndarray, second: np.ndarray, log_odds: np.ndarray, unit_worth: float
    ) -> "Pull":
        """From pairs of nodes ([P], [P]); those of a node with itself are left out.

        Args:
            count: number of nodes. unit_worth: see `worth`.
        """
        apart = first != second
        first, second, value = first[apart], second[apart], log_odds[apart] / unit_worth
        ends = np.concatenate([first, second]), np.concatenate([second, first])
        matrix = csr_array((np.concatenate([value, value]), ends), shape=(count, count))
        matrix.sum_duplicates()
        return Pull(matrix, MOST / unit_worth)

    def rows(self, which: np.ndarray) -> "Pull":
        """Between the nodes `which`, numbered anew."""
        return Pull(self.matrix[which][:, which], self.most)

    def merged(self, label: np.ndarray, count: int) -> "Pull":
        """Between clusters of nodes; `label` [n] is below `count`, or below 0 for nodes in none."""
        pairs = self.matrix.tocoo()
        first, second = label[pairs.coords[0]], label[pairs.coords[1]]
        apart = (first != second) & (first >= 0) & (second >= 0)
        matrix = csr_array((pairs.data[apart], (first[apart], second[apart])), shape=(count, count))
        matrix.sum_duplicates()
        return Pull(matrix, self.most)

    def table(self, nodes: np.ndarray, label: np.ndarray, count: int) -> np.ndarray:
        """[len(nodes), count] between each of some nodes and the clusters that `label` [n] puts all nodes into; those
        labelled below 0 are in none, and a node's own cluster counts without itself."""
        found = np.zeros((len(nodes), count))
        part = self.matrix[nodes].tocoo()
        cluster = label[part.coords[1]]
        inside = cluster >= 0
        np.add.at(found, (part.coords[0][inside], cluster[inside]), part.data[inside])
        return np.clip(found, -self.most, self.most)

    def between(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """[M] of pairs of nodes."""
        found = np.asarray(self.matrix[one, other]).reshape(-1) if len(one) else np.zeros(0)
        return np.clip(found, -self.most, self.most)

    def touched(self, nodes: np.ndarray) -> np.ndarray:
        """The nodes that pull at one of `nodes`."""
        return np.unique(self.matrix[nodes].indices)
