"""What follows from a decision: `consequences(review, judged, {7, 9})`.

A decision changes what identities look like. A tracklet that was nobody's, or a small identity, may now clearly belong
to one that the decision changed; or it was itself changed, as by a split, and clearly belongs elsewhere. The machine
then puts it there. It touches nothing that the decision leaves as it was, no confirmed identity and no tracklet that a
person made nobody's, and takes nothing apart. An identity that a person split off may join another, though none that it
left; two that were given names stay two.
"""

from collections import defaultdict
from collections.abc import Callable, Collection

from ...datasets.decisions import Draft
from ...datasets.replay import Review
from .judgement import Judged

SURE = 0.9  # how likely it must be


def consequences(
    review: Review, judged: Judged, changed: Collection[int], differ: Callable[[int, int], bool]
) -> list[Draft]:
    """What the machine makes of a decision that changed these identities.

    Args:
        differ: whether two identities can't be one person, or aren't, as somebody said.
    """
    joining: dict[int, list[str]] = defaultdict(list)
    for id_, (identity, likely) in judged.strays.items():
        loose = review.pieces[id_].kind != "person" and id_ not in review.settled
        if loose and likely >= SURE and identity in changed and identity not in review.confirmed:
            joining[identity].append(id_)
    drafts = [Draft("identity", (id_,), identity=identity) for identity, ids in joining.items() for id_ in ids]
    for part, (identity, likely) in judged.parts.items():
        if likely < SURE or not {part, identity} & set(changed) or {part, identity} & review.confirmed:
            continue
        if part in review.names and identity in review.names:
            continue  # one of the names would be lost
        if part in review.members and identity in review.members and not differ(part, identity):
            drafts.append(Draft("merge", (min(review.members[identity]), min(review.members[part]))))
    return drafts


def summary(drafts: Collection[Draft]) -> str:
    """What the machine did, in words."""
    joined = [draft for draft in drafts if draft.do == "identity"]
    merged = len(drafts) - len(joined)
    said = []
    if joined:
        where = ", ".join(str(identity) for identity in sorted({draft.identity or 0 for draft in joined}))
        said.append(f"{len(joined)} left-over tracklet{'s' * (len(joined) > 1)} went to identity {where}.")
    if merged:
        said.append(f"{merged} small identit{'ies' if merged > 1 else 'y'} joined another.")
    return " ".join(said)
