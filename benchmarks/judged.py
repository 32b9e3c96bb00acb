"""What the ranking and the scoring benchmark share: other libraries' average precision, and a process for every way.

    ap = by_sklearn(distances, pids, cams, query_rows, gallery_rows)    # [Q'], those queries that have a match
    found = in_a_process(__file__, "--one", size, way)                  # the JSON that it prints

A way that is measured in a process of its own has a peak of memory of its own.
"""

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np


def by_sklearn(*arguments: np.ndarray) -> np.ndarray:
    from sklearn.metrics import average_precision_score

    return _query_by_query(average_precision_score, *arguments)


def by_torchmetrics(*arguments: np.ndarray) -> np.ndarray:
    import torch
    from torchmetrics.functional.retrieval import retrieval_average_precision

    return _query_by_query(
        lambda hits, near: float(retrieval_average_precision(torch.from_numpy(near), torch.from_numpy(hits))),
        *arguments,
    )


def _query_by_query(
    average_precision: Callable[[np.ndarray, np.ndarray], float],
    distances: np.ndarray,
    pids: np.ndarray,
    cams: np.ndarray,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
) -> np.ndarray:
    found = []
    for i, row in zip(query_rows, distances, strict=True):
        same = pids[gallery_rows] == pids[i]
        kept = ~(same & (cams[gallery_rows] == cams[i]))
        if same[kept].any():
            # torchmetrics leaves out what is not above 0; in float64 no two distances become one.
            found.append(average_precision(same[kept], 2 - row[kept].astype(np.float64)))
    return np.array(found)


def in_a_process(script: str, *arguments: str) -> dict:
    """What `script` prints with the arguments, in a process of its own, so that its peak memory is its own."""
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)
