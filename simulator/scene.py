"""The place: textured planes (court, boards, stands; stage, curtains) seen by a calibrated camera, and its lights.

    scene = sports_scene(rng)
    picture = backdrop(scene, camera)      # uint8 [H, W, 3] BGR, everything but the people

A scene is drawn once from random numbers; its backdrop is rendered once for each camera.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Camera

WORDS = ("REIDKIT", "TRACKLET", "GALLERY", "RANK 1", "QUERY", "MATCH DAY", "CAMERA 7", "RE-ID CUP")


@dataclass(frozen=True)
class Plane:
    """A textured rectangle: corner `at`, axes `u` (along the texture's columns) and `v` (along its rows), metres.

    A `one_sided` plane is seen only from the side that its normal u x v points away from.
    """

    at: np.ndarray
    u: np.ndarray
    v: np.ndarray
    texture: np.ndarray  # uint8 [h, w, 3] BGR
    one_sided: bool = True


@dataclass(frozen=True)
class Light:
    """A far light: unit direction from the floor to the light, RGB strength."""

    direction: np.ndarray
    colour: np.ndarray


@dataclass(frozen=True)
class Scene:
    planes: tuple[Plane, ...]
    lights: tuple[Light, ...]
    ambient: np.ndarray  # RGB from above
    bounce: np.ndarray  # RGB from the floor
    shadow: float  # darkness of one light's shadow, 0..1
    gloss: float  # strength of the floor's reflection, 0..1


def light(x: float, y: float, z: float, colour: tuple[float, float, float]) -> Light:
    """A light that shines from the direction (x, y, z), of any length."""
    direction = np.array([x, y, z])
    return Light(direction / np.linalg.norm(direction), np.array(colour))


def bgr(colour) -> tuple[float, ...]:
    """RGB 0..1 as OpenCV takes it: BGR 0..255."""
    return tuple(float(c) * 255 for c in colour[::-1])


def planks(height: int, width: int, colour, rng: np.random.Generator, plank: int = 9, length: int = 130) -> np.ndarray:
    """A wooden floor: long boards of slightly different shades, float BGR 0..255."""
    rows = np.arange(height) // plank
    shift = rng.integers(0, length, rows.max() + 1)
    columns = (np.arange(width)[None] + shift[rows][:, None]) // length
    shade = rng.normal(1.0, 0.035, (rows.max() + 1, columns.max() + 1))
    wood = shade[rows[:, None], columns]
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 9, sigmaY=0.7)
    wood = wood + 0.16 * grain / max(grain.std(), 1e-6) * 0.12
    return wood[..., None] * np.array(bgr(colour))


def court(rng: np.random.Generator, half: tuple[float, float], scale: int = 56) -> np.ndarray:
    """A marked floor, 2 * half metres, `scale` pixels a metre: side lines, centre, three-point arcs, keys."""
    width, height = int(2 * half[0] * scale), int(2 * half[1] * scale)
    woods = ((0.80, 0.60, 0.38), (0.72, 0.53, 0.35), (0.84, 0.68, 0.47), (0.30, 0.50, 0.62), (0.36, 0.54, 0.42))
    image = planks(height, width, woods[rng.integers(len(woods))], rng)
    paints = ((0.12, 0.22, 0.45), (0.50, 0.10, 0.12), (0.10, 0.36, 0.32), (0.35, 0.16, 0.40), (0.70, 0.33, 0.10))
    paint = np.array(bgr(paints[rng.integers(len(paints))]))
    mask = np.zeros((height, width), np.uint8)

    def px(x: float, y: float) -> tuple[int, int]:
        return round((x + half[0]) * scale * 8), round((y + half[1]) * scale * 8)

    def rectangle(x0, y0, x1, y1, value=255):
        corners = np.array([px(x0, y0), px(x1, y0), px(x1, y1), px(x0, y1)], np.int32)
        cv2.fillConvexPoly(mask, corners, value, cv2.LINE_AA, 3)

    long, wide = 7.6, 5.2
    # the apron outside the lines, the keys and the centre circle are painted
    mask[:] = 255
    rectangle(-long, -wide, long, wide, 0)
    for side in (-1, 1):
        rectangle(side * long, -1.8, side * (long - 4.2), 1.8)
    cv2.circle(mask, px(0, 0), round(1.5 * scale * 8), 255, -1, cv2.LINE_AA, 3)
    image = image + (0.86 * mask[..., None] / 255.0) * (paint - image)
    mask[:] = 0
    thick = max(2, round(0.06 * scale))
    for x0, y0, x1, y1 in (
        (-long, -wide, long, -wide),
        (-long, wide, long, wide),
        (-long, -wide, -long, wide),
        (long, -wide, long, wide),
        (0, -wide, 0, wide),
    ):
        cv2.line(mask, px(x0, y0), px(x1, y1), 255, thick, cv2.LINE_AA, 3)
    cv2.circle(mask, px(0, 0), round(1.5 * scale * 8), 255, thick, cv2.LINE_AA, 3)
    for side in (-1, 1):
        x0, x1 = side * long, side * (long - 4.2)
        for a, b in (((x0, -1.8), (x1, -1.8)), ((x0, 1.8), (x1, 1.8)), ((x1, -1.8), (x1, 1.8))):
            cv2.line(mask, px(*a), px(*b), 255, thick, cv2.LINE_AA, 3)
        start = 90 if side > 0 else -90
        arc = (round(1.8 * scale * 8),) * 2
        cv2.ellipse(mask, px(x1, 0), arc, 0, start, start + 180, 255, thick, cv2.LINE_AA, 3)
        arc = (round(5.6 * scale * 8), round(4.6 * scale * 8))
        cv2.ellipse(mask, px(side * (long - 0.9), 0), arc, 0, start, start + 180, 255, thick, cv2.LINE_AA, 3)
    image = image + (0.92 * mask[..., None] / 255.0) * (np.array([238.0, 240, 240]) - image)
    return image.clip(0, 255).astype(np.uint8)


def boards(metres: float, rng: np.random.Generator, scale: int = 60) -> np.ndarray:
    """A strip of advertising boards, 0.85 m high."""
    image = np.zeros((int(0.85 * scale), int(metres * scale), 3), np.uint8)
    palette = (
        (0.05, 0.10, 0.30),
        (0.55, 0.05, 0.08),
        (0.92, 0.92, 0.92),
        (0.05, 0.32, 0.25),
        (0.08, 0.08, 0.09),
        (0.85, 0.60, 0.08),
    )
    x = 0
    while x < image.shape[1]:
        wide = int(rng.uniform(2.6, 4.2) * scale)
        colour = palette[rng.integers(len(palette))]
        image[:, x : x + wide] = bgr(colour)
        ink = (245, 245, 245) if sum(colour) < 1.5 else (40, 30, 30)
        cv2.putText(
            image,
            WORDS[rng.integers(len(WORDS))],
            (x + 14, int(0.6 * scale)),
            cv2.FONT_HERSHEY_DUPLEX,
            scale / 52,
            ink,
            2,
            cv2.LINE_AA,
        )
        image[:, x : x + 2] = 30
        x += wide
    image[:3] = 70
    return image[:, ::-1][:, ::-1]


def crowd(metres: float, depth: float, rng: np.random.Generator, scale: int = 22) -> np.ndarray:
    """Rows of seats, most of them taken, dimmed and slightly out of focus."""
    height, width = int(depth * scale), int(metres * scale)
    seat = np.array(bgr([(0.12, 0.16, 0.30), (0.32, 0.10, 0.12), (0.14, 0.24, 0.20)][rng.integers(3)]))
    image = np.ones((height, width, 3), np.float32) * seat * 0.55
    row, gap = max(8, int(0.80 * scale)), max(7, int(0.55 * scale))
    for top in range(0, height, row):
        image[top : top + max(2, row // 5)] = seat * 0.95
        for x in range(gap // 2, width, gap):
            if (x // gap) % 23 == 11:
                image[top : top + row, x : x + gap] = seat * 0.25 + 30  # an aisle
                continue
            if rng.random() < 0.22:
                continue
            cx, cy = int(x + rng.integers(-2, 3)), int(top + row * 0.55 + rng.integers(-1, 2))
            clothes = rng.uniform(25, 165, 3) * rng.uniform(0.5, 1.0)
            skin = np.array([120.0, 150, 190]) * rng.uniform(0.35, 1.0)
            cv2.ellipse(image, (cx, cy + row // 3), (gap // 2, row // 2), 0, 0, 360, clothes.tolist(), -1)
            cv2.circle(image, (cx, cy - row // 4), max(2, gap // 4), skin.tolist(), -1)
    image = cv2.GaussianBlur(image, (0, 0), 1.4)
    fade = np.linspace(0.42, 0.70, height)[:, None, None]  # row 0 is the top row, farthest from the lights
    return (image * fade).clip(0, 255).astype(np.uint8)


def pools(image: np.ndarray, spots, size: float, base: float) -> np.ndarray:
    """Multiplies a texture by pools of light at `spots` (u, v in 0..1, strength, RGB)."""
    h, w = image.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    gain = np.full((h, w, 3), base, np.float32)
    for u, v, strength, colour in spots:
        fall = np.exp(-(((x / w - u) * w) ** 2 + ((y / h - v) * h) ** 2) / (2 * (size * h) ** 2))
        gain += strength * fall[..., None] * np.array(colour[::-1], np.float32)
    return (image * gain).clip(0, 255).astype(np.uint8)


def vector(*values: float) -> np.ndarray:
    """float64 [n]."""
    return np.array(values, np.float64)


def sports_scene(rng: np.random.Generator) -> Scene:
    """A sports hall: painted court, boards on four sides, stands with spectators, dark upper walls."""
    half = (9.6, 7.0)
    floor = pools(court(rng, half), [(u, v, 0.22, (1, 1, 1)) for u in (0.25, 0.75) for v in (0.3, 0.7)], 0.22, 0.80)
    around = np.full((64, 64, 3), 46, np.uint8) + rng.integers(0, 8, (64, 64, 1), dtype=np.uint8)
    planes = [
        Plane(vector(-half[0], -half[1], 0), vector(2 * half[0], 0, 0), vector(0, 2 * half[1], 0), floor, False),
        Plane(vector(-40, -40, -0.01), vector(80, 0, 0), vector(0, 80, 0), around, False),
    ]
    slope, rise = 9.0, 5.4
    wall = np.linspace(16, 52, 64)[:, None, None] * np.ones((1, 64, 3)) * np.array([1.1, 1.0, 0.95])
    wall = wall.astype(np.uint8)
    # each side once: outward direction and the direction to its right when seen from the floor
    for out, right, reach, span in (
        (vector(1, 0, 0), vector(0, -1, 0), half[0], half[1]),
        (vector(-1, 0, 0), vector(0, 1, 0), half[0], half[1]),
        (vector(0, 1, 0), vector(1, 0, 0), half[1], half[0]),
        (vector(0, -1, 0), vector(-1, 0, 0), half[1], half[0]),
    ):
        up = vector(0, 0, 1)
        start = out * reach - right * span
        planes.append(Plane(start + up * 0.85, right * 2 * span, -up * 0.85, boards(2 * span, rng)))
        wide = span + slope + 2
        foot = out * (reach + 1.0) + up * 0.7
        top = foot + out * slope + up * rise - right * wide
        planes.append(
            Plane(top, right * 2 * wide, foot - right * wide - top, crowd(2 * wide, np.hypot(slope, rise), rng))
        )
        planes.append(Plane(top + up * 14, right * 2 * wide, -up * 14, wall))
    lights = (
        light(0.35, -0.55, 1.0, (0.52, 0.51, 0.49)),
        light(-0.60, 0.40, 1.0, (0.40, 0.41, 0.43)),
        light(0.25, 0.75, 0.8, (0.22, 0.22, 0.24)),
        light(-0.20, -0.90, 0.7, (0.22, 0.22, 0.21)),
    )
    return Scene(tuple(planes), lights, vector(0.36, 0.36, 0.38), vector(0.17, 0.14, 0.11), 0.30, 0.20)


def curtain(width: int, height: int, colour, rng: np.random.Generator) -> np.ndarray:
    """Hanging cloth in folds, lit from below."""
    x = np.arange(width)
    fold = 0.62 + 0.25 * np.sin(x / 7.0 + 1.5 * np.sin(x / 41.0)) + 0.13 * np.sin(x / 3.1 + rng.uniform(0, 6))
    fall = np.linspace(0.35, 1.0, height)[:, None]
    return ((fold[None] * fall)[..., None] * np.array(bgr(colour))).clip(0, 255).astype(np.uint8)


def dance_scene(rng: np.random.Generator) -> Scene:
    """A stage: dark sprung floor with marks, a lit backdrop, wings, pools of coloured light."""
    half = (7.0, 4.8)
    scale = 56
    tones = [
        ((0.55, 0.20, 0.75), (0.15, 0.40, 0.95)),
        ((0.95, 0.45, 0.15), (0.65, 0.15, 0.40)),
        ((0.10, 0.60, 0.60), (0.20, 0.25, 0.80)),
        ((0.90, 0.30, 0.45), (0.30, 0.20, 0.70)),
    ]
    warm, cool = tones[rng.integers(len(tones))]
    wood = planks(int(2 * half[1] * scale), int(2 * half[0] * scale), (0.36, 0.30, 0.27), rng, 12, 200)
    floor = wood.clip(0, 255).astype(np.uint8)
    for x in range(-5, 6):  # marks on the floor, a metre apart
        for y in (-3, 0, 3):
            centre = (int((x + half[0]) * scale), int((y + half[1]) * scale))
            cv2.drawMarker(floor, centre, (150, 150, 150), cv2.MARKER_CROSS, 9, 1, cv2.LINE_AA)
    border = np.array([[0.5, 0.5], [13.5, 0.5], [13.5, 9.1], [0.5, 9.1]]) * scale
    cv2.polylines(floor, [border.astype(np.int32)], True, (120, 120, 120), 2, cv2.LINE_AA)
    white = (1.0, 0.97, 0.92)
    spots = [
        (0.5, 0.45, 1.0, white),
        (0.22, 0.4, 0.8, warm),
        (0.78, 0.4, 0.8, cool),
        (0.35, 0.75, 0.5, white),
        (0.65, 0.75, 0.5, white),
    ]
    floor = pools(floor, spots, 0.24, 0.45)
    h, w = 300, 700
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    blend = (x / w)[..., None]
    glow = np.exp(-(((y / h - 0.95) / 0.55) ** 2))[..., None]
    back = (np.array(bgr(warm)) * (1 - blend) + np.array(bgr(cool)) * blend) * (0.16 + 0.62 * glow)
    for k in range(5):  # beams from above
        centre = (0.12 + 0.19 * k) * w
        beam = np.exp(-(((x - centre - (y - 0) * 0.12 * (k - 2)) / (10 + 0.20 * y)) ** 2))[..., None]
        back += beam * (1 - y / h * 0.75)[..., None] * np.array([70.0, 66, 62])
    back = back.clip(0, 255).astype(np.uint8)
    dark = np.full((16, 16, 3), 9, np.uint8)
    wing = curtain(420, 300, (0.20, 0.045, 0.07), rng)
    deep, up = 5.4, vector(0, 0, 1)
    planes = [
        Plane(vector(-half[0], -half[1], 0), vector(2 * half[0], 0, 0), vector(0, 2 * half[1], 0), floor, False),
        Plane(vector(-60, -60, -0.6), vector(120, 0, 0), vector(0, 120, 0), dark, False),
        Plane(vector(-half[0] - 6, deep, 7), vector(2 * half[0] + 12, 0, 0), -up * 7, back),
    ]
    for side in (-1, 1):
        # three legs of curtain a side, one behind the other
        for depth in (4.6, 1.6, -1.4):
            inner, outer = side * 7.1, side * 9.4
            left, right = (outer, inner) if side < 0 else (inner, outer)
            planes.append(Plane(vector(left, depth, 7), vector(right - left, 0, 0), -up * 7, wing))
        start = vector(side * 9.4, 5.4 if side > 0 else -6, 7)
        planes.append(Plane(start, vector(0, -11.4 if side > 0 else 11.4, 0), -up * 7, (wing * 0.4).astype(np.uint8)))
    lights = (
        light(0.25, -1.0, 1.1, (0.66, 0.63, 0.58)),
        light(-0.8, -0.2, 0.8, tuple(0.18 + 0.30 * np.array(warm))),
        light(0.8, -0.2, 0.8, tuple(0.18 + 0.30 * np.array(cool))),
        light(0.0, 1.0, 1.0, (0.40, 0.40, 0.45)),
    )
    return Scene(tuple(planes), lights, vector(0.27, 0.26, 0.29), vector(0.10, 0.09, 0.10), 0.34, 0.34)


SCENES = {"sports": sports_scene, "dance": dance_scene}


def backdrop(scene: Scene, camera: Camera, oversample: int = 2) -> np.ndarray:
    """The scene without people: uint8 [H, W, 3] BGR. Every pixel's ray takes the nearest plane it meets."""
    width, height = camera.size[0] * oversample, camera.size[1] * oversample
    x, y = np.meshgrid((np.arange(width) + 0.5) / oversample, (np.arange(height) + 0.5) / oversample)
    local = np.stack(
        [(x - camera.K[0, 2]) / camera.K[0, 0], (y - camera.K[1, 2]) / camera.K[1, 1], np.ones_like(x)], -1
    ).astype(np.float32)
    rays = local @ camera.R.astype(np.float32)
    nearest = np.full((height, width), np.inf, np.float32)
    image = np.full((height, width, 3), 12, np.uint8)
    for plane in scene.planes:
        normal = np.cross(plane.u, plane.v)
        toward = float(normal @ (camera.position - plane.at))
        if plane.one_sided and toward > 0:
            continue
        # position + s ray = at + a u + b v
        slope = rays @ normal.astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            s = np.where(np.abs(slope) > 1e-9, np.float32(-toward) / slope, np.float32(-1))
        a0 = (camera.position - plane.at) @ plane.u / (plane.u @ plane.u)
        b0 = (camera.position - plane.at) @ plane.v / (plane.v @ plane.v)
        a = np.float32(a0) + s * (rays @ (plane.u / (plane.u @ plane.u)).astype(np.float32))
        b = np.float32(b0) + s * (rays @ (plane.v / (plane.v @ plane.v)).astype(np.float32))
        hit = (s > 0) & (s < nearest) & (a >= 0) & (a <= 1) & (b >= 0) & (b <= 1)
        if not hit.any():
            continue
        rows, columns = plane.texture.shape[:2]
        sampled = cv2.remap(
            plane.texture,
            np.where(hit, a * columns - 0.5, 0).astype(np.float32),
            np.where(hit, b * rows - 0.5, 0).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        image[hit] = sampled[hit]
        nearest[hit] = s[hit]
    return cv2.resize(image, camera.size, interpolation=cv2.INTER_AREA)
