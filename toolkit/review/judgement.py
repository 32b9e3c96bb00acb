"""How sure it is who is who as the review stands, by the evidence that a build's confidences rest on.

    judged = as_built(material)             # what the build said
    judged = judge(scene)                   # anew, of one event

Who may belong to an identity, a tracklet that is nobody's or the few of a small identity, is judged as if in it.
Linking didn't put it there, which speaks against: of those whom the model for linked tracklets would call right with
probability p, about p² are (read off simulated seeds 71, 72, 81 to 84 and 901 to 903).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from ..linking.confidence import astray, shipped
from ..linking.evidence import Grouping, identity_evidence, pair_evidence, unit_evidence
from .material import Material
from .scene import Scene

UNKNOWN = 0.5  # of an identity that nothing has judged yet
NEAREST = 12  # other identities that are kept for each
SMALL = 0.5  # an identity with less than this share of another's footage is judged as a part of that


@dataclass(frozen=True)
class Judged:
    """How sure it is, in 0..1.

    Attributes:
        pure, whole: identity -> that it is one person, and all of that person in its event.
        nearest: identity -> others that may be the same person, and how likely, the likeliest first.
        sure: tracklet -> that it shows its identity's person.
        strays: tracklet that is nobody's -> the identity that it may belong to, and how likely.
        parts: small identity -> the one that it may be a part of, and how likely.
    """

    pure: Mapping[int, float] = field(default_factory=dict)
    whole: Mapping[int, float] = field(default_factory=dict)
    nearest: Mapping[int, list[tuple[int, float]]] = field(default_factory=dict)
    sure: Mapping[str, float] = field(default_factory=dict)
    strays: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    parts: Mapping[int, tuple[int, float]] = field(default_factory=dict)


def together(events: Iterable[Judged]) -> Judged:
    """Several events' in one. An identity of two events is as pure and whole as in the one where it is less so."""
    found: dict[str, dict] = {one.name: {} for one in fields(Judged)}
    for judged in events:
        for name, mine in found.items():
            for key, value in getattr(judged, name).items():
                if name in ("pure", "whole"):
                    value = min(value, mine.get(key, 1.0))
                elif name == "nearest":
                    value = sorted([*mine.get(key, ()), *value], key=lambda item: (-item[1], item[0]))
                mine[key] = value
    return Judged(**found)


def as_built(material: Material) -> Judged:
    """What the build said of its proposals."""
    sure = {o.id: o.confidence for o in material.origins.values() if o.confidence is not None}
    if material.identities is None:
        return Judged(sure=sure)
    pure, whole, nearest = {}, {}, {}
    for row in material.identities.iter_rows(named=True):
        identity = row["identity"]
        pure[identity], whole[identity] = row["pure"], row["whole"]
        nearest[identity] = [] if row["twin"] is None else [(row["twin"], row["same"] or 0.0)]
    return Judged(pure, whole, nearest, sure)


def over_events(material: Material) -> Judged:
    """Who may stand in two events, as the build said."""
    nearest: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for one in material.manifest.same_person:
        for mine, other in (one.identities, one.identities[::-1]):
            nearest[mine].append((other, one.probability))
    return Judged(nearest=dict(nearest))


def judge(scene: Scene) -> Judged:
    """How sure it is who is who in one event. A closed identity is pure and whole."""
    models, closed = shipped(), scene.closed
    g = _grouping(scene, scene.label)
    table, target = unit_evidence(g, scene.crowd)
    right = models.unit.probability(table)
    right[~scene.free & (scene.label >= 0)] = 1.0
    barred = g.apart.toarray() > 0
    one, other, table = pair_evidence(g)
    same = models.pair.probability(table) if len(one) else np.zeros(0)
    same = np.where(barred[one, other], 0.0, same)
    strays, parts = _loose(scene, g, target, barred)
    likely = defaultdict(float)
    for a, b, p in zip(one.tolist(), other.tolist(), same.tolist(), strict=True):
        likely[a, b] = likely[b, a] = max(p, likely[a, b])
    for a, (b, p) in parts.items():
        likely[a, b] = likely[b, a] = max(p, likely[a, b])
    same = np.array([likely[a, b] for a, b in zip(one.tolist(), other.tolist(), strict=True)])
    pure, whole = identity_evidence(g, astray(g, right), target, (one, other, same), scene.crowd)
    name = scene.identities
    nearest: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for (a, b), p in sorted(likely.items(), key=lambda item: (-item[1], item[0])):
        if len(nearest[name[a]]) < NEAREST:
            nearest[name[a]].append((name[b], p))
    return Judged(
        dict(zip(name, np.where(closed, 1.0, models.pure.probability(pure)).tolist(), strict=True)),
        dict(zip(name, np.where(closed, 1.0, models.whole.probability(whole)).tolist(), strict=True)),
        dict(nearest),
        {id_: p for id_, p, k in zip(scene.ids, right.tolist(), scene.label, strict=True) if k >= 0},
        {scene.ids[row]: (name[k], p) for row, (k, p) in strays.items()},
        {name[a]: (name[b], p) for a, (b, p) in parts.items()},
    )


def _grouping(scene: Scene, label: np.ndarray) -> Grouping:
    return Grouping(scene.nodes, scene.conflicts, scene.seen.camera, scene.seen.end - scene.seen.start, label)


def _loose(
    scene: Scene, g: Grouping, target: np.ndarray, barred: np.ndarray
) -> tuple[dict[int, tuple[int, float]], dict[int, tuple[int, float]]]:
    """Where the tracklets that are nobody's, and small identities, may belong: row, or cluster, -> cluster, likely.

    Args:
        target: [N] next best cluster of each tracklet, -1 for none. barred: [K, K] pairs that are two people.
    """
    label = scene.label.copy()
    waits = (label < 0) & scene.free & (target >= 0)
    label[waits] = target[waits]
    alike = np.where(barred | np.eye(g.count, dtype=bool), -np.inf, g.directions @ g.directions.T)
    goes: dict[int, int] = {}
    for a in np.argsort(g.mass, kind="stable").tolist():
        b = int(alike[a].argmax())
        if np.isfinite(alike[a, b]) and g.mass[a] < SMALL * g.mass[b] and b not in goes and a not in goes.values():
            goes[a] = b
            label[scene.label == a] = b
    if not goes and not waits.any():
        return {}, {}
    _, label[label >= 0] = np.unique(label[label >= 0], return_inverse=True)
    right = shipped().unit.probability(unit_evidence(_grouping(scene, label), scene.crowd)[0]) ** 2
    strays = {row: (int(target[row]), float(right[row])) for row in np.flatnonzero(waits).tolist()}
    mass = scene.nodes.mass
    parts = {
        a: (b, float(np.average(right[scene.label == a], weights=mass[scene.label == a]))) for a, b in goes.items()
    }
    return strays, parts
