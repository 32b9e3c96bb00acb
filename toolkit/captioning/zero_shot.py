"""Captions from CLIP alone: zero-shot over an editable vocabulary; no language model needed.

    reidkit caption DIR --captioner attributes                       # toolkit/captioning/vocabulary.toml
    reidkit caption DIR --captioner attributes --vocabulary mine.toml
    reidkit caption DIR --captioner attributes --weights simulated   # rendered footage, by the tiny CLIP

For each question (hair, shoes, …) the phrase whose text feature is nearest to the tracklet's mean image feature is
taken, if it leads the second clearly; otherwise the question stays unanswered.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, ValidationError, convert
from PIL import Image

from ...datasets import UsageError
from ...datasets.schema import read_toml
from ...datasets.text import printable
from .captioner import Answer, Request

VOCABULARY = Path(__file__).with_name("vocabulary.toml")
SIMULATED_VOCABULARY = Path(__file__).with_name("simulated.toml")
TEMPERATURE = 100.0  # CLIP's own, at the end of its training


@dataclass(frozen=True)
class Question:
    """One attribute: its phrases, and those of them that are an answer but nothing to tell."""

    phrases: Annotated[tuple[str, ...], Meta(min_length=2)]
    silent: frozenset[str] = frozenset()


def read_vocabulary(path: Path) -> tuple[str, dict[str, Question]]:
    """(prompt with {}, attribute -> question).

    Raises:
        UsageError: unreadable, no {} in the prompt, or a question with fewer than two phrases.
    """
    table = read_toml(path, dict[str, Any], "Mend it, or leave --vocabulary away.")
    prompt = table.pop("prompt", "a photo of a person with {}")
    if not isinstance(prompt, str) or "{}" not in prompt:
        raise UsageError(f"The prompt of '{path}' needs {{}} where the phrase goes.")
    questions = {}
    for name, entry in table.items():
        try:
            questions[name] = convert(entry, Question)
        except ValidationError as error:
            raise UsageError(
                f"[{printable(name)}] of '{path}' needs phrases = [two or more texts], and may have silent = [some of "
                f"them] ({error})."
            ) from None
    if not questions:
        raise UsageError(f"The vocabulary '{path}' asks nothing: add a table such as [shoes] with phrases.")
    return prompt, questions


@dataclass
class ZeroShot:
    """CLIP over a vocabulary.

    Args:
        encode_images: RGB images -> [n, D] L2-normalised.
        encode_texts: texts -> [n, D] L2-normalised.
        lead: how much more probable than the second a phrase must be to be told, 0..1.
    """

    encode_images: Callable[[list[Image.Image]], np.ndarray]
    encode_texts: Callable[[list[str]], np.ndarray]
    model: str
    vocabulary: Path = VOCABULARY
    lead: float = 0.15
    kind: str = field(default="attributes", init=False)

    def __post_init__(self) -> None:
        prompt, questions = read_vocabulary(self.vocabulary)
        self._questions = [
            (question, self.encode_texts([prompt.replace("{}", phrase) for phrase in question.phrases]))
            for question in questions.values()
        ]

    @property
    def prompt_sha256(self) -> str:
        return hashlib.sha256(self.vocabulary.read_bytes()).hexdigest()

    def ask(self, requests: Iterator[Request], take: Callable[[Answer], None]) -> None:
        """One tracklet after the other; one of which no phrase leads clearly is a failure."""
        for request in requests:
            feature = self.encode_images(list(request.images)).mean(0)
            told = [self._answer(question, texts, feature) for question, texts in self._questions]
            text = ", ".join(phrase for phrase in told if phrase)
            if text:
                take(Answer(request.tracklet, f"a person with {text}"))
            else:
                take(Answer(request.tracklet, failure="no phrase of the vocabulary leads clearly"))

    def _answer(self, question: Question, texts: np.ndarray, feature: np.ndarray) -> str:
        scores = TEMPERATURE * texts @ feature
        probabilities = np.exp(scores - scores.max())
        probabilities /= probabilities.sum()
        second, first = np.argsort(probabilities)[-2:]
        phrase = question.phrases[first]
        clear = probabilities[first] - probabilities[second] >= self.lead
        return phrase if clear and phrase not in question.silent else ""
