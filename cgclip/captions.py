"""The caption bank: what the training identities' captions say, as tensors that CMR and the caption contrast read.

    texts = captions_by_identity(dataset, "any")                  # {identity: ("number 7 on the back, red shoes", …)}
    bank = CaptionBank(num_classes, width=512)
    bank.fill(encode_words(texts_by_label, width=512), limit=160)

Two encoders. `clip`: the frozen CLIP text tower, for models that start from CLIP's weights. `words`: for models
that train from scratch, whose text tower knows no language; see `encode_words`.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import ReidDataset, UsageError
from ..datasets.captions import Caption, texts_by_identity
from ..datasets.format import CAPTIONS
from ..datasets.own import reviewed_captions
from ..datasets.replay import REVIEWER
from ..datasets.withheld import Topic, without_all
from ..training.losses import supervised_contrast

Source = Literal["none", "template", "attributes", "mllm", "any"]
CAPTIONERS = {"template": ("template",), "attributes": ("attributes",), "mllm": ("endpoint", "transformers")}


@dataclass(frozen=True)
class EncodedCaption:
    """tokens [n, D], without start and end; feature [D], the sentence's."""

    tokens: Tensor
    feature: Tensor


def captions_by_identity(
    dataset: ReidDataset, source: Source, limit: int = 4, topics: Sequence[Topic] = ()
) -> dict[int, tuple[str, ...]]:
    """Up to `limit` different captions of each training identity, those without doubts first.

    `any` takes what the tracklets carry. A named source takes the lines that its captioners wrote to the dataset's
    captions.jsonl, in the order in which `any` has them, so that rows of an ablation differ by their source alone.

    Args:
        topics: phrases about them are left out (`datasets.withheld`).

    Returns:
        Training identity -> its captions; identities without any are left out.

    Raises:
        UsageError: a named source of which the dataset has no caption; the captioners it has are named.
    """
    if source == "none":
        return {}
    if source == "any":
        texts: dict[int, dict[str, None]] = {}
        for tracklet in dataset.train:
            texts.setdefault(tracklet.identity, {}).update(dict.fromkeys(text for text in tracklet.captions if text))
        chosen = {identity: tuple(known) for identity, known in texts.items()}
    else:
        chosen = texts_by_identity(_written_by(dataset, source), {t.id: t.identity for t in dataset.train})
    told = {identity: without_all(known, topics)[0][:limit] for identity, known in chosen.items()}
    return {identity: known for identity, known in told.items() if known}


def _written_by(dataset: ReidDataset, source: str) -> list[Caption]:
    """The lines of captions.jsonl by the captioners of a named source, and what a reviewer wrote in their place."""
    captions = reviewed_captions(dataset.root)
    chosen = [caption for caption in captions if caption.captioner in (*CAPTIONERS[source], REVIEWER)]
    if not chosen:
        there = ", ".join(sorted({caption.captioner or "unnamed" for caption in captions})) or "none"
        raise UsageError(
            f"'{dataset.name}' has no captions by {' or '.join(CAPTIONERS[source])} (captioners in its {CAPTIONS}: "
            f"{there}). Write them with `reidkit caption`, or train with --set captions=any."
        )
    return chosen


def encode_clip(
    texts: Sequence[Sequence[str]], tokens_of: Callable[[list[str]], tuple[Tensor, Tensor, Tensor]], batch: int = 64
) -> list[list[EncodedCaption]]:
    """Each label's captions through CLIP's text tower.

    Args:
        texts: captions of each class, possibly none.
        tokens_of: texts -> (projected tokens [n, 77, D], feature [n, D], lengths [n] with start and end token).
    """
    flat = sorted({text for captions in texts for text in captions})
    encoded = {}
    for start in range(0, len(flat), batch):
        part = flat[start : start + batch]
        tokens, features, lengths = tokens_of(part)
        for text, token, feature, length in zip(part, tokens, features, lengths.tolist(), strict=True):
            encoded[text] = EncodedCaption(token[1 : length - 1].float().cpu(), feature.float().cpu())
    return [[encoded[text] for text in captions] for captions in texts]


