"""Which queries a page shows, and what the models found for each.

    lists = Lists({"cgclip": result.per_query, "resnet50": other.per_query}, library, Album())
    lists.blocks(6)                                # six queries with the models' ranking lists
    lists.hardest()                                # the rows of a table

A query is known by its split and its tracklet's id. Tracklets that the dataset lacks are shown by their names.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..gallery import identity_of
from ..results import QueryRow
from .crops import Album, Library, Shot

MODELS = 4  # shown in a ranking list: the best of the bench
HARDEST = 12  # rows of a table of hard queries
SHOWN = 10  # entries of a list
Key = tuple[int, str]  # split and tracklet


@dataclass(frozen=True)
class Ranking:
    """What one model found for a query: AP in percent, the rank of the first true match, the nearest."""

    label: str
    ap: float | None
    rank: int | None
    entries: tuple[Shot, ...]


@dataclass(frozen=True)
class Block:
    """A query and the lists of the models; `difficulty` is "hard", "middling", "easy", or "" where nobody judged it."""

    query: Shot
    difficulty: str
    ap: float
    rankings: tuple[Ranking, ...]


@dataclass(frozen=True)
class HardQuery:
    """A query, its mean AP over the models, and the rank of each model's first match (None: not among its queries)."""

    query: Shot
    ap: float
    ranks: tuple[int | None, ...]


class Lists:
    """The queries of one setting.

    Args:
        found: rows of each model, the best model first.
        library: where the tracklets and their crops are, if they are at hand.
        album: takes the pictures.
    """

    def __init__(self, found: Mapping[str, Sequence[QueryRow]], library: Library, album: Album):
        self.library, self.album = library, album
        self._rows = {label: {(row.split, row.query): row for row in rows} for label, rows in found.items()}
        self._identities = {row.query: row.identity for rows in found.values() for row in rows}
        aps: dict[Key, list[float]] = defaultdict(list)
        for by_key in self._rows.values():
            for key, row in by_key.items():
                aps[key].append(row.ap)
        self._mean_ap = {key: float(np.mean(values)) for key, values in aps.items()}
        self._hardest_first = sorted(self._mean_ap, key=lambda key: (self._mean_ap[key], key))

    def blocks(self, count: int) -> tuple[Block, ...]:
        """`count` queries with the lists of the best models."""
        return tuple(self._block(key, difficulty) for key, difficulty in self._choose(count))

    def hardest(self) -> tuple[HardQuery, ...]:
        """The queries that the models find worst, by mean AP."""
        return tuple(self._hard(key) for key in self._hardest_first[:HARDEST])

    def entry(self, id_: str, place: int, wanted: int) -> Shot:
        """The tracklet at a place of a list, judged: does it show identity `wanted`?"""
        tracklet = self.library.by_id.get(id_)
        identity = identity_of(tracklet) if tracklet else self._identities.get(id_)
        distractor = tracklet is not None and tracklet.kind == "distractor"
        known = distractor or identity is not None
        verdict = "unknown" if not known else "right" if identity == wanted else "wrong"
        return self._shot(id_, verdict, identity, place)

    def _choose(self, count: int) -> list[tuple[Key, str]]:
        """Half of them the hardest, of different people; the others from middling to the easiest."""
        ordered = self._hardest_first
        if not ordered or count < 1:
            return []
        hard: list[Key] = []
        people: set[int] = set()
        for key in ordered[: max(1, len(ordered) // 2)]:
            identity = self._identities[key[1]]
            if len(hard) < (count + 1) // 2 and identity not in people:
                hard.append(key)
                people.add(identity)
        rest = [key for key in ordered[len(ordered) // 2 :] if key not in hard]
        number = min(count - len(hard), len(rest))
        last = len(rest) - 1
        places = [round(i * last / (number - 1)) for i in range(number)] if number > 1 else [last][:number]
        others = [(rest[place], "easy" if place == last else "middling") for place in places]
        return [*((key, "hard") for key in hard), *others]

    def _block(self, key: Key, difficulty: str) -> Block:
        having = [(label, by_key[key]) for label, by_key in self._rows.items() if key in by_key]
        rankings = []
        for label, row in having[:MODELS]:
            entries = (self.entry(id_, k, row.identity) for k, id_ in enumerate(row.top[:SHOWN], start=1))
            rankings.append(Ranking(label, row.ap, row.rank, tuple(entries)))
        return Block(self._query(having[0][1]), difficulty, self._mean_ap[key], tuple(rankings))

    def _hard(self, key: Key) -> HardQuery:
        having = next(by_key[key] for by_key in self._rows.values() if key in by_key)
        ranks = tuple(by_key[key].rank if key in by_key else None for by_key in self._rows.values())
        return HardQuery(self._query(having), self._mean_ap[key], ranks)

    def _query(self, row: QueryRow) -> Shot:
        return self._shot(row.query, "query", row.identity)

    def _shot(self, id_: str, verdict: str, identity: int | None, place: int = 0) -> Shot:
        tracklet = self.library.by_id.get(id_)
        if tracklet is None:
            return Shot(id_, verdict, identity=identity, place=place)
        strip = self.album.strip(self.library, tracklet)
        camera = self.library.camera(tracklet.camera)
        return Shot(id_, verdict, strip, identity, tracklet.kind == "distractor", camera, place)
