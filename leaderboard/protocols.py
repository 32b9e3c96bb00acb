"""The evaluation protocols, each a small named object: the gallery, how AP is taken, how many splits are averaged.

    PROTOCOLS["mars"].queries_in_gallery        # True
    protocol("marz")                            # UsageError that lists the names

Under every one of them an entry with the query's identity *and* camera is removed (the query itself among them), junk
is ignored, distractors stay and count against, and ties are broken by gallery order. Those of same and of changed
clothes also remove what is worn otherwise.
"""

from dataclasses import dataclass, replace
from typing import Literal

from ..datasets import UsageError
from ..datasets.errors import choices

Clothes = Literal["any", "same", "changed"]


@dataclass(frozen=True)
class EvaluationProtocol:
    """One way to turn distances into a score.

    Attributes:
        version: raised whenever a change of rule could change a figure.
        explanation: one sentence for the foot of a table.
        queries_in_gallery: whether the other queries may be retrieved.
        average_precision: "step", (1/R) sum i/r_i, or "trapezoid", which averages it with (i-1)/(r_i-1).
        splits: how many splits a result is the mean of.
        headline: the metrics that papers print for it, in their order.
        zero_is_distractor: whether pid 0 means a distractor where nothing but pids tells the kinds, as in MARS' tables.
            Elsewhere 0 is a person like any other.
        clothes: what a true match wears beside what the query does; the query's other entries of its person are
            removed, and so are those of which an outfit isn't known.
    """

    name: str
    version: int
    explanation: str
    queries_in_gallery: bool = True
    average_precision: Literal["step", "trapezoid"] = "step"
    splits: int = 1
    headline: tuple[str, ...] = ("mAP", "R1")
    zero_is_distractor: bool = False
    clothes: Clothes = "any"


_ILIDS = {"queries_in_gallery": False, "splits": 10, "headline": ("R1", "R5")}


def _with_clothes(name: str, text: str, queries_in_gallery: bool = False) -> tuple[EvaluationProtocol, ...]:
    """A protocol, and those of same and of changed clothes behind it."""
    plain = EvaluationProtocol(name, 1, f"{text}.", queries_in_gallery)
    same, changed = (
        replace(plain, name=f"{name}-{form}", explanation=f"{text}; matches in {worn} alone.", clothes=clothes)
        for form, worn, clothes in (
            ("same-clothes", "the query's outfit", "same"),
            ("clothes-changing", "another outfit", "changed"),
        )
    )
    return plain, same, changed


PROTOCOLS: dict[str, EvaluationProtocol] = {
    p.name: p
    for p in (
        EvaluationProtocol(
            "mars",
            1,
            "MARS as most papers run it: the gallery is every test tracklet but junk, queries included; step AP.",
            zero_is_distractor=True,
        ),
        EvaluationProtocol(
            "mars-matlab",
            1,
            "The MARS authors' script: the same gallery, AP by the trapezoid rule, about two points lower.",
            average_precision="trapezoid",
            zero_is_distractor=True,
        ),
        EvaluationProtocol(
            "mars-torchreid",
            1,
            "MARS as torchreid runs it: queries are left out of the gallery, and a query without a match is skipped.",
            queries_in_gallery=False,
            zero_is_distractor=True,
        ),
        EvaluationProtocol(
            "ilids-vid",
            1,
            "iLIDS-VID, camera 1 against camera 2, mean over the ten official splits, columns 1-150 as test half.",
            **_ILIDS,
        ),
        EvaluationProtocol(
            "ilids-vid-seeded",
            1,
            "iLIDS-VID on ten splits drawn by seed, because the official splits file was absent.",
            **_ILIDS,
        ),
        EvaluationProtocol(
            "ilids-vid-tfclip",
            2,  # 1 ranked whole tracklets over ten splits
            "iLIDS-VID as TF-CLIP's code measures it, to compare with its 94.5 / 99.1 alone: halves of one split "
            "swapped, windows of 8 frames ranked as items of their own, queries in the gallery.",
            headline=("R1", "R5"),
        ),
        EvaluationProtocol(
            "ls-vid",
            2,  # 1 took identity 0 for nobody
            "LS-VID with its own query and gallery lists, same-camera entries of the identity removed; step AP.",
            queries_in_gallery=False,
        ),
        EvaluationProtocol(
            "ls-vid-queries",
            1,
            "LS-VID with the queries in the gallery, to compare with the figures of BiCnet-TKS and TF-CLIP.",
        ),
        EvaluationProtocol(
            "prid-2011",
            1,
            "PRID-2011, camera a against camera b, 178 of its people, mean over the ten splits of Wang et al.",
            **_ILIDS,
        ),
        EvaluationProtocol(
            "prid-2011-seeded",
            1,
            "PRID-2011 on ten halves drawn by seed, because splits_prid2011.json was absent.",
            **_ILIDS,
        ),
        *_with_clothes(
            "mevid",
            "MEVID without its queries in the gallery, and a query without a match skipped; step AP",
        ),
        *_with_clothes(
            "ccvid",
            "CCVID with its own query and gallery lists, a query without a match skipped; step AP",
        ),
        EvaluationProtocol(
            "video-reid",
            2,  # 1 took identity 0 for nobody
            "The MARS rule on any dataset: one query an (identity, camera) with a match elsewhere, queries kept.",
        ),
        *_with_clothes("video-reid", "The MARS rule on any dataset whose tracklets have outfits, queries kept", True)[
            1:
        ],
        EvaluationProtocol(
            "single-camera-views",
            2,  # 1 took identity 0 for nobody
            "Time segments of one camera's take stand in for cameras; never compare it with cross-camera figures.",
        ),
    )
}


def protocol(name: str) -> EvaluationProtocol:
    """The protocol of that name.

    Raises:
        UsageError: no such protocol; the known ones are listed.

    >>> protocol("mars-torchreid").queries_in_gallery
    False
    >>> protocol("ilids-vid").headline
    ('R1', 'R5')
    """
    if name not in PROTOCOLS:
        raise UsageError(choices(name, PROTOCOLS, "protocol"))
    return PROTOCOLS[name]
