"""Compiles the loops of ranking ahead of time, so that no user's first ranking does.

    python -m reidkit.leaderboard.warm          # `make install` runs it; `reidkit doctor` does the same

They are kept beside the package, or in the user's cache where that folder can't be written.
"""

import numpy as np

from .ranking import score


def warm() -> str:
    """Ranks a few made-up rows, which compiles what isn't yet; the folder where that is kept, "" where nowhere."""
    rows = np.arange(8)
    for metric in ("cosine", "euclidean"):
        score(np.eye(8, dtype=np.float32), rows // 2, rows % 2, rows >= 0, "mars", metric)
    from .count_loops import count_rows

    return count_rows.stats.cache_path or ""


if __name__ == "__main__":
    print(f"ranking loops are compiled; kept in {warm() or 'no folder: none can be written'}")
