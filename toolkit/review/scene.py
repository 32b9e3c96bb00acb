"""An event under review as linking sees it, with everything that people decided as constraints: `scene_of(…)`.

- Who is seen at one time in one camera is two people, as in a build.
- Who left an identity (split, cut) isn't the person of those who stayed; identities said to be different stay so.
- A confirmed identity is closed: everybody else is somebody else.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...datasets.replay import Piece, Review
from ..linking.constraints import HANDOVER, Conflicts, seen_together
from ..linking.linkage import Nodes
from ..linking.observations import Observations, camera_centred, people_at_once
from .embeddings import Embeddings
from .material import Material


@dataclass(frozen=True)
class Scene:
    """The tracklets of one event.

    Attributes:
        ids: [N] tracklets: those of people, and junk, by id.
        label: [N] place in `identities` of each; -1 for junk.
        identities: [K] numbers, rising.
        free: [N] whether no decision speaks of the tracklet, and its identity isn't confirmed.
        closed: [K] whether the identity is confirmed.
        seen: what linking sees. nodes: the same, without what the cameras add. conflicts: who are two people.
        crowd: the most people seen at once in a camera.
    """

    ids: list[str]
    label: np.ndarray
    identities: list[int]
    free: np.ndarray
    closed: np.ndarray
    seen: Observations
    nodes: Nodes
    conflicts: Conflicts
    crowd: int


def scene_of(event: str, material: Material, review: Review, embeddings: Embeddings) -> Scene | None:
    """The event as the review stands; None where nobody is in it."""
    chosen: list[tuple[Piece, np.ndarray]] = []
    for id_ in sorted(review.pieces):
        piece = review.pieces[id_]
        origin = material.origins[piece.origin]
        if origin.event != event or piece.kind == "distractor":
            continue
        looks = embeddings.of(origin, piece)
        if looks is not None:
            chosen.append((piece, looks))
    identities = sorted({piece.identity for piece, _ in chosen if piece.kind == "person"})
    if not identities:
        return None
    number = {identity: k for k, identity in enumerate(identities)}
    pieces = [piece for piece, _ in chosen]
    label = np.array([number[p.identity] if p.kind == "person" else -1 for p in pieces])
    seen = _observed(material, pieces, np.stack([looks for _, looks in chosen]))
    closed = np.array([identity in review.confirmed for identity in identities])
    return Scene(
        ids=[piece.id for piece in pieces],
        label=label,
        identities=identities,
        free=np.array([p.id not in review.settled for p in pieces]) & ~(closed[label] & (label >= 0)),
        closed=closed,
        seen=seen,
        nodes=Nodes(camera_centred(seen), seen.mass, (seen.start + seen.end) / 2),
        conflicts=_conflicts(pieces, label, closed, seen, review),
        crowd=max(people_at_once(seen.rows(label >= 0)).values()),
    )


def _observed(material: Material, pieces: list[Piece], features: np.ndarray) -> Observations:
    origins = [material.origins[piece.origin] for piece in pieces]
    spans = np.array([origin.span(piece) for origin, piece in zip(origins, pieces, strict=True)])
    nothing = np.full(len(pieces), -1)
    return Observations(
        features=features,
        camera=np.unique([origin.camera for origin in origins], return_inverse=True)[1],
        start=spans[:, 0],
        end=spans[:, 1],
        weight=np.array([0.5 if origin.quality is None else origin.quality for origin in origins]),
        must=nothing,
        annotated=nothing,
    )


def _conflicts(
    pieces: list[Piece], label: np.ndarray, closed: np.ndarray, seen: Observations, review: Review
) -> Conflicts:
    pairs = [np.stack(seen_together(seen, HANDOVER), 1)]
    place = {piece.id: k for k, piece in enumerate(pieces)}
    for groups in review.apart:
        rows = [[place[id_] for id_ in group if id_ in place] for group in groups]
        if all(len(group) == 1 for group in groups):  # two identities, as their tracklets stand for them
            rows = [_with_identity(row, label) for row in rows]
        both = [(a, b) for one, other in itertools.combinations(rows, 2) for a in one for b in other]
        pairs.append(np.array(both, np.int64).reshape(-1, 2))
    # One tracklet stands for a closed identity: a conflict with it is one with all of the identity.
    first = {k: int(np.flatnonzero(label == k)[0]) for k in np.flatnonzero(closed)}
    for k, row in first.items():
        others = np.flatnonzero(label != k)
        pairs.append(np.stack([others, np.full(len(others), row)], 1))
    every = np.concatenate(pairs)
    apart = (label[every[:, 0]] != label[every[:, 1]]) | (label[every[:, 0]] < 0)
    return Conflicts.between(len(pieces), every[apart, 0], every[apart, 1])


def _with_identity(rows: Iterable[int], label: np.ndarray) -> list[int]:
    """The rows and all others of their identities."""
    found: set[int] = set()
    for row in rows:
        found |= {row} if label[row] < 0 else set(np.flatnonzero(label == label[row]).tolist())
    return sorted(found)
