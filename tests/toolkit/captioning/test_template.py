"""Template captions."""

import numpy as np
import pytest

from reidkit.datasets.attributes import read_attributes
from reidkit.toolkit.captioning.captioner import Request
from reidkit.toolkit.captioning.template import Template, caption, phrases


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "attributes.csv").write_text("identity,shoes,hair,number\n1,red,long blond hair,7\n2,blue,,\n")
    return tmp_path


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"shoes": "red"}, ["red shoes"]),
        ({"shoes": "red shoes"}, ["red shoes"]),  # the noun is there already
        ({"kit": "white", "number": "7"}, ["number 7 on the back", "white kit"]),  # telling before kit
        ({"event": "3", "gait": "1.2", "height_m": "1.966"}, []),  # nothing a picture shows
    ],
)
def test_phrases(attributes, expected):
    assert phrases(attributes) == expected


def test_of_a_simulated_person_only_the_number_is_told_in_figures():
    """All that the simulator's table has: each attribute is told in words or listed as not told."""
    from reidkit.simulator.people import cast

    for kind in ("sports", "dance"):
        person = cast(kind, 4, 1, np.random.default_rng(0))[0]
        told = phrases({**person.attributes, "event": f"{kind}01", "height_m": str(round(person.height, 3))})
        figures = [phrase for phrase in told if any(c.isdigit() for c in phrase)]
        assert figures == ([f"number {person.number} on the back"] if kind == "sports" else [])
        assert not any("height" in phrase or "event" in phrase for phrase in told)


def test_captions_of_one_identity_differ_in_wording(dataset):
    table = read_attributes(dataset / "attributes.csv")
    captioner = Template(table, {"a": 1, "b": 1, "d": 3})
    answers = {}
    captioner.ask(iter([Request(i, ()) for i in "abd"]), lambda answer: answers.update({answer.tracklet: answer}))
    assert answers["a"].text != answers["b"].text
    assert all("red shoes" in answers[i].text and "number 7" in answers[i].text for i in "ab")
    assert answers["a"].text == caption(table[1], 0)
    assert "identity 3" in answers["d"].failure
