"""Score features under a protocol: mAP, CMC, mINP, and what each query found.

    scores = score(features, pids, camids, is_query, "mars")
    scores.mAP, scores.cmc[1], scores.queries, scores.skipped

Average precision needs only the ranks of the true matches, and those are counted (`counting`), block by block.
"""

from dataclasses import dataclass, field

import numpy as np

from ..datasets import UsageError
from ..datasets.devices import pick_device
from . import protocols
from .counting import BLOCK_COLUMNS, BLOCK_QUERIES, TOP, Found, Ragged, Source, rank_matches
from .distances import FeatureDistances, GivenDistances
from .inputs import checked, people
from .openset import OpenSet, open_set
from .protocols import Clothes, EvaluationProtocol

CMC_RANKS = (1, 5, 10, 20)
_CLOTHES = {"any": "", "same": ", and the same outfit", "changed": ", and another outfit"}


@dataclass(frozen=True)
class QueryScore:
    """What one query found. Rows index the features that were given."""

    index: int
    ap: float  # percent
    rank: int  # of the first true match, from 1
    top: tuple[int, ...]  # rows of the ten nearest, removed entries left out


@dataclass(frozen=True)
class PairScore:
    """Queries of one camera against the entries of another alone."""

    query_camera: int
    gallery_camera: int
    mAP: float
    R1: float
    queries: int


@dataclass(frozen=True)
class Scores:
    """Figures in percent; means over `queries`. `skipped` queries have no true match in the gallery.

    `pairs` has the figures over all pairs of an open set, where they were asked for.
    """

    mAP: float
    cmc: dict[int, float]
    mINP: float
    queries: int
    skipped: int
    per_query: tuple[QueryScore, ...] = ()
    camera_pairs: tuple[PairScore, ...] = ()
    pairs: OpenSet | None = None
    protocol: str = ""
    metric: str = "cosine"
    rerank: bool = False
    skipped_rows: tuple[int, ...] = field(default=(), repr=False)

    @property
    def metrics(self) -> dict[str, float]:
        """`{"mAP": …, "R1": …, "R5": …, "R10": …, "R20": …, "mINP": …}`."""
        return {"mAP": self.mAP, **{f"R{k}": v for k, v in self.cmc.items()}, "mINP": self.mINP}


def score(
    features: np.ndarray,
    pids: np.ndarray,
    camids: np.ndarray,
    is_query: np.ndarray,
    protocol: str,
    metric: str = "cosine",
    rerank: bool = False,
    *,
    kinds: np.ndarray | None = None,
    outfits: np.ndarray | None = None,
    device: str = "cpu",
    camera_pairs: bool = True,
    pairs: bool = False,
    top: int = TOP,
    block_queries: int = BLOCK_QUERIES,
    block_columns: int = BLOCK_COLUMNS,
) -> Scores:
    """Scores the features of all test tracklets, each of them one row.

    Args:
        features: float [N, D].
        pids, camids: int [N]. A pid below 0 is junk.
        is_query: bool [N]. Whether queries stay in the gallery is the protocol's business.
        metric: "cosine" or "euclidean".
        rerank: k-reciprocal re-ranking before ranking (`rerank`).
        kinds: text [N], each "person", "junk" or "distractor" (`Tracklet.kind`). None: the pids tell them (`kinds_of`),
            and pid 0 is a distractor under the protocols of MARS alone.
        outfits: text [N], what each wears, "" where not known; for the protocols of same and of changed clothes.
        device: "cpu", or a torch device such as "cuda".
        camera_pairs: whether to score each pair of cameras alone, too.
        pairs: whether to judge all pairs as an open set, too (`openset`).
        top: how many of the nearest rows to keep for each query.
        block_queries, block_columns: the distances held at once. The figures don't depend on them.

    Raises:
        UsageError: no such protocol, metric or device; arrays that don't fit together, NaN or infinity, values whose
            distances would overflow, an all-zero row under cosine, no query, a query that is junk, no query with a
            match.
    """
    rule = protocols.protocol(protocol)
    if device != "cpu":
        device = str(pick_device(device))
    data = checked(features, pids, camids, is_query, kinds, metric, rule, outfits)
    query_rows = np.flatnonzero(data.is_query)
    gallery_rows = np.flatnonzero((data.kinds != "junk") & (rule.queries_in_gallery | ~data.is_query))
    if rerank:
        from .rerank import rerank_distances

        source: Source = GivenDistances(rerank_distances(data.features, query_rows, gallery_rows, metric))
    else:
        source = FeatureDistances(data.features, query_rows, gallery_rows, metric, device)
    return score_distances(
        source, people(data.pids, data.kinds), data.camids, query_rows, gallery_rows, rule, outfits=data.outfits,
        metric=metric, rerank=rerank, camera_pairs=camera_pairs, pairs=pairs, top=top, block_queries=block_queries,
        block_columns=block_columns,
    )  # fmt: skip


