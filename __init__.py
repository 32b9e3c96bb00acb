"""reidkit: raw footage of sports and dance to a video re-ID dataset, to trained models, to a paper's table.

Start with `reidkit demo`, or `reidkit --help` for every command. As a library:

    import reidkit

    dataset = reidkit.load_bench("my-dataset")
    result = reidkit.train("cgclip", "my-dataset", size="tiny")

docs/api.md explains each name below. They are imported when they are first used: `import reidkit` waits for nothing.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .datasets import ReidDataset, ReidkitError, Tracklet
    from .datasets.benches import load_bench
    from .leaderboard.ranking import score
    from .leaderboard.results import open_store
    from .leaderboard.use import table
    from .toolkit.build import BuildSettings
    from .toolkit.use import build_dataset
    from .training.use import embed, evaluate, search, train

__all__ = [
    "BuildSettings",
    "ReidDataset",
    "ReidkitError",
    "Tracklet",
    "build_dataset",
    "embed",
    "evaluate",
    "load_bench",
    "open_store",
    "score",
    "search",
    "table",
    "train",
]

_HOMES = {
    "BuildSettings": ".toolkit.build",
    "ReidDataset": ".datasets",
    "ReidkitError": ".datasets",
    "Tracklet": ".datasets",
    "build_dataset": ".toolkit.use",
    "embed": ".training.use",
    "evaluate": ".training.use",
    "load_bench": ".datasets.benches",
    "open_store": ".leaderboard.results",
    "score": ".leaderboard.ranking",
    "search": ".training.use",
    "table": ".leaderboard.use",
    "train": ".training.use",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'reidkit' has no attribute '{name}'; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
