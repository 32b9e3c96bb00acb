"""Confident matches against plain loops."""

import numpy as np
import pytest

from reidkit.toolkit.floor.feet import STEP, beside, resample
from reidkit.toolkit.floor.matches import LEAST_SECONDS, confident


@pytest.mark.parametrize("confusion", [0.3, 1.5])
def test_matches_are_those_of_loops(make_event, confusion: float) -> None:
    event = make_event(people=4, cameras=2, seconds=6, confusion=confusion, seed=3)
    feet = resample(event.tracks)
    one, other = beside(feet, 0, 1)
    found = confident(feet, one, other, event.features)
    margins: dict[tuple[int, int], list[float]] = {}
    likeness = event.features @ event.features.T
    for step in np.unique(feet.step):
        here = feet.tracklet[(feet.step == step) & (feet.camera == 0)].tolist()
        there = feet.tracklet[(feet.step == step) & (feet.camera == 1)].tolist()
        for i in here:
            for j in there:
                rivals = [likeness[i, k] for k in there if k != j] + [likeness[k, j] for k in here if k != i]
                margins.setdefault((i, j), []).append(likeness[i, j] - max([0.0, *rivals]))
    slow = {
        pair: np.mean(values)
        for pair, values in margins.items()
        if np.mean(values) > 0 and len(values) * STEP >= LEAST_SECONDS
    }
    assert {(i, j) for i, j in zip(found.first.tolist(), found.second.tolist(), strict=True)} == set(slow)
    np.testing.assert_allclose(found.margin, [slow[pair] for pair in sorted(slow)])


def test_people_seen_at_once_for_a_moment_are_no_match(make_event) -> None:
    event = make_event(people=2, cameras=2, seconds=0.8)
    feet = resample(event.tracks)
    assert len(confident(feet, *beside(feet, 0, 1), event.features)) == 0