def encode_words(texts: Sequence[Sequence[str]], width: int) -> list[list[EncodedCaption]]:
    """Captions as fixed random vectors of their words and word pairs.

    A text tower that trains from scratch on the few dozen sentences of one dataset knows no language, and one that
    stays untrained maps all sentences to nearly the same point. What captions can give a model without CLIP's weights
    is which words two people share, and that needs no tower: each word and each pair of neighbours ("red shoes" is not
    "red socks") gets a vector that depends on its letters only. A sentence is their sum, words that many identities
    share weighing less (inverse document frequency), minus the mean over all identities. So what everybody wears
    cancels out, and people who share an attribute share a direction.

    Args:
        texts: captions of each class, possibly none.
        width: D.
    """
    documents = [{term for text in captions for term in _terms(text)} for captions in texts if captions]
    frequency = Counter(term for document in documents for term in document)
    weight = {term: math.log((1 + len(documents)) / (1 + n)) for term, n in frequency.items()}
    vectors = {term: _vector(term, width) for term in frequency}

    encoded = []
    for captions in texts:
        row = []
        for text in captions:
            words = _words(text)
            pairs = itertools.pairwise(["", *words])
            tokens = [vectors[word] + vectors.get(f"{before} {word}", 0) for before, word in pairs]
            feature = sum((weight[term] * vectors[term] for term in _terms(text)), torch.zeros(width))
            row.append(EncodedCaption(torch.stack(tokens) if tokens else torch.zeros(0, width), feature))
        encoded.append(row)
    means = [torch.stack([c.feature for c in row]).mean(0) for row in encoded if row]
    centre = torch.stack(means).mean(0) if means else torch.zeros(width)
    return [[EncodedCaption(c.tokens, c.feature - centre) for c in row] for row in encoded]


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def _terms(text: str) -> list[str]:
    words = _words(text)
    return list(dict.fromkeys([*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]))


def _vector(term: str, width: int) -> Tensor:
    seed = 0
    for byte in term.encode():
        seed = (seed * 1_000_003 + byte) % (2**63)
    return torch.randn(width, generator=torch.Generator().manual_seed(seed)) * width**-0.5


class CaptionBank(nn.Module):
    """Captions of Y identities in buffers, so that a checkpoint carries them.

    Attributes:
        tokens: float16 [Y, S, D], the captions of an identity one after the other, then zeros; S = 0 until `fill`.
        mask: bool [Y, S], True where there is a token.
        prototypes: [Y, D], mean of the normalised sentence features, normalised; zeros where there is no caption.
        known: bool [Y], True where an identity has a caption.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("tokens", torch.zeros(num_classes, 0, width, dtype=torch.float16))
        self.register_buffer("mask", torch.zeros(num_classes, 0, dtype=torch.bool))
        self.register_buffer("prototypes", torch.zeros(num_classes, width))
        self.register_buffer("known", torch.zeros(num_classes, dtype=torch.bool))

    @torch.no_grad()
    def fill(self, encoded: Sequence[Sequence[EncodedCaption]], limit: int) -> int:
        """Takes the captions of each class; returns how many tokens did not fit.

        An identity's room of `limit` tokens is shared evenly among its captions, so that a long first one doesn't push
        out the others; the words a captioner puts first are the ones kept. S is what the longest row needs, at least 1.
        """
        rows, lost = [], 0
        self.prototypes.zero_()
        self.known.zero_()
        for label, captions in enumerate(encoded):
            share = limit // max(len(captions), 1)
            lost += sum(max(len(caption.tokens) - share, 0) for caption in captions)
            rows.append(torch.cat([c.tokens[:share] for c in captions]) if captions else self.prototypes.new_zeros(0))
            if captions:
                features = torch.stack([F.normalize(caption.feature, dim=0) for caption in captions])
                self.prototypes[label] = F.normalize(features.mean(0), dim=0).to(self.prototypes)
                self.known[label] = True
        classes, width = self.prototypes.shape
        longest = max(1, *(len(row) for row in rows))
        self.tokens = self.tokens.new_zeros(classes, longest, width)
        self.mask = self.mask.new_zeros(classes, longest)
        for label, row in enumerate(rows):
            self.tokens[label, : len(row)] = row.to(self.tokens) if len(row) else 0
            self.mask[label, : len(row)] = True
        return lost

    def contrast(self, videos: Tensor, labels: Tensor, temperature: float) -> Tensor:
        """Symmetric contrast of the clips with the caption prototypes of the batch's identities, a scalar.

        Video to text: each clip against the batch's identities, one of which is its own. Text to video: each identity
        against all clips, several of which are its own (mean log-probability of these). Clips without a caption take no
        part.

        Args:
            videos: [B, D].
            labels: int64 [B].
        """
        told = self.known[labels]
        videos, labels = F.normalize(videos[told].float(), dim=1), labels[told]
        if not len(labels):
            return videos.sum()
        identities = labels.unique()
        texts = self.prototypes[identities].float()
        to_text = supervised_contrast(videos, texts, labels, identities, temperature)
        to_video = supervised_contrast(texts, videos, identities, labels, temperature)
        return (to_text + to_video) / 2
