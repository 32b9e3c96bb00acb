"""Captions from an attribute table: the simulator's, or the user's own CSV.

    reidkit caption DIR --captioner template                        # DIR/attributes.csv
    reidkit caption DIR --captioner template --attributes mine.csv

The table has one row an identity: a column `identity`, and any others, each an attribute in words
(`shoes` = "red shoes" or just "red"). Empty cells are left out.
"""

import hashlib
from collections.abc import Callable, Iterator

from .captioner import Answer, Request

# CLIP reads 77 tokens, and what comes first weighs most: what nobody else in the kit has comes before the kit.
TELLING_FIRST = ("number", "hair", "accessory", "accessories", "shoes", "socks", "sleeves", "skin", "build", "height")
# what no single picture shows, or nobody says in such words
NOT_TOLD = ("identity", "event", "team_id", "gait", "stride", "seed", "height_m")
OPENINGS = ("a photo of a person with {}", "a person with {}", "{}", "the same person has {}")


def phrases(attributes: dict[str, str]) -> list[str]:
    """Each attribute in words, the most telling first.

    >>> phrases({"shoes": "red", "number": "7", "hair": "long blond hair"})
    ['number 7 on the back', 'long blond hair', 'red shoes']
    """

    def rank(name: str) -> tuple[int, str]:
        return (TELLING_FIRST.index(name) if name in TELLING_FIRST else len(TELLING_FIRST), name)

    told = []
    for name in sorted((n for n in attributes if n not in NOT_TOLD), key=rank):
        value, noun = attributes[name], name.replace("_", " ")
        if name == "number":
            told.append(value if "number" in value else f"number {value} on the back")
        else:
            told.append(value if noun in value or " " in value else f"{value} {noun}")
    return told


def caption(attributes: dict[str, str], variant: int) -> str:
    """One sentence; `variant` chooses the opening, so that an identity's captions are not all the same words.

    >>> caption({"shoes": "red"}, variant=0)
    'a photo of a person with red shoes'
    """
    return OPENINGS[variant % len(OPENINGS)].format(", ".join(phrases(attributes)))


def template_sha256() -> str:
    """The hash of the wording, kept with each caption as a prompt's hash is."""
    return hashlib.sha256(repr((OPENINGS, TELLING_FIRST)).encode()).hexdigest()


class Template:
    """A captioner that needs no pictures: the words come from the table.

    Args:
        table: identity -> {attribute: words}, as `datasets.attributes` gives it.
        identity_of: tracklet id -> identity.
    """

    kind, model = "template", ""

    def __init__(self, table: dict[int, dict[str, str]], identity_of: dict[str, int]) -> None:
        self._table, self._identity_of = table, identity_of
        self.prompt_sha256 = template_sha256()

    def ask(self, requests: Iterator[Request], take: Callable[[Answer], None]) -> None:
        """An identity's captions take the openings in turn; an identity that the table lacks is a failure."""
        turn: dict[int, int] = {}
        for request in requests:
            identity = self._identity_of[request.tracklet]
            if not self._table.get(identity):
                take(Answer(request.tracklet, failure=f"identity {identity} is not in the attribute table"))
                continue
            take(Answer(request.tracklet, caption(self._table[identity], turn.setdefault(identity, 0))))
            turn[identity] += 1
