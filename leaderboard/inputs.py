"""What `ranking.score` is given, checked once at its border.

    data = checked(features, pids, camids, is_query, None, "cosine", protocol("mars"))
    data.kinds                             # text [N]: person, junk or distractor

Shapes and types are judged apart from values (`check_layout`), so that a file's headers are enough to refuse it.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from ..datasets import DISTRACTOR, Kind, UsageError
from ..datasets.errors import choices
from ..datasets.text import printable
from .protocols import EvaluationProtocol

METRICS = ("cosine", "euclidean")
KINDS = get_args(Kind)
LARGEST = 1e100  # a square of it is a float64 still
WIDEST = 1e12  # of Euclidean lengths; the square of a distance a millionth of 1 / WIDEST is a float32 still
ROWS_AT_ONCE = 16384


def kinds_of(pids: np.ndarray, rule: EvaluationProtocol) -> np.ndarray:
    """What kinds the pids [N] alone tell, as text [N]: below 0 is junk, 0 a distractor where the protocol says so.

    >>> from reidkit.leaderboard.protocols import protocol
    >>> kinds_of(np.array([-1, 0, 7]), protocol("mars")).tolist()
    ['junk', 'distractor', 'person']
    >>> kinds_of(np.array([-1, 0, 7]), protocol("ls-vid")).tolist()
    ['junk', 'person', 'person']
    """
    distractor = (pids == DISTRACTOR) & rule.zero_is_distractor
    return np.where(pids < 0, "junk", np.where(distractor, "distractor", "person"))


def people(pids: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """pids [N] in which whoever is no person has a negative number of its own, and so matches nobody.

    >>> people(np.array([7, 0, 0]), np.array(["person", "distractor", "junk"])).tolist()
    [7, -2, -3]
    """
    return np.where(kinds == "person", pids, -1 - np.arange(len(pids)))


@dataclass(frozen=True)
class Labelled:
    """Features and labels of all test tracklets, checked: float [N, D], int64 [N], int64 [N], bool [N], text [N].

    `outfits` are those that `worn` gives.
    """

    features: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    is_query: np.ndarray
    kinds: np.ndarray
    outfits: np.ndarray


def check_layout(
    features: np.ndarray,
    pids: np.ndarray,
    camids: np.ndarray,
    is_query: np.ndarray,
    kinds: np.ndarray | None = None,
    outfits: np.ndarray | None = None,
) -> None:
    """Whether the arrays' shapes and types fit together; their values are not looked at.

    Raises:
        UsageError: the first that doesn't fit.
    """
    if features.ndim != 2 or 0 in features.shape:
        raise UsageError(f"features has shape {list(features.shape)}; it must be [N, D], one row a tracklet.")
    if features.dtype.kind != "f":
        raise UsageError(f"features is of type {features.dtype}; it must be float. Use features.astype('float32').")
    for name, array, types, wanted in (
        ("pids", pids, "iu", "integers"),
        ("camids", camids, "iu", "integers"),
        ("is_query", is_query, "b", "bool"),
        ("kinds", kinds, "U", f"texts, each of them {', '.join(KINDS)}"),
        ("outfits", outfits, "U", "texts"),
    ):
        if array is None:
            continue
        if array.shape != features.shape[:1]:
            raise UsageError(
                f"{name} has shape {list(array.shape)}; it must be [{len(features)}], one a row of features."
            )
        if array.dtype.kind not in types:
            raise UsageError(f"{name} is of type {array.dtype}; it must hold {wanted}.")


def checked(
    features: np.ndarray, pids: np.ndarray, camids: np.ndarray, is_query: np.ndarray, kinds: np.ndarray | None,
    metric: str, rule: EvaluationProtocol, outfits: np.ndarray | None = None,
) -> Labelled:  # fmt: skip
    """What `score` was given, once it is known to be sound; kinds that are not given are those that the pids tell.

    Raises:
        UsageError: the first fault found.
    """
    if metric not in METRICS:
        raise UsageError(choices(metric, METRICS, "metric"))
    features, pids, camids, is_query = (np.asarray(a) for a in (features, pids, camids, is_query))
    kinds, outfits = (None if a is None else np.asarray(a) for a in (kinds, outfits))
    check_layout(features, pids, camids, is_query, kinds, outfits)
    check_values(features, metric)
    pids, camids = (_int64(array, name) for array, name in ((pids, "pids"), (camids, "camids")))
    if kinds is None:
        kinds = kinds_of(pids, rule)
    for bad, what in (
        (~np.isin(kinds, KINDS), f"has a kind that is none of {', '.join(KINDS)}"),
        ((kinds == "person") & (pids < 0), "is a person with a pid below 0, which means junk"),
        ((kinds == "junk") & is_query, "is junk (a pid below 0), which can't be a query"),
    ):
        if bad.any():
            row = np.flatnonzero(bad)[0]
            raise UsageError(f"Row {row} {what}: its pid is {pids[row]}, its kind '{printable(str(kinds[row]))}'.")
    if not is_query.any():
        raise UsageError("is_query has no true entry; mark at least one row as a query.")
    return Labelled(features, pids, camids, is_query, kinds, worn(outfits, len(pids), rule))


def worn(outfits: np.ndarray | None, count: int, rule: EvaluationProtocol) -> np.ndarray:
    """Names of outfits [N] as numbers; -1 where a name is empty, and everywhere where none are given.

    Raises:
        UsageError: the protocol asks what people wear, and nothing of it is known.

    >>> from reidkit.leaderboard.protocols import protocol
    >>> worn(np.array(["red", "", "blue", "red"]), 4, protocol("ccvid-same-clothes")).tolist()
    [2, -1, 1, 2]
    """
    if rule.clothes != "any" and (outfits is None or not (outfits != "").any()):
        raise UsageError(
            f"The protocol '{rule.name}' compares what people wear, and no outfit is known. Give a text array outfits, "
            "one a row of features, or a dataset whose tracklets have outfits."
        )
    if outfits is None:
        return np.full(count, -1)
    return np.where(outfits == "", -1, np.unique(outfits, return_inverse=True)[1])


def _int64(values: np.ndarray, name: str) -> np.ndarray:
    if values.dtype.kind == "u" and len(values) and values.max() > np.iinfo(np.int64).max:
        raise UsageError(f"{name} has {values.max()}; a number must lie below 2**63.")
    return values.astype(np.int64)


def check_magnitudes(features: np.ndarray, metric: str) -> np.ndarray:
    """The largest magnitude of each row of features [N, D], once it is known that distances can be taken.

    Raises:
        UsageError: a row that is not finite, too large or too small for its squares, or under cosine all zero.
    """
    sizes = np.empty(len(features))
    for start in range(0, len(features), ROWS_AT_ONCE):
        part = features[start : start + ROWS_AT_ONCE]
        bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
        if len(bad):
            raise UsageError(f"features has NaN or infinity in row {start + bad[0]}. Find out which clip gave it.")
        with np.errstate(over="ignore"):  # of a type longer than float64
            sizes[start : start + ROWS_AT_ONCE] = np.abs(part).max(axis=1)
    zero = np.flatnonzero(sizes == 0)
    if metric == "cosine" and len(zero):
        raise UsageError(
            f"features is all zero in row {zero[0]}; a cosine needs a direction. Use the metric euclidean if that is "
            "meant."
        )
    odd = np.flatnonzero((sizes > LARGEST) | (sizes < 1 / LARGEST) & (sizes > 0))
    if len(odd):
        raise UsageError(
            f"features has a largest magnitude of {sizes[odd[0]]:.3g} in row {odd[0]}, of which no distance can be "
            f"taken; it must lie between {1 / LARGEST:g} and {LARGEST:g}. Scale the features."
        )
    return sizes


def check_values(features: np.ndarray, metric: str) -> None:
    """Whether features [N, D] can be ranked all in one.

    Raises:
        UsageError: as `check_magnitudes`; or a Euclidean feature so long that it hides the others.
    """
    sizes = check_magnitudes(features, metric)
    positive = sizes[sizes > 0]
    if metric == "euclidean" and len(positive) and sizes.max() > WIDEST * np.median(positive):
        row = int(sizes.argmax())
        raise UsageError(
            f"features has a magnitude of {sizes[row]:.3g} in row {row}, over {WIDEST:g} times that of most rows, "
            "beside which their own distances vanish. Find out which clip gave it, or use the metric cosine."
        )
