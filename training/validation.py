"""Choosing the epoch without the test set: by training identities that are held out.

    held = hold_out(dataset, recipe)            # None where recipe.validate is 0
    held.training                               # the dataset without them: what is trained on
    held.validation                             # them alone, as a test set under the dataset's protocol

`reidkit run … --validate 0.1`. The best epoch is the one of the highest mAP, of equal ones that of the highest R1, and
of these the first.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ..datasets import ReidDataset, Tracklet, UsageError
from ..datasets.ilids import in_windows
from ..datasets.sides import validation_identities
from ..leaderboard import protocols
from .recipe import Recipe
from .run_folder import Best

METRICS = ("mAP", "R1")
FEWEST = 2  # identities that two cameras saw, without which there is nobody to be mistaken for
PARTS = 10  # of a training, after each of which it is judged where nothing else is said


@dataclass(frozen=True)
class HeldOut:
    """The two parts of a training set.

    Attributes:
        training: the dataset, its training set without the identities.
        validation: their tracklets as queries and gallery; without a training set.
        identities: sorted.
        drawn_by: "seed", or "dataset" where its manifest says who validates.
    """

    training: ReidDataset
    validation: ReidDataset
    identities: tuple[int, ...]
    drawn_by: str


def hold_out(dataset: ReidDataset, recipe: Recipe) -> HeldOut | None:
    """Holds out whole identities as `recipe.validate` says; None for a share of 0.

    The same dataset and seed give the same identities. A dataset of ours whose manifest names a share for validation is
    taken at its word, with the share and the seed that stand there.

    Raises:
        UsageError: fewer than two of them were seen by two cameras, or fewer than two are left to train on.
    """
    if not recipe.validate:
        return None
    division = dataset.manifest.split if dataset.manifest else None
    if division and division.validation:
        share, seed, drawn_by = division.validation, division.seed or 0, "dataset"
    else:
        share, seed, drawn_by = recipe.validate, recipe.seed, "seed"
    chosen = validation_identities(dataset.train, share, seed)
    held = tuple(t for t in dataset.train if t.identity in chosen)
    rest = tuple(t for t in dataset.train if t.identity not in chosen)
    matched = _seen_twice(held)
    left = len(dataset.identities) - len(chosen)
    if matched < FEWEST or left < FEWEST:
        possible = _seen_twice(dataset.train)
        raise UsageError(
            f"A share of {share:g} of the {len(dataset.identities)} training identities of '{dataset.name}' holds out "
            f"{len(chosen)}, {matched} of them seen by two cameras, and leaves {left}; at least {FEWEST} of both are "
            f"needed, and {possible} were seen by two cameras. {_advice(possible, len(chosen), left, drawn_by)}"
        )
    return HeldOut(
        training=dataclasses.replace(dataset, train=rest),
        validation=as_test_set(dataset, held),
        identities=tuple(sorted(chosen)),
        drawn_by=drawn_by,
    )


def _advice(possible: int, chosen: int, left: int, drawn_by: str) -> str:
    if possible < FEWEST or chosen + left < 2 * FEWEST:
        return "Train on it without --validate."
    if drawn_by == "dataset":
        return "Divide the dataset with another share for validation, or train without --validate."
    return f"Give {'a smaller' if left < FEWEST else 'a larger'} share, or train without --validate."


def as_test_set(dataset: ReidDataset, tracklets: tuple[Tracklet, ...]) -> ReidDataset:
    """Training tracklets as the queries and the gallery of the dataset's protocol.

    Where the protocol keeps queries in the gallery, as MARS does, the first tracklet of each identity and camera is a
    query, if another camera saw the identity too. Where it doesn't, a camera's only tracklet of an identity stays in
    the gallery, so that others find it; of an identity with one in each, as all of iLIDS-VID, the first camera's is the
    query.
    """
    apart = dataset.protocol == "ilids-vid-tfclip"  # whose queries come into the gallery as windows
    stay = protocols.protocol(dataset.protocol).queries_in_gallery and not apart
    groups: dict[tuple[int, int], dict[int, list[Tracklet]]] = defaultdict(lambda: defaultdict(list))
    matched = _matched(tracklets)
    for tracklet in tracklets:
        if tracklet.id in matched:
            groups[tracklet.identity, tracklet.event][tracklet.camera].append(tracklet)
    queries: set[str] = set()
    for by_camera in groups.values():
        asked = [camera for camera, own in by_camera.items() if stay or len(own) > 1] or [min(by_camera)]
        queries |= {by_camera[camera][0].id for camera in asked}
    made = dataclasses.replace(
        dataset,
        train=(),
        query=tuple(t for t in tracklets if t.id in queries),
        gallery=tracklets if stay else tuple(t for t in tracklets if t.id not in queries),
    )
    return in_windows(made) if apart else made


def _matched(tracklets: tuple[Tracklet, ...]) -> set[str]:
    """Ids of the tracklets whose identity was seen by two cameras in one event."""
    cameras: dict[tuple[int, int], set[int]] = defaultdict(set)
    for t in tracklets:
        cameras[t.identity, t.event].add(t.camera)
    return {t.id for t in tracklets if len(cameras[t.identity, t.event]) > 1}


def _seen_twice(tracklets: tuple[Tracklet, ...]) -> int:
    """How many identities were seen by two cameras in one event."""
    matched = _matched(tracklets)
    return len({t.identity for t in tracklets if t.id in matched})


def every(recipe: Recipe) -> int:
    """Epochs from one judgement to the next."""
    return recipe.validate_every or max(recipe.epochs // PARTS, 1)


def due(epoch: int, recipe: Recipe) -> bool:
    """Whether the model is judged after epoch `epoch`, counted from 1; the last one always is."""
    return bool(recipe.validate) and (epoch % every(recipe) == 0 or epoch == recipe.epochs)


def better(best: Best | None, epoch: int, metrics: Mapping[str, float]) -> Best | None:
    """The best epoch so far, `epoch` and its figures included."""
    if best and [metrics[name] for name in METRICS] <= [best.metrics[name] for name in METRICS]:
        return best
    return Best(epoch, f"epoch-{epoch:04d}.safetensors", dict(metrics))
