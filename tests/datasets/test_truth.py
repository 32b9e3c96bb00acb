"""`truth.json`: one schema for those who write it and those who read it."""

import json

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.truth import Calibration, EventTruth, Truth, read_truth, write_truth

UNIT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
CAMERA = Calibration(K=UNIT, R=UNIT, t=(0.0, 0.0, 4.0), width=6, height=4)


def test_what_is_written_is_read_back_and_what_is_unknown_is_left_out(tmp_path):
    truth = Truth(
        kind="dance",
        seed=0,
        identities={"7": {"shoes": "red shoes", "height_m": 1.8}},
        events={"dance01": EventTruth(cameras=("cam1",), people=(7,))},
        calibration={"dance01": {"cam1": CAMERA}},
    )
    write_truth(tmp_path / "truth.json", truth)
    assert read_truth(tmp_path / "truth.json") == truth
    content = json.loads((tmp_path / "truth.json").read_text())
    assert list(content) == ["kind", "seed", "identities", "events", "calibration"]
    assert content["events"] == {"dance01": {"cameras": ["cam1"], "people": [7]}}


def test_identities_are_enough(tmp_path):
    (tmp_path / "truth.json").write_text('{"identities": {"7": {"shirt": "red"}}, "by": "hand"}')
    assert read_truth(tmp_path / "truth.json").identities == {"7": {"shirt": "red"}}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("{}", "identities"),
        ("[]", "object"),
        ('{"identities": ["Ann"]}', "identities"),
        ('{"identities": {"7": "Ann"}}', "identities"),
        ('{"identities": {"7": {"a": "\\ud800"}}}', ""),
        ('{"identities": {}, "events": {"a": {"people": ["Ann"]}}}', "people"),
        ('{"identities": {}, "calibration": {"a": {"b": {"K": 1}}}}', "K"),
    ],
)
def test_damage_is_named(tmp_path, text, place):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(UsageError, match=rf"truth\.json.*{place}"):
        read_truth(tmp_path / "truth.json")
