"""Walking, running, side steps, ready stance and jumps as joint angles over time.

    pose = locomotion(position, heading, people, fps)     # [T, N, 2], [T, N] -> [T, N, C]

Stride, arm swing and bounce follow from the speed, in metres a second, and from each person's height and manner.
"""

import numpy as np
from scipy.ndimage import correlate1d

from .people import Person
from .skeleton import INDEX, neutral


def smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Gaussian smoothing along axis 0 with a standard deviation of `width` samples; ends are held. Float64."""
    radius = max(1, int(3 * width))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(width, 1e-6)) ** 2)
    # A weight of nothing at the end makes scipy add up in one direction: a seed's footage depends on the last bit.
    return correlate1d(values, [*(kernel / kernel.sum()), 0.0], axis=0, output=np.float64, mode="nearest", origin=-1)


def cadence(speed: np.ndarray, person: Person) -> np.ndarray:
    """Strides (two steps) a second at `speed` metres a second; short people step more often."""
    return (0.62 + 0.30 * speed**0.68) * person.stride * np.sqrt(1.8 / person.height)


def locomotion(position: np.ndarray, heading: np.ndarray, people: list[Person], rate: float) -> np.ndarray:
    """Poses [T, N, C] of figures that follow `position` [T, N, 2] (metres) and face `heading` [T, N] (radians)."""
    frames, count = heading.shape
    pose = neutral(frames, count)
    pose[..., INDEX["x"]], pose[..., INDEX["y"]] = position[..., 0], position[..., 1]
    pose[..., INDEX["heading"]] = heading
    velocity = smooth(np.gradient(position, 1 / rate, axis=0), 0.05 * rate)
    speed = np.linalg.norm(velocity, axis=-1)
    forward = velocity[..., 0] * np.cos(heading) + velocity[..., 1] * np.sin(heading)
    sideways = velocity[..., 0] * np.sin(heading) - velocity[..., 1] * np.cos(heading)
    turning = np.gradient(np.unwrap(heading, axis=0), 1 / rate, axis=0)
    for n, person in enumerate(people):
        v, vf, vr = speed[:, n], forward[:, n], sideways[:, n]
        stepping = np.maximum(v, np.minimum(np.abs(turning[:, n]) * 0.25, 0.8))
        phase = 2 * np.pi * (np.cumsum(cadence(stepping, person)) / rate + 0.37 * n)
        run = np.clip((v - 1.6) / 2.6, 0, 1)
        move = np.clip(stepping / 0.9, 0, 1)
        ahead = np.clip(vf / np.maximum(v, 0.5), -1, 1)
        across = np.clip(vr / np.maximum(v, 0.5), -1, 1)
        swing = (0.34 + 0.10 * np.clip(v / 1.5, 0, 1) + 0.42 * run) * move
        bounce = 0.5 - 0.5 * np.cos(2 * phase)
        p = pose[:, n]
        p[:, INDEX["lift"]] = 0.085 * run * bounce**1.5
        p[:, INDEX["lean"]] = 0.05 * move * ahead + 0.14 * run * ahead
        p[:, INDEX["bend"]] = 0.04 + 0.10 * run * ahead
        p[:, INDEX["roll"]] = 0.05 * move * np.sin(phase + 0.6)
        p[:, INDEX["twist"]] = (0.12 + 0.16 * run) * move * np.sin(phase) * person.arm_swing
        p[:, INDEX["nod"]] = -0.10 * run
        for s, shift in (("l", 0.0), ("r", np.pi)):
            wave, rise = np.sin(phase + shift), np.cos(phase + shift)
            lifted = np.clip(rise + 0.15, 0, None) / 1.15
            p[:, INDEX[f"{s}_thigh"]] = 0.04 + swing * (wave * ahead + 0.18 * run) + 0.18 * move * (1 - run) * lifted
            knee = 0.10 + 0.22 * run + (0.75 + 0.95 * run) * move * lifted**1.3
            p[:, INDEX[f"{s}_knee"]] = knee + 0.10 * move
            slope = p[:, INDEX[f"{s}_knee"]] - p[:, INDEX[f"{s}_thigh"]]
            p[:, INDEX[f"{s}_ankle"]] = np.clip(0.85 * slope, -0.55, 0.45) - 0.25 * run * np.clip(-wave, 0, 1)
            sign = -1.0 if s == "l" else 1.0
            p[:, INDEX[f"{s}_abduct"]] = 0.05 + sign * across * move * 0.30 * wave + 0.10 * np.abs(across) * move
            arms = person.arm_swing
            p[:, INDEX[f"{s}_arm"]] = -(0.30 + 0.55 * run) * move * wave * arms + 0.05 * run
            p[:, INDEX[f"{s}_elbow"]] = 0.22 + 0.20 * move + 1.15 * run - 0.15 * run * wave
            p[:, INDEX[f"{s}_out"]] = 0.13 + 0.10 * run
            p[:, INDEX[f"{s}_turn"]] = -0.25 * run
    return pose


def jump_curves(
    times: np.ndarray, start: float, duration: float, height: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a jump that leaves the floor at `start`: height above the floor (metres), crouch 0..1, and airborne 0..1."""
    u = (times - start) / duration
    air = np.clip(4 * u * (1 - u), 0, None) * ((u > 0) & (u < 1))
    before = np.exp(-(((times - start + 0.10) / 0.11) ** 2))
    after = 0.7 * np.exp(-(((times - start - duration - 0.09) / 0.12) ** 2))
    crouch = (before + after) * (1 - np.clip(air * 3, 0, 1))
    return height * air, crouch, np.clip(air * 1.6, 0, 1)


def crouch(pose: np.ndarray, amount: np.ndarray) -> None:
    """Bends knees, hips and trunk by `amount` [T] (0 standing, 1 deep) on top of `pose` [T, C]."""
    pose[:, INDEX["lean"]] += 0.42 * amount
    pose[:, INDEX["bend"]] += 0.18 * amount
    pose[:, INDEX["nod"]] -= 0.35 * amount
    for s in "lr":
        pose[:, INDEX[f"{s}_thigh"]] += 1.05 * amount
        pose[:, INDEX[f"{s}_knee"]] += 1.25 * amount
        pose[:, INDEX[f"{s}_ankle"]] += 0.50 * amount


def mix(pose: np.ndarray, amount: np.ndarray, **angles: float) -> None:
    """Moves channels of `pose` [T, C] towards `angles` by `amount` [T] (0..1). `arm=…` sets both sides."""
    for name, angle in angles.items():
        names = [name] if name in INDEX else [f"l_{name}", f"r_{name}"]
        for channel in names:
            k = INDEX[channel]
            pose[:, k] += amount * (angle - pose[:, k])
