"""What of a dataset goes into an export: whose consent is there, and what captions may say.

    content, left_out = by_consent(content, "given")
    content, removed = without_topics(content, ("hair", "skin"))

Both are for `export.export`, before a format is asked whether it can hold the content.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from ...datasets.rights import Consent
from ...datasets.withheld import Topic, without_all
from .content import Content

Wanted = Literal["all", "not-refused", "given"]
WANTED: dict[Wanted, tuple[Consent, ...]] = {
    "all": ("given", "unknown", "refused"),
    "not-refused": ("given", "unknown"),
    "given": ("given",),
}


def by_consent(content: Content, wanted: Wanted) -> tuple[Content, dict[str, int]]:
    """The content without those whose consent is another, and how many people and tracklets that leaves out.

    Junk and distractors of an event may show anybody in it: they stay where everybody there may.
    """
    allowed = WANTED[wanted]
    kept = tuple(item for item in content.items if item.standing.consent in allowed)
    gone = [item for item in content.items if item.standing.consent not in allowed]
    people = {(item.event, item.identity) for item in gone if item.person}
    counts = {
        "people without consent": len(people),
        "tracklets of people without consent": sum(item.person for item in gone),
        "tracklets of nobody that may show them": sum(not item.person for item in gone),
    }
    return replace(content, items=kept), {name: number for name, number in counts.items() if number}


def without_topics(content: Content, topics: Iterable[Topic]) -> tuple[Content, int]:
    """The content with captions that don't speak of these topics, and how many phrases were taken out of them."""
    topics = tuple(topics)
    told = {texts: without_all(texts, topics) for texts in {item.captions for item in content.items}}
    removed = {item.identity: told[item.captions][1] for item in content.items if item.person}
    items = tuple(replace(item, captions=told[item.captions][0]) for item in content.items)
    return replace(content, items=items), sum(removed.values())


def rights_table(content: Content) -> str:
    """rights.csv: a line for each identity of each event, and for its tracklets of nobody."""
    tracklets: dict[tuple[str, int, str, str, str], int] = {}
    for item in content.items:
        standing = item.standing
        row = content.events[item.event], item.pid, item.kind, standing.consent, standing.licence
        tracklets[row] = tracklets.get(row, 0) + 1
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("event", "identity", "kind", "consent", "licence", "tracklets"))
    table.writerows((*row, number) for row, number in sorted(tracklets.items()))
    return out.getvalue()
