"""Captions from CLIP alone: zero-shot over an editable vocabulary; no language model needed.

    reidkit caption DIR --captioner attributes                       # toolkit/captioning/vocabulary.toml
    reidkit caption DIR --captioner attributes --vocabulary mine.toml
    reidkit caption DIR --captioner attributes --weights simulated   # rendered footage, by the tiny CLIP

For each question (hair, shoes, …) the phrase whose text feature is nearest to the tracklet's mean image feature is
taken, if it leads the second clearly; otherwise the question stays unanswered.
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ...datasets import UsageError
from .captioner import Answer, Request

VOCABULARY = Path(__file__).with_name("vocabulary.toml")
SIMULATED_VOCABULARY = Path(__file__).with_name("simulated.toml")
TEMPERATURE = 100.0  # CLIP's own, at the end of its training


@dataclass(frozen=True)
class Question:
    """One attribute: its phrases, and those that are an answer but nothing to tell."""

    name: str
    phrases: tuple[str, ...]
    silent: frozenset[str] = frozenset()


def read_vocabulary(path: Path) -> tuple[str, tuple[Question, ...]]:
    """(prompt with {}, questions).

    Raises:
        UsageError: unreadable, no {} in the prompt, or a question with fewer than two phrases.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read the vocabulary '{path}': {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The vocabulary '{path}' is no TOML: {error}.") from None
    prompt = table.pop("prompt", "a photo of a person with {}")
    if not isinstance(prompt, str) or "{}" not in prompt:
        raise UsageError(f"The prompt of '{path}' needs {{}} where the phrase goes.")
    questions = []
    for name, entry in table.items():
        phrases = entry.get("phrases", ()) if isinstance(entry, dict) else ()
        if len(phrases) < 2 or not all(isinstance(phrase, str) for phrase in phrases):
            raise UsageError(f"[{name}] of '{path}' needs phrases = [two or more texts].")
        questions.append(Question(name, tuple(phrases), frozenset(entry.get("silent", ()))))
    if not questions:
        raise UsageError(f"The vocabulary '{path}' asks nothing: add a table such as [shoes] with phrases.")
    return prompt, tuple(questions)


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
        prompt, self._questions = read_vocabulary(self.vocabulary)
        self._texts = [self.encode_texts([prompt.format(phrase) for phrase in q.phrases]) for q in self._questions]

    @property
    def prompt_sha256(self) -> str:
        return hashlib.sha256(self.vocabulary.read_bytes()).hexdigest()

    def ask(self, requests: Iterator[Request], take: Callable[[Answer], None]) -> None:
        """One tracklet after the other; one of which no phrase leads clearly is a failure."""
        for request in requests:
            feature = self.encode_images(list(request.images)).mean(0)
            told = [self._answer(q, t, feature) for q, t in zip(self._questions, self._texts, strict=True)]
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
