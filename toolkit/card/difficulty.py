"""How hard a dataset is: how alike different people look against how alike one person does in two cameras.

    found = difficulty(Path("dancers"))         # None where there are no embeddings, or nothing to compare
    found.same, found.different, found.confused

Similarities are cosines of tracklets' embeddings, of two cameras of one event. The embeddings are those that the build
left, or made anew by its embedder. Figures of two datasets can be compared where one embedder made both.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...datasets.decisions import read_decisions
from ...datasets.own import frame_table, reviewed_tables, tracklet_table
from ...datasets.replay import follow
from ..review.embeddings import embeddings_of
from ..review.material import read_material

MOST = 2000  # tracklets of an event that are compared at the most, evenly chosen


@dataclass(frozen=True)
class Difficulty:
    """Medians of similarities, -1 to 1, and how often they mislead.

    Attributes:
        same: of one person in two cameras. different: of two people.
        confused: share of the comparisons in which somebody else looks more like a tracklet than its own person does in
            another camera, 0 to 1: 0.5 is chance.
        pairs: of one person.
    """

    same: float
    different: float
    confused: float
    pairs: int


def difficulty(root: Path) -> Difficulty | None:
    """The difficulty of the dataset in folder `root`, as its review stands; None where nothing can be compared."""
    material = read_material(root)
    found = embeddings_of(material, without="The card says nothing of difficulty")
    if found is None:
        return None
    pieces = follow(tracklet_table(root), frame_table(root), read_decisions(root))[0].pieces
    table = reviewed_tables(root)[0].filter(kind="person")
    same, different, worse, compared = [], [], 0.0, 0
    for _, part in table.group_by("event", maintain_order=True):
        part = part.gather_every(-(-len(part) // MOST))
        rows, who, where = [], [], []
        for id_, identity, camera in part.select("id", "identity", "camera").iter_rows():
            piece = pieces[id_]
            vector = found.of(material.origins[piece.origin], piece)
            if vector is not None:
                rows.append(vector)
                who.append(identity)
                where.append(camera)
        if len(rows) < 2:
            continue
        alike = np.stack(rows) @ np.stack(rows).T
        person, camera = np.array(who), np.array(where)
        apart = camera[:, None] != camera[None]
        mine, others = (person[:, None] == person[None]) & apart, (person[:, None] != person[None]) & apart
        for row in range(len(rows)):
            own, strangers = alike[row, mine[row]], np.sort(alike[row, others[row]])
            if len(own) and len(strangers):
                above = len(strangers) - np.searchsorted(strangers, own, side="right")
                worse, compared = worse + above.sum() / len(strangers), compared + len(own)
        upper = np.triu_indices(len(rows), 1)
        same.append(alike[upper][mine[upper]])
        different.append(alike[upper][others[upper]])
    if not compared:
        return None
    one, two = np.concatenate(same), np.concatenate(different)
    return Difficulty(float(np.median(one)), float(np.median(two)), float(worse / compared), len(one))