def score_distances(
    source: Source,
    pids: np.ndarray,
    camids: np.ndarray,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    rule: EvaluationProtocol,
    *,
    outfits: np.ndarray | None = None,
    metric: str = "cosine",
    rerank: bool = False,
    camera_pairs: bool = True,
    pairs: bool = False,
    top: int = TOP,
    **blocks: int,
) -> Scores:
    """`score` for distances that are there: `source` ranks `gallery_rows` for `query_rows` of `pids` and `camids`.

    Args:
        pids, camids: int [N]; the pids as `people` makes them, so that no two distractors share one.
        query_rows, gallery_rows: int [Q], [G], rows of the N.
        outfits: int [N], below 0 where not known; None where the protocol doesn't ask for them.
        blocks: `block_queries` and `block_columns` of `rank_matches`.

    Raises:
        UsageError: no query has a match.
    """
    matches, removed = match_lists(pids, camids, query_rows, gallery_rows, outfits, rule.clothes)
    if not len(matches.columns):
        raise UsageError(
            f"No query has a true match in the gallery of protocol '{rule.name}'. Check pids, camids and is_query: "
            f"a match has the query's pid and another camid{_CLOTHES[rule.clothes]}."
        )
    cameras = camids[gallery_rows]
    found = rank_matches(source, matches, removed, cameras if camera_pairs else None, top=top, **blocks)
    ap, first, inp = figures(found.ranks, matches, rule.average_precision)
    good = matches.counts > 0
    per_query = tuple(
        QueryScore(int(query_rows[i]), 100 * float(ap[i]), int(first[i]), tuple(gallery_rows[t[t >= 0]].tolist()))
        for i, t in zip(np.flatnonzero(good), found.nearest[good], strict=True)
    )
    by_camera = _camera_pairs(found, matches, camids[query_rows], cameras, rule) if camera_pairs else ()
    return Scores(
        mAP=100 * float(ap[good].mean()),
        cmc={k: 100 * float((first[good] <= k).mean()) for k in CMC_RANKS},
        mINP=100 * float(inp[good].mean()),
        queries=int(good.sum()),
        skipped=int((~good).sum()),
        per_query=per_query,
        camera_pairs=by_camera,
        pairs=open_set(source, matches, removed, **blocks) if pairs else None,
        protocol=rule.name,
        metric=metric,
        rerank=rerank,
        skipped_rows=tuple(query_rows[~good].tolist()),
    )


def match_lists(
    pids: np.ndarray,
    camids: np.ndarray,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    outfits: np.ndarray | None = None,
    clothes: Clothes = "any",
) -> tuple[Ragged, Ragged]:
    """Columns of each query's true matches (same pid, other camera) and of the removed (same pid and camera).

    With `clothes` "same" or "changed", a match also has the query's outfit or another one, and an entry of the query's
    pid that has not, or of which that isn't known, is removed (Gu et al., CVPR 2022).

    >>> pids, camids = np.array([1, 1, 1, 2]), np.array([0, 1, 0, 1])
    >>> matches, removed = match_lists(pids, camids, np.array([0]), np.arange(4))
    >>> matches.columns.tolist(), removed.columns.tolist()
    ([1], [0, 2])
    """
    order = np.argsort(pids[gallery_rows], kind="stable")
    ordered = pids[gallery_rows][order]
    wanted = pids[query_rows]
    low, high = ordered.searchsorted(wanted, "left"), ordered.searchsorted(wanted, "right")
    counts = high - low
    owner = np.repeat(np.arange(len(query_rows)), counts)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = order[np.repeat(low, counts) + offset]
    good = camids[gallery_rows][columns] != camids[query_rows][owner]
    if clothes != "any" and outfits is not None:
        mine, theirs = outfits[query_rows][owner], outfits[gallery_rows][columns]
        good &= (mine >= 0) & (theirs >= 0) & ((mine == theirs) == (clothes == "same"))
    return _ragged(owner, columns, good, len(query_rows)), _ragged(owner, columns, ~good, len(query_rows))


def _ragged(owner: np.ndarray, columns: np.ndarray, chosen: np.ndarray, queries: int) -> Ragged:
    counts = np.bincount(owner[chosen], minlength=queries)
    return Ragged(np.concatenate([[0], np.cumsum(counts)]), columns[chosen])


def figures(ranks: np.ndarray, matches: Ragged, rule: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AP, rank of the first match and inverse negative penalty of each query; (0, 0, 0) where it has no match.

    >>> ranks = np.array([1, 4])  # of the two matches of one query
    >>> ap, first, inp = figures(ranks, Ragged(np.array([0, 2]), np.array([5, 3])), "step")
    >>> ap.tolist(), first.tolist(), inp.tolist()  # (1/1 + 2/4) / 2
    ([0.75], [1], [0.5])
    """
    counts = matches.counts
    ap, first, inp = np.zeros(len(counts)), np.zeros(len(counts), np.int64), np.zeros(len(counts))
    for number in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == number)
        found = np.sort(ranks[matches.start[rows][:, None] + np.arange(number)], axis=1)
        i = np.arange(1, number + 1)
        precision = i / found
        if rule == "trapezoid":
            before = np.where(found == 1, 1.0, (i - 1) / np.maximum(found - 1, 1))
            precision = (precision + before) / 2
        ap[rows], first[rows], inp[rows] = precision.mean(axis=1), found[:, 0], number / found[:, -1]
    return ap, first, inp


def _camera_pairs(
    found: Found, matches: Ragged, query_cameras: np.ndarray, cameras: np.ndarray, rule: EvaluationProtocol
) -> tuple[PairScore, ...]:
    """Scores of each query's matches of one camera, by their ranks within that camera."""
    owner, camera = matches.owners, cameras[matches.columns]
    order = np.lexsort((camera, owner))
    owner, camera = owner[order], camera[order]
    start = np.flatnonzero(np.diff(owner, prepend=-1) | (np.diff(camera, prepend=camera[:1]) != 0))
    parts = Ragged(np.append(start, len(owner)), matches.columns[order])
    ap, first, _ = figures(found.within[order], parts, rule.average_precision)
    both = np.stack([query_cameras[owner[start]], camera[start]], axis=1)
    kinds, which = np.unique(both, axis=0, return_inverse=True)
    pairs = []
    for number, (asked, met) in enumerate(kinds.tolist()):
        mine = which.ravel() == number
        r1 = 100 * float((first[mine] == 1).mean())
        pairs.append(PairScore(asked, met, 100 * float(ap[mine].mean()), r1, int(mine.sum())))
    return tuple(pairs)
