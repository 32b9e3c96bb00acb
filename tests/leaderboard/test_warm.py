"""The loops of ranking are compiled once, for every kind of input."""

from pathlib import Path

import numpy as np
import pytest

from reidkit.leaderboard import bounds, count_loops, grid_loops
from reidkit.leaderboard.distances import GivenDistances
from reidkit.leaderboard.protocols import protocol
from reidkit.leaderboard.ranking import score, score_distances
from reidkit.leaderboard.warm import warm


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_no_input_compiles_anything_again(tmp_path, dtype):
    assert Path(warm()).is_dir()
    loops = (count_loops.count_rows, count_loops.pair_distances, grid_loops.lengths, grid_loops.put_on_grid)
    before = [len(loop.signatures) for loop in loops]
    rng = np.random.default_rng(0)
    pids, cams, is_query = rng.integers(0, 9, 60), rng.integers(0, 3, 60), rng.random(60) < 0.5
    np.save(tmp_path / "f.npy", rng.normal(size=(60, 5)).astype(dtype))
    features = np.load(tmp_path / "f.npy", mmap_mode="r")
    for arguments in ({}, {"top": 0, "camera_pairs": False}, {"block_queries": 7, "block_columns": 11}):
        for metric in ("cosine", "euclidean"):
            score(features, pids, cams, is_query, "mars", metric, **arguments)
            score(np.asfortranarray(features), pids, cams, is_query, "mars", metric, **arguments)
    rows, matrix = np.arange(60), rng.random((60, 60)).astype(np.float32)
    for lay in (matrix, matrix.T, np.broadcast_to(matrix[:1], (60, 60))):
        score_distances(GivenDistances(lay), pids, cams, rows, rows, protocol("video-reid"))
    assert [len(loop.signatures) for loop in loops] == before


@pytest.mark.parametrize("module", [count_loops, grid_loops])
def test_loops_call_what_stands_in_their_own_file(module):
    """Machine code is kept until that file changes."""
    called = [value.py_func for value in vars(module).values() if hasattr(value, "py_func")]
    assert called
    assert {function.__code__.co_filename for function in called} == {module.__file__}


def test_the_loops_bound_is_that_of_the_proof():
    rng = np.random.default_rng(0)
    limits = rng.normal(size=2000) * 10.0 ** rng.integers(-40, 38, 2000)
    offsets = np.abs(rng.normal(size=2000)) * 10.0 ** rng.integers(-40, 38, 2000)
    limits[:3], offsets[1:4] = (0.0, -0.0, 1.0), 0.0
    found = np.array([count_loops._above(*pair) for pair in zip(limits, offsets, strict=True)])
    assert found.tobytes() == bounds.above(limits, offsets).tobytes()
