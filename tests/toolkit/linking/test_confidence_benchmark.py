"""`benchmarks/train_confidence.py` on made-up crops: what is counted as right, and that a fit is repeatable."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from reidkit.datasets.files import write_json
from reidkit.toolkit.linking.confidence import Models

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("confidence_events"), importlib.import_module("train_confidence")


@pytest.fixture(scope="module")
def events(scripts):
    made, _ = scripts
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(made.PEOPLE, 16))
    rows = [
        (person, camera, time)
        for time in np.arange(0, made.SECONDS, 0.25)
        for person in range(made.PEOPLE)
        for camera in range(made.CAMERAS)
    ]
    person, camera, time = (np.array(column) for column in zip(*rows, strict=True))
    features = made.normalise(looks[person] + 0.8 * rng.normal(size=(len(person), 16)))
    crops = made.Crops(person, camera, time, features, rng.uniform(0.3, 0.9, len(person)))
    found = []
    for number in range(6):
        seen, who, count = made.event(crops, 0, np.random.default_rng(number))
        found.append((seen, who, count, made.linked(seen, who, count, 0)))
    return found


def test_an_event_holds_tracklets_of_its_people(events):
    for seen, who, count, _ in events:
        assert len(seen.features) == len(who) == len(count)
        assert (seen.end > seen.start).all()
        assert count.min() >= 2


def test_what_is_right_is_counted_in_crops(scripts, events):
    share = scripts[0].ALL
    for _, who, count, one in events:
        cluster = one.found.cluster
        right = []
        for k in range(cluster.max() + 1):
            of = {p: count[(cluster == k) & (who == p)].sum() for p in set(who[cluster == k].tolist())}
            person = max(sorted(of), key=of.get)
            assert one.person[k] == person
            assert one.pure[k] == (of[person] >= share * sum(of.values()))
            assert one.whole[k] == (of[person] >= share * count[who == person].sum())
        right = [one.person[k] == p for k, p in zip(cluster, who, strict=True) if k >= 0]
        assert one.right.tolist() == right


def test_a_fit_is_the_same_again_and_can_be_written(scripts, events, tmp_path):
    from dataclasses import asdict

    from reidkit.datasets.schema import read_json

    made = [one for *_, one in events]
    models = scripts[1].fit_all(made)
    assert scripts[1].fit_all(made) == models
    write_json(tmp_path / "models.json", asdict(models))
    assert read_json(tmp_path / "models.json", Models, "") == models
