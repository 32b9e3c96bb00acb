"""Confidences of a linking: the models as shipped, and what they say of clear and of doubtful events."""

import numpy as np
import pytest
from observed import made_up_event, observe

from reidkit.datasets import UsageError
from reidkit.datasets.schema import read_json
from reidkit.toolkit.linking import LinkSettings, link
from reidkit.toolkit.linking.confidence import ASSET, Model, Models, Term, shipped


def test_the_shipped_models_rise_and_stay_within_bounds():
    for name in Models.__dataclass_fields__:
        odds, share = zip(*getattr(shipped(), name).knots, strict=True)
        assert list(odds) == sorted(odds)
        assert list(share) == sorted(share)
        assert 0 < share[0] < share[-1] < 1


def test_a_damaged_model_is_refused(tmp_path):
    path = tmp_path / "confidence.json"
    path.write_text(ASSET.read_text().replace('"std": ', '"std": -', 1))
    with pytest.raises(UsageError, match=r"confidence\.json"):
        read_json(path, Models, "Install reidkit again.")


def test_a_probability_is_read_off_the_log_odds():
    model = Model({"a": Term(1.0, 2.0, 3.0), "b": Term(0.0, 1.0, -1.0)}, 0.5, ((-1.0, 0.2), (1.0, 0.6), (3.0, 0.9)))
    table = {"a": np.array([1.0, 3.0, -9.0]), "b": np.array([0.5, 1.5, 0.0]), "unused": np.zeros(3)}
    # Log-odds 0.5 - 0.5 = 0, 0.5 + 3 - 1.5 = 2, and far below the first knot.
    assert model.probability(table) == pytest.approx([0.4, 0.75, 0.2])


def test_clear_events_are_surer_than_dim_ones():
    clear, _ = made_up_event(6, 3, 1, view=0.3)
    dim, _ = made_up_event(6, 3, 1, view=2.5)
    sure, unsure = link(clear, LinkSettings()), link(dim, LinkSettings())
    for name in ("confidence", "pure", "whole"):
        assert np.mean(getattr(sure, name)) > np.mean(getattr(unsure, name)) + 0.05


def test_identities_of_several_people_are_less_surely_pure_than_those_of_one():
    pure, mixed = [], []
    for seed in range(6):
        seen, who = made_up_event(8, 3, seed, view=2.2)
        links = link(seen, LinkSettings())
        for k, sure in enumerate(links.pure.tolist()):
            shown = np.bincount(who[links.cluster == k])
            (pure if shown.max() == shown.sum() else mixed).append(sure)
    assert len(mixed) > 5
    assert np.mean(pure) > np.mean(mixed) + 0.2


def test_a_person_kept_apart_by_one_mistake_is_named_as_twin():
    rng = np.random.default_rng(5)
    looks = rng.normal(size=(6, 32))
    rows = [
        (looks[p] + 0.3 * rng.normal(size=32), camera, 6.0 * k, 6.0 * k + 5)
        for p in range(6)
        for camera in range(3)
        for k in range(4)
    ]
    # A second box on the first person goes on beside every one of his tracklets of one camera.
    rows += [(looks[0] + 0.3 * rng.normal(size=32), 0, 6.0 * k, 6.0 * k + 5) for k in range(4)]
    features, camera, start, end = zip(*rows, strict=True)
    links = link(observe(np.array(features), camera, start, end), LinkSettings())
    split = sorted({*links.cluster[:12].tolist(), *links.cluster[-4:].tolist()})
    assert len(split) > 1
    assert set(links.twin[split]) <= set(split)
    assert links.same[split].min() > np.delete(links.same, split).max()
    assert links.whole[split].max() < np.delete(links.whole, split).min()
