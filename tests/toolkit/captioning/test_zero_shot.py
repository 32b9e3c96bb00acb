"""Captions by CLIP alone, over a vocabulary."""

import numpy as np
import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.captions import read_captions
from reidkit.datasets.own import read_dataset
from reidkit.simulator.people import cast
from reidkit.toolkit.captioning.run import run
from reidkit.toolkit.captioning.zero_shot import SIMULATED_VOCABULARY, ZeroShot, read_vocabulary


def test_zero_shot_tells_what_leads_and_keeps_silent_otherwise(folder, tmp_path):
    vocabulary = tmp_path / "v.toml"
    vocabulary.write_text(
        '[shoes]\nphrases = ["red shoes", "blue shoes"]\n[hair]\nphrases = ["dark hair", "no hair"]\n'
    )
    where = {"red shoes": 0, "blue shoes": 2}

    def texts(sentences):
        rows = np.zeros((len(sentences), 3), np.float32)
        for row, sentence in zip(rows, sentences, strict=True):
            row[[i for phrase, i in where.items() if phrase in sentence] or [0, 1, 2]] = 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def images(pictures):
        rows = np.stack([np.asarray(p, np.float32).mean((0, 1)) for p in pictures])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    run(read_dataset(folder), ZeroShot(images, texts, "fake", vocabulary))
    told = {c.tracklet: c.text for c in read_captions(folder)}
    assert told["1-cam1"] == "a person with red shoes"  # the two hair phrases tie: silent
    assert told["2-cam2"] == "a person with blue shoes"


def test_the_tiny_clip_asks_for_what_the_simulator_draws():
    _, questions = read_vocabulary(SIMULATED_VOCABULARY)
    known = {name: set(question.phrases) for name, question in questions.items()}
    told = [
        p.attributes
        for kind in ("sports", "dance")
        for s in range(20)
        for p in cast(kind, 12, 1, np.random.default_rng(s))
    ]
    for attributes in told:
        for name, words in attributes.items():
            if name in known:
                assert words in known[name], name
        assert {attributes.get("shirt"), attributes.get("costume")} & known["clothes"]
    drawn = {words for attributes in told for words in attributes.values()}
    assert all(phrase in drawn for name in ("shoes", "sleeves") for phrase in known[name])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[shoes]\nphrases = ['red']", "two or more"),
        ("prompt = 'x'\n[shoes]\nphrases = ['a', 'b']", "where the phrase goes"),
        ("", "asks nothing"),
        ("= broken", "can't be used"),
        ("[shoes]\nphrases = ['red', 'blue']\nsilent = 3", r"\[shoes\].*silent"),
        ("shoes = 'red'", r"\[shoes\]"),
    ],
)
def test_bad_vocabulary(tmp_path, text, message):
    path = tmp_path / "v.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_vocabulary(path)
