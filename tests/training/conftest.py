from collections.abc import Callable
from pathlib import Path

import pytest
from made_up import make_dataset

from reidkit.datasets import ReidDataset


@pytest.fixture
def made_up(tmp_path: Path) -> Callable[..., ReidDataset]:
    return lambda name="made-up", **sizes: make_dataset(tmp_path / name, **sizes)
