"""A company on a stage: one choreography, formations that change, each dancer with an own timing and size of movement.

    piece = dance(people, seconds=12, fps=15, rng=rng)

Dancers face the audience (negative y). A phrase is eight beats: six on the spot, two to walk to the next formation.
"""

import numpy as np

from .gait import crouch, jump_curves, locomotion, mix, smooth
from .people import Person
from .skeleton import INDEX
from .sports import RATE, Performance

HALF = (4.6, 3.0)  # half extents of the stage that is danced on, metres
AUDIENCE = -np.pi / 2
# What the body does on the beat, as channels (see `skeleton.LIMBS`); reached within half a beat, held, then left.
MOVES: dict[str, dict[str, float]] = {
    "arms up": {"arm": 2.85, "out": -0.18, "elbow": 0.15, "bend": -0.10, "nod": -0.3},
    "arms wide": {"arm": 0.1, "out": 1.5, "elbow": 0.1, "l_abduct": 0.28, "r_abduct": 0.28},
    "victory": {"arm": 0.2, "out": 2.45, "elbow": 0.12, "bend": -0.12, "nod": -0.2},
    "hands on hips": {"arm": -0.35, "out": 0.75, "elbow": 1.75, "turn": -0.25, "spin": 0.9},
    "left reach": {
        "l_arm": 0.2,
        "l_out": 2.3,
        "l_elbow": 0.1,
        "r_out": 0.9,
        "r_elbow": 0.5,
        "side": -0.28,
        "l_abduct": 0.35,
    },
    "right reach": {
        "r_arm": 0.2,
        "r_out": 2.3,
        "r_elbow": 0.1,
        "l_out": 0.9,
        "l_elbow": 0.5,
        "side": 0.28,
        "r_abduct": 0.35,
    },
    "left kick": {"l_thigh": 1.35, "l_knee": 0.15, "l_ankle": -0.6, "out": 1.1, "arm": 0.2, "bend": -0.08},
    "right kick": {"r_thigh": 1.35, "r_knee": 0.15, "r_ankle": -0.6, "out": 1.1, "arm": 0.2, "bend": -0.08},
    "passe": {
        "l_thigh": 1.2,
        "l_abduct": 0.75,
        "l_knee": 2.0,
        "l_ankle": -0.5,
        "arm": 2.5,
        "out": -0.30,
        "elbow": 0.45,
    },
    "arabesque": {
        "r_thigh": -0.95,
        "r_knee": 0.1,
        "r_ankle": -0.6,
        "lean": 0.35,
        "bend": -0.15,
        "l_arm": 1.9,
        "r_out": 1.4,
        "l_elbow": 0.1,
    },
    "lunge": {
        "l_thigh": 1.15,
        "l_knee": 1.2,
        "r_thigh": -0.35,
        "r_knee": 0.25,
        "l_ankle": 0.1,
        "arm": 1.5,
        "out": 0.3,
        "elbow": 0.15,
    },
    "contraction": {
        "bend": 0.55,
        "lean": 0.25,
        "nod": 0.35,
        "arm": 0.9,
        "elbow": 1.6,
        "turn": 0.4,
        "thigh": 0.7,
        "knee": 0.9,
        "ankle": 0.25,
    },
    "wide plie": {"thigh": 0.75, "abduct": 0.55, "knee": 1.15, "ankle": 0.2, "out": 1.2, "elbow": 0.4, "arm": 0.4},
    "side look": {"look": 0.8, "twist": 0.35, "l_out": 0.4, "r_arm": 1.5, "r_elbow": 0.2, "r_turn": 0.2},
}


