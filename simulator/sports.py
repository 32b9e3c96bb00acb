"""A ball game of two teams: positions, headings, poses, and the ball.

    play = play_match(people, seconds=12, fps=15, rng=rng)

Movement is integrated at 50 Hz and read off at the frame times, so that the frame rate does not change the game.
"""

from dataclasses import dataclass

import numpy as np

from .gait import crouch, jump_curves, locomotion, mix, smooth
from .people import Person
from .skeleton import INDEX

RATE = 50.0
HALF = (6.6, 4.2)  # half extents of the part of the court that is played on, metres
GOAL = 5.6


@dataclass(frozen=True)
class Performance:
    """What happens on the floor: poses [T, N, C]; the ball's centre [T, 3] in metres, or None."""

    pose: np.ndarray
    ball: np.ndarray | None


def play_match(people: list[Person], seconds: float, fps: float, rng: np.random.Generator) -> Performance:
    """Two teams (by `Person.team`) that attack in turn; passes, shots, blocks, marking."""
    steps, count = int(np.ceil(seconds * RATE)) + 2, len(people)
    team = np.array([0 if p.team == "home" else 1 for p in people])
    mates = [np.flatnonzero(team == k) for k in range(2)]
    position = np.stack([rng.uniform(-HALF[0], HALF[0], count), rng.uniform(-HALF[1], HALF[1], count)], 1) * 0.75
    velocity = np.zeros((count, 2))
    top = rng.uniform(4.2, 6.0, count)
    role = np.stack([rng.uniform(-0.9, 0.7, count), rng.uniform(-0.9, 0.9, count)], 1)
    attack, holder = 0, int(mates[0][0])
    target_of_pass, pass_from, pass_start, pass_time = None, None, 0.0, 0.5
    next_pass, next_shot, next_role = rng.uniform(0.7, 1.5), rng.uniform(2.5, 4.0), 0.0
    jumps: list[tuple[int, float, float, str]] = []
    tracks, ball_track = np.zeros((steps, count, 2)), np.zeros((steps, 3))
    holding = np.zeros((steps, count))
    for step in range(steps):
        now = step / RATE
        side = 1.0 if attack == 0 else -1.0
        if now >= next_role:
            role = 0.5 * role + 0.5 * np.stack([rng.uniform(-1, 0.8, count), rng.uniform(-1, 1, count)], 1)
            next_role = now + 1.6
        if target_of_pass is not None:
            u = min(1.0, (now - pass_start) / pass_time)
            end = np.array([*(position[target_of_pass] if target_of_pass >= 0 else (side * GOAL, 0)), 1.25])
            if target_of_pass < 0:
                end[2] = 2.6
            ball = (
                pass_from + (end - pass_from) * u + np.array([0, 0, (1.6 if target_of_pass < 0 else 0.7) * u * (1 - u)])
            )
            if u >= 1:
                if target_of_pass < 0:  # a shot: the other side takes over
                    attack = 1 - attack if len(mates[1 - attack]) else attack
                    near = np.linalg.norm(position[mates[attack]] - end[:2], axis=1)
                    holder = int(mates[attack][near.argmin()])
                    next_shot = now + rng.uniform(3.0, 4.6)
                else:
                    holder = target_of_pass
                target_of_pass = None
                next_pass = now + rng.uniform(0.6, 1.5)
        else:
            bounce = abs(np.sin(now * np.pi * 1.9))
            ball = np.array([*position[holder], 0.16 + 0.72 * bounce])
            holding[step, holder] = 1
            if now >= next_shot:
                jumps.append((holder, now, 0.52, "shot"))
                near = [n for n in mates[1 - attack] if np.linalg.norm(position[n] - position[holder]) < 2.6]
                jumps.extend((int(n), now + 0.08 + 0.05 * k, 0.50, "block") for k, n in enumerate(near[:2]))
                target_of_pass, pass_from, pass_start, pass_time = -1, ball * [1, 1, 0] + [0, 0, 2.5], now + 0.22, 0.8
                next_shot = np.inf
            elif now >= next_pass and len(mates[attack]) > 1:
                others = [int(n) for n in mates[attack] if n != holder]
                target_of_pass = others[rng.integers(len(others))]
                pass_from, pass_start = ball * [1, 1, 0] + [0, 0, 1.25], now
                pass_time = 0.25 + 0.055 * np.linalg.norm(position[target_of_pass] - position[holder])
        ball_track[step] = ball
        goal = np.array([side * GOAL, 0.0])
        wanted = np.zeros((count, 2))
        for n in range(count):
            if team[n] == attack:
                if n == holder and target_of_pass is None:
                    wanted[n] = position[n] + (goal - position[n]) * 0.45 + np.array([0, 1.6 * np.sin(now * 1.3 + n)])
                else:
                    place = np.array([side * 1.0 + role[n, 0] * 5.0, role[n, 1] * HALF[1] * 1.05])
                    wanted[n] = 0.88 * place + 0.12 * ball[:2]
            else:
                order = int(np.flatnonzero(mates[team[n]] == n)[0])
                opponents = mates[attack]
                marked = position[opponents[order % len(opponents)]] if len(opponents) else ball[:2]
                away = goal - marked
                wanted[n] = marked + 1.3 * away / max(1.0, np.linalg.norm(away)) + 0.10 * (ball[:2] - marked)
        pull = (wanted - position) * 1.9
        speed = np.linalg.norm(pull, axis=1, keepdims=True)
        pull *= np.minimum(1.0, top[:, None] / np.maximum(speed, 1e-6))
        change = np.clip((pull - velocity) * 2.6, -7.0, 7.0)
        gap = position[:, None] - position[None]
        far = np.linalg.norm(gap, axis=-1) + np.eye(count) * 9
        push = (gap / far[..., None] * np.clip(1.55 - far, 0, None)[..., None] * 15.0).sum(1)
        velocity += (change + push) / RATE
        position = position + velocity / RATE
        position = np.clip(position, [-HALF[0], -HALF[1]], HALF)
        tracks[step] = position
    tracks = smooth(tracks, 4.0)
    speed = np.gradient(tracks, 1 / RATE, axis=0)
    to_ball = ball_track[:, None, :2] - tracks
    run = np.clip((np.linalg.norm(speed, axis=-1) - 1.3) / 1.6, 0, 1)[..., None]
    near = np.linalg.norm(to_ball, axis=-1, keepdims=True)
    facing = run * speed / np.maximum(np.linalg.norm(speed, axis=-1, keepdims=True), 0.3)
    facing += (1.05 - run) * to_ball / np.maximum(near, 0.4)
    facing = smooth(facing, 9.0)
    heading = smooth(np.unwrap(np.arctan2(facing[..., 1], facing[..., 0]), axis=0), 4.0)

    # a jumper stands still meanwhile: momentum is kept, legs are not
    times = np.arange(round(seconds * fps)) / fps
    at = np.clip(times * RATE, 0, steps - 1)
    low, part = at.astype(int), (at % 1)
    high = np.minimum(low + 1, steps - 1)

    def sample(values: np.ndarray) -> np.ndarray:
        shaped = part.reshape(-1, *[1] * (values.ndim - 1))
        return values[low] * (1 - shaped) + values[high] * shaped

    pose = sample(locomotion(tracks, heading, people, RATE)).astype(np.float32)
    held, still = sample(smooth(holding, 4.0)), 1 - sample(run[..., 0])
    close = np.clip((3.5 - sample(near[..., 0])) / 2.0, 0, 1)
    ball = sample(ball_track)
    for n in range(count):
        p = pose[:, n]
        defending = np.clip(close[:, n] * still[:, n], 0, 1) * (0.6 if team[n] else 0.45) * (1 - held[:, n])
        crouch(p, 0.10 * still[:, n] + 0.42 * defending)
        mix(p, defending, arm=0.75, out=0.62, elbow=0.85)
        mix(p, held[:, n] * 0.9, r_arm=0.5, r_out=0.22, r_elbow=0.95, l_arm=0.35, l_elbow=1.2)
        extra = [(float(t), 0.45, "hop") for t in rng.uniform(0.5, max(seconds, 1.0), int(rng.random() < seconds / 25))]
        for start, duration, what in [(s, d, w) for m, s, d, w in jumps if m == n] + extra:
            height = {"shot": 0.46, "block": 0.50, "hop": 0.30}[what]
            rise, bent, air = jump_curves(times, start, duration, height)
            reach = np.exp(-(((times - start - duration * 0.45) / (duration * 0.52)) ** 2))
            for s, knee in (("l", 0.45), ("r", 0.25)):
                mix(
                    p,
                    air,
                    **{
                        f"{s}_thigh": 0.22 if s == "l" else -0.05,
                        f"{s}_knee": knee,
                        f"{s}_ankle": -0.5,
                        f"{s}_abduct": 0.06,
                    },
                )
            crouch(p, 0.62 * bent)
            raised = (
                {"arm": 2.75, "out": -0.08, "elbow": 0.30, "turn": 0.0, "spin": 0.0}
                if what != "hop"
                else {"arm": 1.1, "out": 0.35, "elbow": 0.9}
            )
            mix(p, np.clip(reach * 1.25, 0, 1), **raised)
            mix(p, np.clip(reach, 0, 1) * 0.8, lean=0.0, bend=-0.06, nod=-0.2)
            p[:, INDEX["lift"]] = np.maximum(p[:, INDEX["lift"]] * (1 - air), rise)
        where = np.flatnonzero(held[:, n] > 0.5)
        side_x, side_y = np.sin(p[where, INDEX["heading"]]), -np.cos(p[where, INDEX["heading"]])
        ball[where, 0] += 0.30 * side_x - 0.35 * side_y
        ball[where, 1] += 0.30 * side_y + 0.35 * side_x
    return Performance(pose, ball.astype(np.float32))
