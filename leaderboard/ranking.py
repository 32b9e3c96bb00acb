"""Score features under a protocol: mAP, CMC, mINP, and what each query found.

    scores = score(features, pids, camids, is_query, "mars")
    scores.mAP, scores.cmc[1], scores.queries, scores.skipped

Average precision needs only the ranks of the true matches, and those are counted (`counting`), block by block.
"""

from dataclasses import dataclass, field

import numpy as np

from ..datasets import UsageError
from ..datasets.errors import choices
from . import protocols
from .counting import TOP, Ragged, Source, rank_matches
from .distances import FeatureDistances, GivenDistances
from .protocols import EvaluationProtocol

CMC_RANKS = (1, 5, 10, 20)
METRICS = ("cosine", "euclidean")


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
    """Figures in percent; means over `queries`. `skipped` queries have no true match in the gallery."""

    mAP: float
    cmc: dict[int, float]
    mINP: float
    queries: int
    skipped: int
    per_query: tuple[QueryScore, ...] = ()
    camera_pairs: tuple[PairScore, ...] = ()
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
    device: str = "cpu",
    camera_pairs: bool = True,
    top: int = TOP,
    block_queries: int = 1024,
    block_columns: int = 12288,
) -> Scores:
    """Scores the features of all test tracklets, each of them one row.

    Args:
        features: float [N, D].
        pids, camids: int [N]; a pid below 0 is junk, 0 a distractor at the MARS border (it matches nobody).
        is_query: bool [N]. Whether queries stay in the gallery is the protocol's business.
        rerank: k-reciprocal re-ranking before ranking (`rerank`).
        device: "cpu", or a torch device such as "cuda".

    Raises:
        UsageError: arrays that don't fit together, NaN or infinity, an all-zero row under cosine, no query, a query
            that is junk, no query with a match.
    """
    rule = protocols.protocol(protocol)
    features, pids, camids, is_query = check_arrays(features, pids, camids, is_query, metric)
    query_rows = np.flatnonzero(is_query)
    gallery_rows = np.flatnonzero((pids >= 0) & (rule.queries_in_gallery | ~is_query))
    if rerank:
        from .rerank import rerank_distances

        source: Source = GivenDistances(rerank_distances(features, query_rows, gallery_rows, metric))
    else:
        source = FeatureDistances(features, query_rows, gallery_rows, metric, device)
    return score_distances(
        source, pids, camids, query_rows, gallery_rows, rule, metric=metric, rerank=rerank,
        camera_pairs=camera_pairs, top=top, block_queries=block_queries, block_columns=block_columns,
    )  # fmt: skip


def score_distances(
    source: Source,
    pids: np.ndarray,
    camids: np.ndarray,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    rule: EvaluationProtocol,
    *,
    metric: str = "cosine",
    rerank: bool = False,
    camera_pairs: bool = True,
    top: int = TOP,
    **blocks: int,
) -> Scores:
    """`score` for distances that are there: `source` ranks `gallery_rows` for `query_rows` of `pids` and `camids`."""
    matches, removed = match_lists(pids, camids, query_rows, gallery_rows)
    if not len(matches.columns):
        raise UsageError(
            f"No query has a true match in the gallery of protocol '{rule.name}'. Check pids, camids and is_query: "
            "a match has the query's pid and another camid."
        )
    ranks, nearest = rank_matches(source, matches, removed, top=top, **blocks)
    ap, first, inp = figures(ranks, matches, rule.average_precision)
    good = matches.counts > 0
    per_query = tuple(
        QueryScore(int(query_rows[i]), 100 * float(ap[i]), int(first[i]), tuple(gallery_rows[t[t >= 0]].tolist()))
        for i, t in zip(np.flatnonzero(good), nearest[good], strict=True)
    )
    pairs = _camera_pairs(source, pids, camids, query_rows, gallery_rows, rule, blocks) if camera_pairs else ()
    return Scores(
        mAP=100 * float(ap[good].mean()),
        cmc={k: 100 * float((first[good] <= k).mean()) for k in CMC_RANKS},
        mINP=100 * float(inp[good].mean()),
        queries=int(good.sum()),
        skipped=int((~good).sum()),
        per_query=per_query,
        camera_pairs=pairs,
        protocol=rule.name,
        metric=metric,
        rerank=rerank,
        skipped_rows=tuple(query_rows[~good].tolist()),
    )


