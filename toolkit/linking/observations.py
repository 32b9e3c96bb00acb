"""What linking sees of an event's tracklets: `Observations(features, camera, start, end, weight, must, annotated)`."""

from dataclasses import dataclass

import numpy as np

# Of the mean embedding the share n / (n + COMMON) is subtracted, where n is the number of people seen at once, summed
# over the cameras, less one. The mean of few people is mostly those people; that of many is what all have in common.
COMMON = 4.0
LEAST_WEIGHT = 0.05
STEP = 10_000  # embeddings that are worked on at once


@dataclass(frozen=True)
class Observations:
    """The tracklets of one event.

    Attributes:
        features: [N, D] float, L2-normalised.
        camera: [N] integer.
        start, end: [N] seconds on the event's common clock.
        weight: [N] in 0..1, how much a tracklet counts in the mean of its cluster (its quality).
        must: [N] integer; tracklets with one value >= 0 are one person; -1 where nothing is known.
        annotated: [N] number of the annotated sequence that `must` comes from, -1 for none: two values of `must` in one
            sequence are two people, seen together or not.
        apart: [M, 2] pairs of tracklets that are two people, as a reviewer said; None: nobody said anything.
        settled: [N] bool, tracklets that show a person, as a reviewer said: none of them stays undecided.
    """

    features: np.ndarray
    camera: np.ndarray
    start: np.ndarray
    end: np.ndarray
    weight: np.ndarray
    must: np.ndarray
    annotated: np.ndarray
    apart: np.ndarray | None = None
    settled: np.ndarray | None = None

    def rows(self, which: np.ndarray) -> "Observations":
        """Some of the tracklets, without what a reviewer said of pairs."""
        names = [name for name in self.__dataclass_fields__ if name != "apart" and getattr(self, name) is not None]
        return Observations(**{name: getattr(self, name)[which] for name in names})

    @property
    def mass(self) -> np.ndarray:
        """[N] how much each tracklet's embedding counts: more of a long tracklet, as far as its embedding is better."""
        return np.maximum(self.weight, LEAST_WEIGHT) * np.sqrt(np.clip(self.end - self.start, 0.1, 4.0))


@dataclass(frozen=True)
class Evidence:
    """What else than looks is known of pairs of tracklets, such as where they stand.

    Attributes:
        first, second: [P] numbers of tracklets, first < second, each pair once, in order.
        log_odds: [P] natural logarithm of how much likelier what is known is for one person than for two.
    """

    first: np.ndarray
    second: np.ndarray
    log_odds: np.ndarray


def people_at_once(seen: Observations) -> dict[int, int]:
    """Camera -> most tracklets seen at one moment."""
    most = {}
    for name in np.unique(seen.camera).tolist():
        rows = seen.camera == name
        moments = np.concatenate([seen.start[rows], seen.end[rows]])
        steps = np.concatenate([np.ones(rows.sum()), -np.ones(rows.sum())])
        order = np.lexsort((steps, moments))  # an end before a start at the same moment
        most[name] = max(int(np.cumsum(steps[order]).max()), 1)
    return most


def camera_centred(seen: Observations) -> np.ndarray:
    """[N, D] float32, L2-normalised: the embeddings without what all have in common and what each camera adds to them
    (colour cast, backdrop).

    The mean over a camera's people estimates what it adds, but holds the people too. It's therefore shrunk towards the
    mean of all, as James and Stein (1961) do: by how far the cameras' means lie apart beside how far they would lie
    apart if nothing but a chance choice of people made them differ.
    """
    features = np.asarray(seen.features, np.float32)
    weight = np.maximum(seen.weight, LEAST_WEIGHT)
    people = people_at_once(seen)
    rows = {camera: np.flatnonzero(seen.camera == camera) for camera in people}
    moments = {camera: _moments(features, weight, rows[camera]) for camera in people}
    overall = sum(mass * mean for mass, mean, _ in moments.values()) / weight.sum()
    chance = {c: moments[c][2] / (count - 1) if count > 1 else np.inf for c, count in people.items()}
    apart = sum(((mean - overall) ** 2).sum() for _, mean, _ in moments.values()) / max(len(moments) - 1, 1)
    # With one person in all there is no "what people have in common" to take out.
    crowd = sum(people.values())
    common = (crowd - 1) / (crowd - 1 + COMMON)
    centred = np.empty_like(features)
    for camera in people:
        trust = max(0.0, 1 - chance[camera] / apart) if apart > 0 else 0.0
        offset = (trust * moments[camera][1] + (1 - trust) * common * overall).astype(np.float32)
        for part in _parts(rows[camera]):
            vectors = features[part] - offset
            centred[part] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return centred


def _moments(features: np.ndarray, weight: np.ndarray, rows: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Sum of the weights, weighted mean [D] and variance (summed over D) of some rows, in float64."""
    mass = weight[rows].sum()
    mean = sum(weight[part] @ features[part] for part in _parts(rows)) / mass
    variance = sum(weight[part] @ ((features[part] - mean) ** 2).sum(1) for part in _parts(rows)) / mass
    return float(mass), mean, float(variance)


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    """The rows in pieces that are copied at once."""
    return [rows[k : k + STEP] for k in range(0, len(rows), STEP)]
