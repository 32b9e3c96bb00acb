"""Draws figures into a camera's picture: painter's algorithm over lit quads, shadows, reflections, the camera's look.

    troupe = Troupe(people, detail=1)
    shot = Shot(scene, camera, troupe, seed)
    for start in range(0, frames, CHUNK):
        body = troupe.pose(pose[start : start + CHUNK], scene)
        for picture, truth in shot.frames(body, ball):      # uint8 [H, W, 3] BGR, [(n, box, visibility), ...]

Figures are drawn from far to near at twice the size of the picture; the alpha channel holds whose pixel it is, from
which the truth counts silhouettes before and after nearer figures cover them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from .body import (
    BONES,
    CHEST,
    HEAD,
    L_ARM,
    L_FOOT,
    L_FOREARM,
    L_SHIN,
    L_THIGH,
    PELVIS,
    R_ARM,
    R_FOOT,
    R_FOREARM,
    R_SHIN,
    R_THIGH,
    Mesh,
    build_mesh,
)
from .camera import Camera
from .people import Person
from .scene import Scene, backdrop
from .skeleton import bones, skin

CHUNK = 48  # frames posed at once: bounds memory to about 60 MB for twelve people
OVERSAMPLE = 2
SHIFT = 3  # fractional bits of polygon corners
LEAST_AREA = 0.3  # twice the square pixels below which a quad is left to its neighbours, whose edges cover it
BALL_ID = 255
MOST_PEOPLE = 250  # an id fits the alpha channel
# segments of the body for shadow and reflection: (bone, bone, thickness in metres, colour of)
STICKS = (
    (PELVIS, CHEST, 0.30, "bottom"),
    (CHEST, HEAD, 0.34, "top"),
    (L_ARM, L_FOREARM, 0.11, "top"),
    (R_ARM, R_FOREARM, 0.11, "top"),
    (L_THIGH, L_SHIN, 0.17, "bottom"),
    (R_THIGH, R_SHIN, 0.17, "bottom"),
    (L_SHIN, L_FOOT, 0.12, "skin"),
    (R_SHIN, R_FOOT, 0.12, "skin"),
)

Truth = tuple[int, tuple[float, float, float, float], float]  # figure, box x y w h in pixels, visibility


@dataclass(frozen=True)
class Body:
    """Posed figures of some frames: all figures' vertices and faces in one array each.

    Attributes:
        vertices: float32 [T, V, 3] world metres; normals, colours: [T, F, 3] (unit; lit RGB 0..1).
        joints: [T, N, 13, 3]; tips: [T, N, 3, 3] the two wrists and the crown.
    """

    vertices: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    joints: np.ndarray
    tips: np.ndarray


class Troupe:
    """The people of one event as meshes, ready to be posed together."""

    def __init__(self, people: list[Person], detail: int = 1):
        self.people = people
        self.meshes: list[Mesh] = [build_mesh(p, detail) for p in people]
        self.joints = np.stack([m.joints for m in self.meshes])
        starts = np.cumsum([0] + [len(m.vertices) for m in self.meshes])
        self.vertex_slices = [slice(a, b) for a, b in pairwise(starts)]
        self.faces = np.concatenate([m.faces + a for m, a in zip(self.meshes, starts[:-1], strict=True)])
        self.colours = np.concatenate([m.colours for m in self.meshes])
        self.bias = np.concatenate([m.bias for m in self.meshes])
        self.number = np.concatenate([m.number for m in self.meshes])
        self.owner = np.repeat(np.arange(len(people)), [len(m.faces) for m in self.meshes])
        # cloth and skin are never quite even
        grain = np.random.default_rng(7).normal(1.0, 0.018 / detail**2, (len(self.faces), 1))
        self.colours = (self.colours * np.where(self.bias[:, None] > 0.05, 1.0, grain)).astype(np.float32)

    def pose(self, pose: np.ndarray, scene: Scene) -> Body:
        """Vertices, normals and lit colours for poses [T, N, C]."""
        rotations, origins = bones(pose, self.joints)
        vertices = np.concatenate([skin(m, rotations[:, n], origins[:, n]) for n, m in enumerate(self.meshes)], axis=1)
        corner = [vertices[:, self.faces[:, k]] for k in range(4)]
        d1, d2 = corner[2] - corner[0], corner[3] - corner[1]
        normals = np.empty_like(d1)
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            normals[..., i] = d1[..., j] * d2[..., k] - d1[..., k] * d2[..., j]
        normals /= np.sqrt(np.einsum("tfc,tfc->tf", normals, normals))[..., None] + 1e-12
        up = normals[..., 2:3]
        total = (0.5 + 0.5 * up) * scene.ambient.astype(np.float32) + (0.5 - 0.5 * up) * scene.bounce.astype(np.float32)
        for lamp in scene.lights:
            facing = np.clip(normals @ lamp.direction.astype(np.float32), 0, None)
            total += facing[..., None] * lamp.colour.astype(np.float32)
        tips = np.stack(
            [
                (rotations[:, :, b] @ np.array([0, 0, -0.24], np.float32)) + origins[:, :, b]
                for b in (L_FOREARM, R_FOREARM)
            ]
            + [(rotations[:, :, HEAD] @ np.array([0, 0.01, 0.20], np.float32)) + origins[:, :, HEAD]],
            axis=2,
        )
        return Body(vertices, normals, total * self.colours, origins, tips)


class Shot:
    """One camera's view of one event."""

    def __init__(self, scene: Scene, camera: Camera, troupe: Troupe, seed: int, background: np.ndarray | None = None):
        self.scene, self.camera, self.troupe = scene, camera, troupe
        self.background = backdrop(scene, camera) if background is None else background
        width, height = camera.size
        self.canvas = np.zeros((height * OVERSAMPLE, width * OVERSAMPLE, 4), np.uint8)
        look = camera.look
        ramp = np.arange(256) / 255.0
        table = np.stack([255 * (ramp**look.gamma) * g for g in look.gains[::-1]], 1).clip(0, 255)
        self.table = np.rint(table).astype(np.uint8).reshape(1, 256, 3)
        y, x = np.mgrid[0:height, 0:width]
        radius = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) / 0.5
        self.vignette = np.rint(255 * (1 - look.vignette * radius))[..., None].repeat(3, 2).astype(np.uint8)
        self.rng = np.random.default_rng(seed)
        grain = self.rng.normal(128, look.noise, (height + 64, width + 64, 3))
        self.grain = np.rint(grain).clip(0, 255).astype(np.uint8)
        self.sigma = look.blur * (width / 640) ** 0.6

    def locate(self, body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels [T, V, 2] and depth [T, V] of all vertices, and [T, N] that figures are drawn by, from far to near."""
        pixels, depth = self.camera.project(body.vertices)
        return pixels, depth, self.camera.project(body.joints[:, :, PELVIS])[1]

    def frames(self, body: Body, ball: np.ndarray | None) -> Iterator[tuple[np.ndarray, list[Truth]]]:
        """One (picture, truth) a frame of `body`; `ball` [T, 3] in metres."""
        camera, troupe = self.camera, self.troupe
        pixels, depth, root_depth = self.locate(body)
        faces = troupe.faces
        corners = np.stack([pixels[:, faces[:, k]] for k in range(4)], 2)  # [T, F, 4, 2]
        d1, d2 = corners[:, :, 2] - corners[:, :, 0], corners[:, :, 3] - corners[:, :, 1]
        facing = d1[..., 0] * d2[..., 1] - d1[..., 1] * d2[..., 0] < -LEAST_AREA
        middle = np.mean([depth[:, faces[:, k]] for k in range(4)], axis=0) - troupe.bias
        # surfaces that turn away from the camera get darker: the roundness of limbs
        view = camera.position.astype(np.float32) - body.vertices[:, faces[:, 0]]
        view /= np.linalg.norm(view, axis=-1, keepdims=True)
        toward = np.clip(np.einsum("tfc,tfc->tf", body.normals, view), 0, 1)
        shade = 0.62 + 0.38 * np.sqrt(toward)
        colours = (body.colours * shade[..., None] * 255).clip(0, 255)[..., ::-1].astype(np.uint8)
        corners = np.rint((corners * OVERSAMPLE - 0.5) * 2**SHIFT).astype(np.int32)
        lows = np.stack([pixels[:, s].min(1) for s in troupe.vertex_slices], 1)
        highs = np.stack([pixels[:, s].max(1) for s in troupe.vertex_slices], 1)
        for t in range(len(pixels)):
            boxes = np.concatenate([lows[t], highs[t]], 1)
            at = None if ball is None else ball[t]
            truth = self.draw(corners[t], facing[t], middle[t], colours[t], root_depth[t], boxes, at)
            yield self.develop(body, t, at), truth

    def draw(self, corners, facing, middle, colours, root_depth, boxes, ball) -> list[Truth]:
        """Fills the canvas, far figures first; returns boxes clipped to the picture and visible shares."""
        canvas, troupe = self.canvas, self.troupe
        canvas[:] = 0
        width, height = self.camera.size
        order = np.argsort(-root_depth, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        inside = (boxes[:, 0] < width) & (boxes[:, 1] < height) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
        drawn = np.flatnonzero(facing & inside[troupe.owner])
        key = rank[troupe.owner[drawn]] * 1e4 - middle[drawn]
        drawn = drawn[np.argsort(key, kind="stable")]
        owners = troupe.owner[drawn]
        shapes = corners[drawn]
        tints = np.concatenate([colours[drawn], (owners + 1)[:, None]], 1).tolist()
        cuts = np.flatnonzero(np.diff(owners)) + 1
        fill = cv2.fillConvexPoly
        full, windows = {}, {}
        ball_drawn = ball is None
        if not ball_drawn:
            spot, ball_depth = self.camera.project(ball[None])
        for first, last in zip([0, *cuts], [*cuts, len(drawn)], strict=True):
            if first == last:
                continue
            n = int(owners[first])
            if not ball_drawn and root_depth[n] < ball_depth[0]:
                self.draw_ball(spot[0], ball_depth[0])
                ball_drawn = True
            for shape, tint in zip(shapes[first:last], tints[first:last], strict=True):
                fill(canvas, shape, tint, 8, SHIFT)
            x0, y0 = np.maximum(np.floor(boxes[n, :2] * OVERSAMPLE).astype(int) - 2, 0)
            x1, y1 = np.ceil(boxes[n, 2:] * OVERSAMPLE).astype(int) + 3
            windows[n] = canvas[y0:y1, x0:x1, 3]
            if not windows[n].size:
                continue
            own = cv2.compare(windows[n], n + 1, cv2.CMP_EQ)
            full[n] = cv2.countNonZero(own)
            if boxes[n, 0] < 0 or boxes[n, 1] < 0 or boxes[n, 2] > width or boxes[n, 3] > height:
                # cut by the picture's edge: round what is left of the silhouette
                left, top, wide, tall = cv2.boundingRect(own)
                cut = np.array([x0 + left, y0 + top, x0 + left + wide, y0 + top + tall]) / OVERSAMPLE
                boxes[n] = np.clip(boxes[n], cut - 0.5, cut + 0.5)
        if not ball_drawn:
            self.draw_ball(spot[0], ball_depth[0])
        truth = []
        for n, area in full.items():
            x0, y0 = max(0.0, float(boxes[n, 0])), max(0.0, float(boxes[n, 1]))
            x1, y1 = min(float(width), float(boxes[n, 2])), min(float(height), float(boxes[n, 3]))
            if area == 0 or x1 - x0 < 1 or y1 - y0 < 1:
                continue
            seen = cv2.countNonZero(cv2.compare(windows[n], n + 1, cv2.CMP_EQ))
            truth.append((n, (x0, y0, x1 - x0, y1 - y0), min(1.0, seen / area)))
        return sorted(truth)

    def draw_ball(self, spot: np.ndarray, depth: float) -> None:
        radius = 0.12 * self.camera.K[0, 0] / depth * OVERSAMPLE
        x, y = spot * OVERSAMPLE
        for share, dx, colour in (
            (1.0, 0.0, (25, 70, 165)),
            (0.82, 0.14, (35, 95, 210)),
            (0.35, 0.34, (110, 165, 240)),
        ):
            centre = (round((x - dx * radius) * 8), round((y - dx * radius) * 8))
            cv2.circle(self.canvas, centre, round(max(1.0, radius * share) * 8), (*colour, BALL_ID), -1, 8, 3)

    def develop(self, body: Body, t: int, ball) -> np.ndarray:
        """The canvas over the shadowed background, through the camera's look."""
        width, height = self.camera.size
        small = cv2.resize(self.canvas, (width, height), interpolation=cv2.INTER_AREA)
        cover = cv2.compare(self.canvas[..., 3], 0, cv2.CMP_GT)
        cover = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA)
        under = self.floor_light(body, t, ball)
        clear = cv2.cvtColor(cv2.bitwise_not(cover), cv2.COLOR_GRAY2BGR)
        picture = cv2.multiply(under, clear, scale=1 / 255)
        picture = cv2.add(picture, cv2.cvtColor(small, cv2.COLOR_BGRA2BGR))
        if self.sigma > 0.2:
            picture = cv2.GaussianBlur(picture, (0, 0) if self.sigma > 0.8 else (3, 3), self.sigma)
        picture = cv2.multiply(cv2.LUT(picture, self.table), self.vignette, scale=1 / 255)
        y, x = self.rng.integers(0, 64, 2)
        return cv2.addWeighted(picture, 1, self.grain[y : y + height, x : x + width], 1, -128)

    def floor_light(self, body: Body, t: int, ball) -> np.ndarray:
        """The background with the figures' shadows and reflections, drawn as sticks at half size and blurred."""
        width, height = self.camera.size[0] // 2, self.camera.size[1] // 2
        focal = self.camera.K[0, 0] / 2
        joints = np.concatenate([body.joints[t], body.tips[t]], 1)  # [N, 16, 3]
        sticks = [
            *STICKS,
            (L_FOREARM, BONES, 0.09, "skin"),
            (R_FOREARM, BONES + 1, 0.09, "skin"),
            (HEAD, BONES + 2, 0.20, "hair"),
        ]
        dark = np.zeros((height, width), np.uint8)
        result = self.background
        casts = [lamp.direction for lamp in self.scene.lights[:2]] + [np.array([0, 0, 1.0])]
        total = None
        for lamp in casts:
            dark[:] = 0
            flat = joints - lamp * (joints[..., 2:3] / lamp[2])
            spots, depth = self.camera.project(flat)
            spots = np.rint(spots * 4).astype(int)  # half size, 3 fractional bits
            for n in range(len(joints)):
                scale = focal / depth[n, PELVIS]
                for a, b, thick, _ in sticks:
                    cv2.line(
                        dark, spots[n, a].tolist(), spots[n, b].tolist(), 255, max(1, round(thick * 0.8 * scale)), 8, 3
                    )
            soft = cv2.blur(dark, (5, 3)) if width < 400 else cv2.blur(dark, (9, 5))
            soft = cv2.blur(soft, (5, 3)) if width < 400 else cv2.blur(soft, (9, 5))
            total = (
                cv2.convertScaleAbs(soft, alpha=self.scene.shadow)
                if total is None
                else cv2.scaleAdd(soft, self.scene.shadow * 0.85, total)
            )
        if ball is not None:
            spot, depth = self.camera.project(np.array([[ball[0], ball[1], 0.0]]))
            radius = max(1, round(0.12 * focal / depth[0]))
            cv2.ellipse(
                total, (round(spot[0, 0] / 2), round(spot[0, 1] / 2)), (radius, max(1, radius // 2)), 0, 0, 360, 130, -1
            )
        keep = cv2.resize(cv2.bitwise_not(total), self.camera.size, interpolation=cv2.INTER_LINEAR)
        result = cv2.multiply(result, cv2.cvtColor(keep, cv2.COLOR_GRAY2BGR), scale=1 / 255)
        if self.scene.gloss > 0:
            mirror = np.zeros((height, width, 3), np.uint8)
            spots, depth = self.camera.project(joints * np.array([1, 1, -1], np.float32))
            spots = np.rint(spots * 4).astype(int)
            for n in np.argsort(-depth[:, PELVIS]):
                person, scale = self.troupe.people[n], focal / depth[n, PELVIS]
                for a, b, thick, of in sticks:
                    fade = float(255 * np.exp(-max(0.0, joints[n, a, 2] + joints[n, b, 2]) * 0.75))
                    colour = [fade * float(c) for c in getattr(person, of)[::-1]]
                    cv2.line(
                        mirror,
                        spots[n, a].tolist(),
                        spots[n, b].tolist(),
                        colour,
                        max(1, round(thick * 0.8 * scale)),
                        8,
                        3,
                    )
            reach = 5 if width < 400 else 9
            mirror = cv2.blur(mirror, (reach, 2 * reach + 1))
            mirror = cv2.resize(mirror, self.camera.size, interpolation=cv2.INTER_LINEAR)
            result = cv2.addWeighted(result, 1.0, mirror, self.scene.gloss, 0)
        return result
