"""How far a review has come, in numbers: `review_figures(root)`."""

from collections import Counter
from pathlib import Path

from ...datasets.decisions import in_force, read_decisions
from ...datasets.own import frame_table, tracklet_table
from ...datasets.replay import follow


def review_figures(root: Path) -> dict | None:
    """What was decided of the dataset in folder `root`; None where nothing was.

    `decisions` is the number of people's decisions that count, `undone` of those that don't, `by_machine` of what was
    made of them; `by` says who decided how many. `tracklets_confirmed` is a share of the people's tracklets, 0 to 1.

    Raises:
        UsageError: a table or the log can't be read.
    """
    decisions = read_decisions(root)
    if not decisions:
        return None
    review, faults = follow(tracklet_table(root), frame_table(root), decisions)
    counting = in_force(decisions)
    mine = [one for one in counting if one.after is None]
    made = [one for one in decisions if one.do != "undo" and one.after is None]
    sizes = {one: len(members) for one, members in review.members.items()}
    confirmed = sum(sizes[one] for one in review.confirmed)
    times = sorted(one.at for one in mine if one.at)
    return {
        "decisions": len(mine),
        "undone": len(made) - len(mine),
        "by_machine": len(counting) - len(mine),
        "not_applicable": len(faults),
        "kinds": dict(sorted(Counter(one.do for one in mine).items())),
        "by": dict(Counter(one.by or "unnamed" for one in mine).most_common()),
        "identities_confirmed": len(review.confirmed),
        "tracklets_confirmed": round(confirmed / max(sum(sizes.values()), 1), 4),
        "first": times[0] if times else None,
        "last": times[-1] if times else None,
    }
