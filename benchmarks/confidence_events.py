"""Simulated events for fitting and checking confidences: crops with the real embedder, tracklets cut in many ways.

    for one in made_events("sports", 70, work, each=8):     # rendered and embedded once, then read from `work`
        one.found.grouping, one.right, one.pure, one.whole

An event takes some of the people, some of the cameras and a stretch of the time; true tracks are cut at random lengths,
some parts are lost, some switch to another person, short ones show two people at once or nobody, and the embedding is
weakened: projected to few numbers, or blurred.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidkit.datasets.files import atomic_path
from reidkit.simulator.event import make_event
from reidkit.toolkit.crops import FULL_HEIGHT, HALF_SHARP, cut, encode, occlusion, sharpness, truncation
from reidkit.toolkit.embed import load_embedder, normalise, tracklet_embedding
from reidkit.toolkit.linking import LinkSettings, Observations
from reidkit.toolkit.linking.link import Grouped, group

SIZE, FPS, EVERY = (640, 360), 15, 4  # pictures; frames a second of the performance, and each how many-th is drawn
PEOPLE, CAMERAS, SECONDS = 12, 4, 20.0
LEAST_HEIGHT = 48.0
KINDS = ("sports", "dance")
STRENGTHS = (0, 24, 12, 8, 6)  # numbers that the embedding is projected to; 0: left as it is
ALL = 0.95  # share of the crops that counts as all of them
NOBODY = -1
CLUTTER = 0.4  # of short tracklets that show two people or nobody, the most for a tracklet of somebody
VISIBLE = 0.3  # people of whom less is seen have no box


@dataclass(frozen=True)
class Crops:
    """All boxes of one filmed event: person, camera [n] integer; time [n] seconds; features [n, D]; quality [n]."""

    person: np.ndarray
    camera: np.ndarray
    time: np.ndarray
    features: np.ndarray
    quality: np.ndarray


def filmed(kind: str, seed: int, work: Path) -> Crops:
    """The boxes of one simulated event with their embeddings."""
    stored = work / f"{kind}-{seed}.npz"
    if not stored.is_file():
        work.mkdir(parents=True, exist_ok=True)
        with atomic_path(stored) as temporary, open(temporary, "wb") as file:
            np.savez(file, **_film(kind, seed))
    with np.load(stored) as found:
        return Crops(*(found[name] for name in Crops.__dataclass_fields__))


def _film(kind: str, seed: int) -> dict[str, np.ndarray]:
    event = make_event(kind, 0, PEOPLE, CAMERAS, SECONDS, FPS, SIZE, seed)
    embedder = load_embedder("simulated", threads=1)
    chosen = list(range(0, len(event), EVERY))
    rng = np.random.default_rng([seed, 5])
    rows, images = [], []
    for frame, (pictures, truths) in zip(chosen, event.frames(chosen), strict=True):
        for camera, (picture, truth) in enumerate(zip(pictures, truths, strict=True)):
            truth = [one for one in truth if one[2] >= VISIBLE]
            corners = np.array([(x, y, x + w, y + h) for _, (x, y, w, h), _ in truth]).reshape(-1, 4)
            # A detector's box is off by some percent of its sides.
            sides = np.tile(corners[:, 2:] - corners[:, :2], 2)
            boxes = corners + 0.03 * sides * rng.normal(size=corners.shape)
            hidden, outside = occlusion(boxes), truncation(boxes, *SIZE)
            for k, (person, _, _) in enumerate(truth):
                height = boxes[k, 3] - boxes[k, 1]
                crop = cut(picture[:, :, ::-1], boxes[k]) if height >= LEAST_HEIGHT else None
                if crop is None:
                    continue
                sharp = sharpness(np.ascontiguousarray(crop))
                good = sharp / (sharp + HALF_SHARP) * min(height / FULL_HEIGHT, 1) * (1 - hidden[k]) * (1 - outside[k])
                rows.append((person, camera, frame / FPS, good**0.25))
                images.append(_compressed(crop))
    person, camera, time, quality = (np.array(column) for column in zip(*rows, strict=True))
    features = embedder.embed(images)
    return {"person": person, "camera": camera, "time": time, "features": features, "quality": quality}


def _compressed(crop: np.ndarray) -> np.ndarray:
    import cv2

    data = np.frombuffer(encode(np.ascontiguousarray(crop), 92), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@dataclass(frozen=True)
class Linked:
    """A made event as the builder links it, and what is right in it.

    Attributes:
        strength: of STRENGTHS.
        right: [m] of the units in a cluster: its cluster shows mostly the person whom it shows.
        person: [K] whom each cluster shows mostly. pure, whole: [K].
    """

    strength: int
    found: Grouped
    right: np.ndarray
    person: np.ndarray
    pure: np.ndarray
    whole: np.ndarray


def made_events(kind: str, seed: int, work: Path, each: int) -> list[Linked]:
    """`each` events of one set of crops for every strength of the embedder."""
    crops = filmed(kind, seed, work)
    found = []
    for strength in STRENGTHS:
        for number in range(each):
            rng = np.random.default_rng([seed, KINDS.index(kind), strength, number])
            found.append(linked(*event(crops, strength, rng), strength))
    return found


def linked(seen: Observations, who: np.ndarray, crops: np.ndarray, strength: int) -> Linked:
    """The event, linked. who: [N] whom each tracklet mostly shows, NOBODY for some. crops: [N] how many it has."""
    found = group(seen, LinkSettings())
    cluster = found.cluster
    inside = cluster >= 0
    table = np.zeros((cluster.max(initial=-1) + 1, who.max() + 2))  # the last column is nobody's
    np.add.at(table, (cluster[inside], who[inside]), crops[inside])
    most = table[:, :-1].max(1, initial=0)
    person = np.where(most > 0, table[:, :-1].argmax(1), NOBODY)
    somebody = who != NOBODY
    total = np.bincount(who[somebody], crops[somebody])
    return Linked(
        strength,
        found,
        right=(person[cluster[inside]] == who[inside]) & somebody[inside],
        person=person,
        pure=most >= np.maximum(ALL * table.sum(1), 1),
        whole=most >= np.maximum(ALL * total[person], 1),
    )


def event(crops: Crops, numbers: int, rng: np.random.Generator) -> tuple[Observations, np.ndarray, np.ndarray]:
    """An event of some of the crops: what linking sees, whom each tracklet mostly shows, and how many crops it has.

    Args:
        numbers: of STRENGTHS.
    """
    people = rng.permutation(np.unique(crops.person))[: rng.integers(4, PEOPLE + 1)]
    cameras = rng.permutation(CAMERAS)[: rng.integers(2, CAMERAS + 1)]
    seconds = rng.uniform(8, SECONDS)
    first = rng.uniform(0, SECONDS - seconds)
    typical, lost, switched = np.exp(rng.uniform(np.log(0.8), np.log(8.0))), rng.uniform(0, 0.15), rng.uniform(0, 0.05)
    here = np.isin(crops.person, people) & np.isin(crops.camera, cameras)
    here &= (crops.time >= first) & (crops.time <= first + seconds)
    features = crops.features
    if numbers:
        features = normalise(features @ rng.normal(size=(features.shape[1], numbers)))
    if rng.random() < 0.3:
        noise = rng.uniform(0.3, 1.5) / np.sqrt(features.shape[1])
        features = normalise(features + noise * rng.normal(size=features.shape))
    rows = []
    for person in people:
        there, seen_by = _presence(first, seconds, cameras, rng)
        for camera in seen_by:
            mine = here & (crops.person == person) & (crops.camera == camera)
            mine = np.flatnonzero(mine & (crops.time >= there[0]) & (crops.time <= there[1]))
            mine = mine[np.argsort(crops.time[mine], kind="stable")]
            pending = mine
            while len(pending):
                length = max(0.3, rng.exponential(typical))
                start = crops.time[pending[0]]
                gone = np.flatnonzero(np.diff(crops.time[pending]) > 1.0)  # out of sight: a tracker starts anew
                stop = min(np.searchsorted(crops.time[pending], start + length), gone[0] + 1 if len(gone) else 10**9)
                part, pending = pending[: max(stop, 1)], pending[max(stop, 1) :]
                if rng.random() >= lost and len(part) >= 2:
                    rows.append((person, camera, part))
    order = sorted(range(len(rows)), key=lambda i: (rows[i][1], crops.time[rows[i][2][0]], rows[i][0]))
    rows = [rows[i] for i in order]
    for i in np.flatnonzero(rng.random(len(rows)) < switched):
        _switch(rows, int(i), crops.time)
    rows = [(person, camera, part) for person, camera, part in rows if len(part) >= 2]
    means = [tracklet_embedding(features[p], crops.quality[p]) for _, _, p in rows]
    who = [int(np.bincount(crops.person[p]).argmax()) for _, _, p in rows]
    share = rng.uniform(0, CLUTTER) * (rng.random() < 0.7)
    strays = [_stray(rows, features, crops, rng) for _ in range(int(share * len(rows)))]
    quality = [float(crops.quality[p].mean()) for _, _, p in rows] + [0.6 * float(q) for *_, q in strays]
    rows += [(shows, camera, part) for shows, camera, part, _, _ in strays]
    unknown = np.full(len(rows), -1)
    seen = Observations(
        features=np.stack([*means, *(mean for *_, mean, _ in strays)]),
        camera=np.array([camera for _, camera, _ in rows]),
        start=np.array([crops.time[p[0]] for _, _, p in rows]),
        end=np.array([crops.time[p[-1]] for _, _, p in rows]),
        weight=np.array(quality),
        must=unknown,
        annotated=unknown,
    )
    who += [shows for shows, *_ in strays]
    return seen, np.array(who), np.array([len(p) for _, _, p in rows])


def _stray(
    rows: list[tuple[int, int, np.ndarray]], features: np.ndarray, crops: Crops, rng: np.random.Generator
) -> tuple[int, int, np.ndarray, np.ndarray, float]:
    """A short tracklet beside others, of a person half hidden by another or of nobody: whom it shows, its camera, the
    crops at whose times it lies, its embedding and its quality."""
    person, camera, part = rows[rng.integers(len(rows))]
    start = rng.integers(len(part))
    part = part[start : start + rng.integers(2, 8)]
    if len(part) < 2:
        part = rows[0][2][:2]
        person, camera, _ = rows[0]
    there = crops.camera == camera
    other = np.flatnonzero(there & (crops.person != person))
    hidden = other[np.argsort(np.abs(crops.time[other] - crops.time[part[0]]), kind="stable")[: len(part)]]
    blur = rng.uniform(0.2, 1.0) / np.sqrt(features.shape[1]) * rng.normal(size=features.shape[1])
    if rng.random() < 0.25 or not len(hidden):
        mean, shows = features[there].mean(0), NOBODY
    else:
        mixed = rng.uniform(0.2, 0.8)
        mean = mixed * features[part].mean(0) + (1 - mixed) * features[hidden].mean(0)
        shows = NOBODY if rng.random() < 0.5 else person if mixed > 0.5 else int(crops.person[hidden[0]])
    return shows, camera, part, normalise((mean + blur)[None])[0], crops.quality[part].mean()


def _presence(
    first: float, seconds: float, cameras: np.ndarray, rng: np.random.Generator
) -> tuple[tuple[float, float], np.ndarray]:
    """When a person is there, and which cameras see him: many all the time and all of them, others less."""
    if rng.random() < 0.5:
        return (first, first + seconds), cameras
    span = rng.uniform(0.2, 1.0) * seconds
    start = first + rng.uniform(0, seconds - span)
    return (start, start + span), rng.permutation(cameras)[: rng.integers(1, len(cameras) + 1)]


def _switch(rows: list[tuple[int, int, np.ndarray]], i: int, time: np.ndarray) -> None:
    """Lets the tracker mistake tracklet i and one beside it for each other from some moment on."""
    person, camera, part = rows[i]
    beside = [
        j for j, (other, where, theirs) in enumerate(rows)
        if where == camera and other != person and time[theirs[0]] < time[part[-1]] and time[theirs[-1]] > time[part[0]]
    ]  # fmt: skip
    if not beside:
        return
    other, _, theirs = rows[beside[0]]
    moment = (max(time[part[0]], time[theirs[0]]) + min(time[part[-1]], time[theirs[-1]])) / 2
    early, late = part[time[part] <= moment], part[time[part] > moment]
    their_early, their_late = theirs[time[theirs] <= moment], theirs[time[theirs] > moment]
    rows[i] = (person, camera, np.concatenate([early, their_late]))
    rows[beside[0]] = (other, camera, np.concatenate([their_early, late]))