def formations(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Places [count, 2] in metres of several formations, in random order."""
    k = np.arange(count)
    wide = np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
    rows = np.stack(
        [(((k // 2) + 0.5) / max(1, (count + 1) // 2) * 2 - 1) * 0.9 + (k % 2) * 0.12, (k % 2) * 1.1 - 0.5], 1
    )
    around = 2 * np.pi * k / count
    ring = np.stack([np.cos(around) * 0.72, np.sin(around) * 0.85], 1)
    vee = np.stack([wide * 0.9, np.abs(wide) * 1.5 - 0.75], 1)
    diagonal = np.stack([wide * 0.85, wide * 0.8], 1)
    line = np.stack([wide * 0.98, 0.12 * (-1.0) ** k], 1)
    columns = np.stack([np.where(k % 2, 0.5, -0.5), ((k // 2) / max(1, (count - 1) // 2) * 2 - 1) * 0.85], 1)
    places = [line, rows, vee, ring, diagonal, columns]
    return [places[i] * np.array([HALF[0] * 0.9, HALF[1] * 0.85]) for i in rng.permutation(len(places))]


def assign(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """`there`, reordered so that the dancers walk least in all.

    >>> assign(np.array([[0.0, 0.0], [5.0, 5.0]]), np.array([[5.0, 4.0], [1.0, 0.0]])).tolist()
    [[1.0, 0.0], [5.0, 4.0]]
    """
    from scipy.optimize import linear_sum_assignment

    cost = ((here[:, None] - there[None]) ** 2).sum(-1)
    return there[linear_sum_assignment(cost)[1]]


def dance(people: list[Person], seconds: float, fps: float, rng: np.random.Generator) -> Performance:
    """One choreography from the seed; dancers are up to 0.2 s early or late and move more or less largely."""
    count, steps = len(people), int(np.ceil(seconds * RATE)) + 2
    clock = np.arange(steps) / RATE
    beat = 60.0 / float(rng.uniform(104, 126))
    phrase = 8 * beat
    phrases = int(np.ceil(seconds / phrase)) + 2
    shapes = formations(count, rng)
    late = rng.normal(0, 0.085, count).clip(-0.2, 0.2)
    size = rng.uniform(0.82, 1.08, count)
    place = [shapes[0][rng.permutation(count)]]
    for k in range(1, phrases + 1):
        place.append(assign(place[-1], shapes[k % len(shapes)]))
    track = np.zeros((steps, count, 2))
    walking = np.zeros((steps, count))
    for n in range(count):
        local = np.clip(clock - late[n] + 0.2, 0, None)
        index = np.minimum((local // phrase).astype(int), phrases - 1)
        u = np.clip((local - index * phrase - 5.4 * beat) / (2.6 * beat), 0, 1)
        ease = u * u * (3 - 2 * u)
        spots = np.array([p[n] for p in place])
        track[:, n] = spots[index] * (1 - ease[:, None]) + spots[index + 1] * ease[:, None]
        walking[:, n] = np.sin(np.pi * u) ** 0.5 * (np.linalg.norm(spots[index + 1] - spots[index], axis=1) > 0.6)
    # two dancers on one path step round each other
    for _ in range(2):
        gap = track[:, :, None] - track[:, None]
        far = np.linalg.norm(gap, axis=-1) + np.eye(count) * 9
        track = track + (gap / far[..., None] * np.clip(0.75 - far, 0, None)[..., None] * 0.5).sum(2)
    track = smooth(track, 7.0)
    speed = np.gradient(track, 1 / RATE, axis=0)
    pace = np.linalg.norm(speed, axis=-1)
    going = np.clip((pace - 0.5) / 0.8, 0, 1)[..., None]
    facing = going * speed / np.maximum(pace, 0.3)[..., None] + (1.1 - going) * np.array([0.0, -1.0])
    facing = smooth(facing, 9.0)
    heading = np.unwrap(np.arctan2(facing[..., 1], facing[..., 0]), axis=0)
    # start from the audience's side of the circle, so that turns add to one direction
    heading += 2 * np.pi * np.round((AUDIENCE - heading[:1]) / (2 * np.pi))

    names = list(MOVES)
    script: list[tuple[float, str]] = []  # (time, move)
    turns, hops = [], []
    for k in range(phrases):
        start = k * phrase - 0.2
        order = rng.permutation(len(names))[:5]
        for b, m in enumerate(order):
            script.append((start + (b + 0.25) * beat, names[m]))
        if k % 2 == 1:
            turns.append((start + 5.0 * beat, 1.0 if rng.random() < 0.5 else -1.0))
        else:
            hops.append(start + 2.3 * beat if k else start + 4.4 * beat)
    for n in range(count):
        for start, way in turns:
            u = np.clip((clock - late[n] - start) / (1.5 * beat), 0, 1)
            heading[:, n] += way * 2 * np.pi * (u * u * (3 - 2 * u))
    pose = locomotion(track, heading, people, RATE)
    for n in range(count):
        p, local = pose[:, n], clock - late[n]
        calm = 1 - np.clip(walking[:, n] * 1.3, 0, 1)
        # a step on every beat
        sway = np.sin(np.pi * local / beat)
        crouch(p, (0.09 + 0.07 * np.abs(sway)) * calm)
        p[:, INDEX["roll"]] += 0.07 * sway * calm
        p[:, INDEX["side"]] -= 0.06 * sway * calm
        for start, move in script:
            u = (local - start) / beat
            amount = np.clip(u / 0.38, 0, 1) * np.clip((1.06 - u) / 0.38, 0, 1)
            amount = amount * amount * (3 - 2 * amount) * calm
            wanted = {c: (a * size[n] if abs(a) > 0.3 else a) for c, a in MOVES[move].items()}
            mix(p, amount.astype(np.float32), **wanted)
        for start in hops:
            rise, bent, air = jump_curves(local, start, 0.50, 0.30 * size[n])
            crouch(p, 0.5 * bent * calm)
            mix(p, air * calm, out=1.7 * size[n], arm=0.3, elbow=0.15, abduct=0.42, thigh=0.25, knee=0.2, ankle=-0.5)
            p[:, INDEX["lift"]] = np.maximum(p[:, INDEX["lift"]], rise * np.clip(calm * 1.5, 0, 1))
        for start, _ in turns:
            u = (local - start) / (1.5 * beat)
            amount = np.clip(u / 0.3, 0, 1) * np.clip((1.1 - u) / 0.3, 0, 1)
            mix(p, amount * 0.85, out=1.05, arm=0.6, elbow=0.8, l_knee=0.1)
    times = np.arange(round(seconds * fps)) / fps
    at = np.clip(times * RATE, 0, steps - 1)
    low, part = at.astype(int), (at % 1)[:, None, None]
    sampled = pose[low] * (1 - part) + pose[np.minimum(low + 1, steps - 1)] * part
    return Performance(sampled.astype(np.float32), None)