def match_lists(
    pids: np.ndarray, camids: np.ndarray, query_rows: np.ndarray, gallery_rows: np.ndarray
) -> tuple[Ragged, Ragged]:
    """Columns of each query's true matches (same pid, other camera) and of the removed (same pid and camera)."""
    order = np.argsort(pids[gallery_rows], kind="stable")
    ordered = pids[gallery_rows][order]
    wanted = pids[query_rows]
    low, high = ordered.searchsorted(wanted, "left"), ordered.searchsorted(wanted, "right")
    counts = high - low
    owner = np.repeat(np.arange(len(query_rows)), counts)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = order[np.repeat(low, counts) + offset]
    same_camera = camids[gallery_rows][columns] == camids[query_rows][owner]
    # a distractor that is a query by mistake matches nobody: 0 is no person
    is_person = wanted[owner] > 0
    return (
        _ragged(owner, columns, ~same_camera & is_person, len(query_rows)),
        _ragged(owner, columns, same_camera, len(query_rows)),
    )


def _ragged(owner: np.ndarray, columns: np.ndarray, chosen: np.ndarray, queries: int) -> Ragged:
    counts = np.bincount(owner[chosen], minlength=queries)
    return Ragged(np.concatenate([[0], np.cumsum(counts)]), columns[chosen])


def figures(ranks: np.ndarray, matches: Ragged, rule: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AP, rank of the first match and inverse negative penalty of each query; (0, 0, 0) where it has no match."""
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


def _camera_pairs(source, pids, camids, query_rows, gallery_rows, rule, blocks) -> tuple[PairScore, ...]:
    pairs = []
    gallery_cameras, query_cameras = camids[gallery_rows], camids[query_rows]
    for camera in np.unique(gallery_cameras):
        entries = np.flatnonzero(gallery_cameras == camera)
        known = np.isin(pids[query_rows], pids[gallery_rows[entries]]) & (query_cameras != camera)
        queries = np.flatnonzero(known)
        matches, removed = match_lists(pids, camids, query_rows[queries], gallery_rows[entries])
        if not len(matches.columns):
            continue
        ranks, _ = rank_matches(source.only(queries, entries), matches, removed, top=0, **blocks)
        ap, first, _ = figures(ranks, matches, rule.average_precision)
        for other in np.unique(query_cameras[queries]):
            mine = (query_cameras[queries] == other) & (matches.counts > 0)
            if mine.any():
                r1 = 100 * float((first[mine] == 1).mean())
                pairs.append(PairScore(int(other), int(camera), 100 * float(ap[mine].mean()), r1, int(mine.sum())))
    return tuple(sorted(pairs, key=lambda p: (p.query_camera, p.gallery_camera)))


def check_arrays(features, pids, camids, is_query, metric: str) -> tuple[np.ndarray, ...]:
    """The four arrays, checked; the first fault found is the UsageError's sentence."""
    if metric not in METRICS:
        raise UsageError(choices(metric, METRICS, "metric"))
    features, pids, camids, is_query = (np.asarray(a) for a in (features, pids, camids, is_query))
    if features.ndim != 2 or 0 in features.shape:
        raise UsageError(f"features has shape {list(features.shape)}; it must be [N, D], one row a tracklet.")
    if features.dtype.kind != "f":
        raise UsageError(f"features is of type {features.dtype}; it must be float. Use features.astype('float32').")
    for name, array, kinds, wanted in (
        ("pids", pids, "iu", "integers"),
        ("camids", camids, "iu", "integers"),
        ("is_query", is_query, "b", "bool"),
    ):
        if array.shape != features.shape[:1]:
            raise UsageError(
                f"{name} has shape {list(array.shape)}; it must be [{len(features)}], one a row of features."
            )
        if array.dtype.kind not in kinds:
            raise UsageError(f"{name} is of type {array.dtype}; it must hold {wanted}.")
    for start in range(0, len(features), 16384):
        part = features[start : start + 16384]
        bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
        if len(bad):
            raise UsageError(f"features has NaN or infinity in row {start + bad[0]}. Find out which clip gave it.")
        zero = np.flatnonzero(~part.any(axis=1))
        if metric == "cosine" and len(zero):
            raise UsageError(
                f"features is all zero in row {start + zero[0]}; a cosine needs a direction. Use --metric euclidean "
                "if that is meant."
            )
    if not is_query.any():
        raise UsageError("is_query has no true entry; mark at least one row as a query.")
    if (pids[is_query] < 0).any():
        row = np.flatnonzero(is_query & (pids < 0))[0]
        raise UsageError(f"Row {row} is a query with pid {pids[row]}; a pid below 0 is junk and can't be a query.")
    return features, pids.astype(np.int64), camids.astype(np.int64), is_query
