"""What to ask next: `questions(review, judged, answered)`, the one whose answer settles most first.

What an answer is worth is the number of tracklets that it is expected to put right, counted as B-cubed counts (Bagga
and Baldwin 1998): joining a tracklets of one person to b of the same puts 2ab / (a + b) right, and taking them apart
does where they are two people.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ...datasets.replay import Review
from .judgement import UNKNOWN, Judged

MOST = 20
ASTRAY = 0.5  # a tracklet that is less sure than this may not belong to its identity
LEAST = 0.01  # tracklets; an answer that is expected to put less right isn't asked for


@dataclass(frozen=True)
class Question:
    """
    Attributes:
        kind: "same": whether two identities are one person; "pure": whether `tracklets` belong to the identity, and it
            is one whole person; "stray": whether `tracklets`, which are nobody's, belong to the identity.
        probability: of yes.
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
            return f"Does this belong to identity {first}?"
        return f"Is identity {first} one person, and complete?"


def questions(review: Review, judged: Judged, differ: Callable[[int, int], bool]) -> list[Question]:
    """Up to MOST, the most settling first; none when nothing is left to be asked.

    Args:
        differ: whether two identities can't be one person, or aren't, as somebody said.
    """
    size = {identity: len(members) for identity, members in review.members.items()}
    open_ = [identity for identity in size if identity not in review.confirmed]
    found = []
    for identity in open_:
        for other, likely in judged.nearest.get(identity, ()):
            twice = identity in {i for i, _ in judged.nearest.get(other, ())} and other < identity
            if other not in size or other in review.confirmed or twice or differ(identity, other):
                continue
            pair = (min(identity, other), max(identity, other))
            found.append(Question("same", pair, (), likely, likely * _moved(size[identity], size[other])))
    for id_, (identity, likely) in judged.strays.items():
        piece = review.pieces.get(id_)
        if piece is None or piece.kind == "person" or id_ in review.settled or identity not in size:
            continue
        found.append(Question("stray", (identity,), (id_,), likely, likely * _moved(1, size[identity])))
    for identity in open_:
        pure = judged.pure.get(identity, UNKNOWN)
        members = sorted(review.members[identity], key=lambda id_: (judged.sure.get(id_, 1.0), id_))
        doubtful = [id_ for id_ in members if judged.sure.get(id_, 1.0) < ASTRAY] or members[:1]
        doubtful = doubtful[: max(1, len(members) // 2)]
        worth = (1 - pure) * _moved(len(doubtful), max(len(members) - len(doubtful), 1))
        found.append(Question("pure", (identity,), tuple(doubtful), pure, worth))
    found.sort(key=lambda q: (-q.worth, q.identities, q.tracklets))
    return found[:MOST]


def _moved(one: int, other: int) -> float:
    return 2 * one * other / (one + other)
