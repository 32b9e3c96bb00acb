"""What to ask next: `questions(review, judged, answered)`, the one whose answer settles most first.

What an answer is worth is the number of tracklets that it is expected to put right, counted as B-cubed counts (Bagga
and Baldwin 1998): joining a tracklets of one person to b of the same puts 2ab / (a + b) right, and taking them apart
does where they are two people.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ...datasets.replay import Review
from .judgement import UNKNOWN, Judged

MOST = 20
ASTRAY = 0.5  # a tracklet that is less sure than this may not belong to its identity
LEAST = 0.01  # tracklets; what is expected to put less right isn't asked, but whether an identity is pure
TOGETHER = 8  # tracklets that are asked about at once


@dataclass(frozen=True)
class Question:
    """
    Attributes:
        kind: "same": whether two identities are one person; "pure": whether `tracklets` belong to the identity, and it
            is one whole person; "stray": which of `tracklets`, which are nobody's, belong to the identity.
        probability: of yes; of the likeliest tracklet.
        worth: tracklets that the answer is expected to put right.
    """

    kind: Literal["same", "pure", "stray"]
    identities: tuple[int, ...]
    tracklets: tuple[str, ...]
    probability: float
    worth: float

    @property
    def text(self) -> str:
        first = self.identities[0]
        if self.kind == "same":
            return f"Are identities {first} and {self.identities[1]} one person?"
        if self.kind == "stray":
            return f"{'Do these' if len(self.tracklets) > 1 else 'Does this'} belong to identity {first}?"
        return f"Is identity {first} one person, and complete?"


def questions(review: Review, judged: Judged, differ: Callable[[int, int], bool]) -> list[Question]:
    """Up to MOST, the most settling first; none when nothing is left to be asked.

    Args:
        differ: whether two identities can't be one person, or aren't, as somebody said.
    """
    found = [*_same(review, judged), *_strays(review, judged), *_pure(review, judged)]
    found.sort(key=lambda q: (-q.worth, q.kind, q.identities))
    # Whether two identities can be one person is looked at last, and for those alone that are asked about.
    asked = (q for q in found if q.kind != "same" or not differ(*q.identities))
    return list(itertools.islice(asked, MOST))


def _same(review: Review, judged: Judged) -> Iterator[Question]:
    size = {identity: len(members) for identity, members in review.members.items()}
    likely: dict[tuple[int, int], float] = {}
    for identity in size:
        for other, p in judged.nearest.get(identity, ()):
            if other in size and not {identity, other} & review.confirmed:
                pair = min(identity, other), max(identity, other)
                likely[pair] = max(p, likely.get(pair, 0.0))
    for (one, other), p in likely.items():
        worth = p * _joined(size[one], size[other])
        if worth >= LEAST:
            yield Question("same", (one, other), (), p, worth)


def _strays(review: Review, judged: Judged) -> Iterator[Question]:
    waiting: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for id_, (identity, p) in judged.strays.items():
        piece = review.pieces.get(id_)
        if piece is not None and piece.kind != "person" and id_ not in review.settled and identity in review.members:
            waiting[identity].append((p, id_))
    for identity, some in waiting.items():
        some.sort(key=lambda one: (-one[0], one[1]))
        shown = some[:TOGETHER]
        size = len(review.members[identity])
        worth = sum(p * _joined(1, size) for p, _ in shown)
        if worth >= LEAST:
            yield Question("stray", (identity,), tuple(id_ for _, id_ in shown), shown[0][0], worth)


def _pure(review: Review, judged: Judged) -> Iterator[Question]:
    for identity, members in review.members.items():
        if identity in review.confirmed:
            continue
        pure = judged.pure.get(identity, UNKNOWN)
        ranked = sorted(members, key=lambda id_: (judged.sure.get(id_, 1.0), id_))
        doubtful = [id_ for id_ in ranked if judged.sure.get(id_, 1.0) < ASTRAY] or ranked[:1]
        doubtful = doubtful[: max(1, len(members) // 2)]
        worth = (1 - pure) * _joined(len(doubtful), max(len(members) - len(doubtful), 1))
        yield Question("pure", (identity,), tuple(doubtful), pure, worth)


def _joined(one: int, other: int) -> float:
    return 2 * one * other / (one + other)
