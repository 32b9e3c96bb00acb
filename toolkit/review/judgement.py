"""How sure it is who is who, as the review stands: `Judged`, first as the build left it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .material import Material

UNKNOWN = 0.5  # of an identity that nothing has judged yet


@dataclass(frozen=True)
class Judged:
    """How sure it is, in 0..1.

    Attributes:
        pure, whole: identity -> that it is one person, and all of that person in its event.
        nearest: identity -> others that may be the same person, and how likely, the likeliest first.
        sure: tracklet -> that it shows its identity's person.
        strays: tracklet that is nobody's -> the identity that it may belong to, and how likely.
    """

    pure: Mapping[int, float] = field(default_factory=dict)
    whole: Mapping[int, float] = field(default_factory=dict)
    nearest: Mapping[int, list[tuple[int, float]]] = field(default_factory=dict)
    sure: Mapping[str, float] = field(default_factory=dict)
    strays: Mapping[str, tuple[int, float]] = field(default_factory=dict)


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
    for one in material.manifest.same_person:
        for mine, other in (one.identities, one.identities[::-1]):
            nearest.setdefault(mine, []).append((other, one.probability))
    return Judged(pure, whole, nearest, sure)
