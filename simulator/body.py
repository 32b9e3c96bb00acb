"""A person as a mesh of tubes round 13 bones: rest pose, clothes, hair, face, number on the back.

    mesh = build_mesh(person, detail=1)      # about 420 quads; detail 2 for close views
    vertices = skin(mesh.vertices, …)        # see `skeleton`

Body axes: x to the person's right, y forward, z up, metres, origin on the floor between the feet.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from .people import Person

PELVIS, CHEST, HEAD, L_ARM, L_FOREARM, R_ARM, R_FOREARM = range(7)
L_THIGH, L_SHIN, L_FOOT, R_THIGH, R_SHIN, R_FOOT = range(7, 13)
BONES = 13
DECAL_BIAS = 0.06  # metres: what is painted on a surface sorts this much nearer than the surface

# 3 x 5 block digits, rows from the top
GLYPHS = {
    "0": ("111", "101", "101", "101", "111"),
    "1": ("010", "110", "010", "010", "111"),
    "2": ("111", "001", "111", "100", "111"),
    "3": ("111", "001", "111", "001", "111"),
    "4": ("101", "101", "111", "001", "001"),
    "5": ("111", "100", "111", "001", "111"),
    "6": ("111", "100", "111", "101", "111"),
    "7": ("111", "001", "010", "010", "010"),
    "8": ("111", "101", "111", "101", "111"),
    "9": ("111", "101", "111", "001", "111"),
}


@dataclass(frozen=True)
class Mesh:
    """Rest-pose surface of one figure.

    Attributes:
        vertices: float32 [V, 3].
        bones, weights: [V, 2], the two bones a vertex follows and how much.
        faces: int32 [F, 4], counter-clockwise from outside.
        colours: float32 [F, 3] RGB 0..1.
        bias: float32 [F], metres by which a face sorts nearer (decals).
        number: bool [F], faces of the number on the back.
        joints: float32 [13, 3], where each bone begins.
    """

    vertices: np.ndarray
    bones: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    bias: np.ndarray
    number: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class Ring:
    """One cross section of a tube: centre, half axes, the bone, and the second bone with its weight."""

    at: tuple[float, float, float]
    rx: float
    ry: float
    bone: int
    second: int | None = None
    weight: float = 0.0


def rest_joints(person: Person) -> np.ndarray:
    """[13, 3]: where each bone begins in the rest pose (arms hanging, legs straight)."""
    h, w = person.height, person.width
    shoulder, hip = 0.106 * h * (0.35 + 0.65 * w), 0.052 * h * (0.5 + 0.5 * w)
    joints = np.zeros((BONES, 3), np.float32)
    joints[PELVIS] = (0, 0, 0.53 * h)
    joints[CHEST] = (0, 0, 0.61 * h)
    joints[HEAD] = (0, 0.004 * h, 0.862 * h)
    for side, arm, forearm, thigh, shin, foot in (
        (-1, L_ARM, L_FOREARM, L_THIGH, L_SHIN, L_FOOT),
        (1, R_ARM, R_FOREARM, R_THIGH, R_SHIN, R_FOOT),
    ):
        joints[arm] = (side * shoulder, 0, 0.815 * h)
        joints[forearm] = (side * shoulder, 0, 0.640 * h)
        joints[thigh] = (side * hip, 0, 0.515 * h)
        joints[shin] = (side * hip, 0, 0.282 * h)
        joints[foot] = (side * hip, -0.004 * h, 0.043 * h)
    return joints


class Builder:
    """Collects tubes and decals into one mesh."""

    def __init__(self, detail: int):
        self.detail = detail
        self.vertices, self.bones, self.weights = [], [], []
        self.faces, self.colours, self.bias, self.number = [], [], [], []
        self.count = 0

    def add(self, vertices, bones, weights, faces, colours, bias=0.0, number=False) -> None:
        vertices = np.asarray(vertices, np.float32)
        faces = np.asarray(faces, np.int32)
        self.vertices.append(vertices)
        self.bones.append(np.asarray(bones, np.int32))
        self.weights.append(np.asarray(weights, np.float32))
        self.faces.append(faces + self.count)
        self.colours.append(np.asarray(colours, np.float32).reshape(len(faces), 3))
        self.bias.append(np.full(len(faces), bias, np.float32))
        self.number.append(np.full(len(faces), number))
        self.count += len(vertices)

    def tube(self, rings: list[Ring], colours, sides: int, axis: str = "z", box: float = 1.0, bias=0.0, keep=None):
        """Quads between consecutive rings.

        Args:
            colours: one RGB a band, or a function (band, angle) -> RGB; angle 0 is the right, pi/2 the front.
            axis: "z" rings lie flat; "y" rings stand upright (feet).
            box: exponent below 1 makes the section boxier.
            keep: function (points [F, 3]) -> bool [F], the faces to keep.
        """
        sides = sides if self.detail == 1 else int(sides * 1.7)
        bands = len(rings) - 1
        split = 1 if self.detail == 1 else 2
        grid = np.array([(*r.at, r.rx, r.ry, r.weight) for r in rings], np.float64)
        knots = np.arange(bands + 1)
        samples = np.arange(bands * split + 1) / split
        if split > 1 and bands > 1:
            grid = PchipInterpolator(knots, grid)(samples)
        elif split > 1:
            grid = np.stack([np.interp(samples, knots, grid[:, k]) for k in range(6)], 1)
        bone = np.array([rings[min(int(s + 1e-6), bands)].bone for s in samples])
        second = [rings[min(round(s + 1e-6), bands)].second for s in samples]
        second = np.array([b if s is None else s for s, b in zip(second, bone, strict=True)])
        angles = 2 * np.pi * (np.arange(sides) + 0.5) / sides
        cos = np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** box
        sin = np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** box
        rows = len(samples)
        points = np.repeat(grid[:, None, :3], sides, 1)
        points[:, :, 0] += grid[:, None, 3] * cos
        points[:, :, 1 if axis == "z" else 2] += grid[:, None, 4] * sin
        weights = np.repeat(grid[:, 5], sides)
        i, j = np.meshgrid(np.arange(rows - 1), np.arange(sides), indexing="ij")
        k = (j + 1) % sides
        faces = np.stack([i * sides + j, i * sides + k, (i + 1) * sides + k, (i + 1) * sides + j], -1).reshape(-1, 4)
        flat = points.reshape(-1, 3)
        faces = self.outward(flat, faces, np.repeat((grid[:-1, :3] + grid[1:, :3]) / 2, sides, 0))
        if callable(colours):
            tint = [
                colours(int(a / split + 1e-6), 2 * np.pi * (b + 1.0) / sides)
                for a, b in zip(i.flat, j.flat, strict=True)
            ]
        else:
            tint = [colours[int(a / split + 1e-6)] for a in i.flat]
        tint = np.array(tint)
        if keep is not None:
            chosen = keep(flat[faces].mean(1))
            faces, tint = faces[chosen], tint[chosen]
        self.add(
            flat,
            np.stack([np.repeat(bone, sides), np.repeat(second, sides)], 1),
            np.stack([1 - weights, weights], 1),
            faces,
            tint,
            bias,
        )

    @staticmethod
    def outward(points, faces, centres) -> np.ndarray:
        """The faces, turned so that their normals point away from `centres` [F, 3]."""
        corner = points[faces]
        normal = np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1])
        inward = ((corner.mean(1) - centres) * normal).sum(1) < 0
        return np.where(inward[:, None], faces[:, ::-1], faces)

    def ball(self, centre, rx, ry, rz, bone, colours, sides, rows=5, bias=0.0, keep=None):
        """An ellipsoid on one bone."""
        rows = rows if self.detail == 1 else rows * 2
        turns = np.linspace(0.06, np.pi - 0.06, rows + 1)
        rings = [
            Ring((centre[0], centre[1], centre[2] + rz * np.cos(a)), rx * np.sin(a), ry * np.sin(a), bone)
            for a in turns
        ]
        tints = colours if callable(colours) else [colours] * rows
        detail, self.detail = self.detail, 1
        self.tube(rings, tints, sides if detail == 1 else int(sides * 1.7), bias=bias, keep=keep)
        self.detail = detail

    def mesh(self, joints: np.ndarray) -> Mesh:
        return Mesh(
            np.concatenate(self.vertices),
            np.concatenate(self.bones),
            np.concatenate(self.weights),
            np.concatenate(self.faces),
            np.concatenate(self.colours).clip(0, 1),
            np.concatenate(self.bias),
            np.concatenate(self.number),
            joints,
        )


def darker(colour, factor: float) -> np.ndarray:
    return np.asarray(colour) * factor


def torso_profile(person: Person) -> np.ndarray:
    """[rows, 5]: z, half width, half depth, y offset, weight of the chest bone; from the hem up to the neck."""
    h, w = person.height, person.width
    tight = person.cut in ("leotard", "dress")
    waist = 0.074 if tight else 0.087
    rows = [  # z, rx, ry, y, chest weight
        (
            0.495 if person.cut == "shorts" else 0.475,
            (0.096 if person.cut == "shorts" else 0.082) * w,
            0.069 * w,
            0.000,
            0.0,
        ),
        (0.535, (0.090 if tight else 0.096) * w, 0.068 * w, -0.003, 0.0),
        (0.615, waist * w, 0.056 * w, 0.002, 0.5),
        (0.690, 0.090 * w, 0.061 * w, 0.004, 1.0),
        (0.755, 0.100 * (0.3 + 0.7 * w), 0.066 * w, 0.002, 1.0),
        (0.805, 0.104 * (0.35 + 0.65 * w), 0.056 * w, -0.004, 1.0),
        (0.836, 0.078 * (0.35 + 0.65 * w), 0.044 * w, -0.006, 1.0),
        (0.852, 0.042 * (0.5 + 0.5 * w), 0.034 * w, -0.004, 1.0),
    ]
    return np.array(rows) * np.array([h, h, h, h, 1.0])


def add_torso(b: Builder, person: Person) -> None:
    profile = torso_profile(person)
    rings = [
        Ring((0, y, z), rx, ry, PELVIS if c < 1 else CHEST, CHEST, c if c < 1 else 0.0) for z, rx, ry, y, c in profile
    ]
    top, trim = person.top, person.trim

    def colours(band: int, angle: float):
        side = abs(np.cos(angle)) > 0.93
        if band == len(rings) - 2:
            return trim if person.cut != "leotard" else top
        if side and person.cut in ("shorts", "trousers") and band < 4:
            return trim
        if band == 0:
            return darker(person.bottom if person.cut != "dress" else top, 0.9) if person.cut != "shorts" else top
        return darker(top, 0.93 if band == 2 else 1.0)

    b.tube(rings, colours, 14, box=0.85, bias=0.03 if person.cut == "shorts" else 0.0)
    # what closes the bottom: hips in the lower garment
    h, w = person.height, person.width
    bottom = person.bottom if person.cut != "dress" else darker(person.top, 0.6)
    hips = [
        Ring((0, 0, 0.53 * h), 0.088 * h * w, 0.064 * h * w, PELVIS),
        Ring((0, 0, 0.475 * h), 0.085 * h * w, 0.062 * h * w, PELVIS),
        Ring((0, 0, 0.448 * h), 0.045 * h * w, 0.042 * h * w, PELVIS),
        Ring((0, 0, 0.444 * h), 0.002 * h, 0.002 * h, PELVIS),
    ]
    b.tube(hips, [bottom, darker(bottom, 0.8), darker(bottom, 0.6)], 12, box=0.85)


def add_number(b: Builder, person: Person) -> None:
    """The number on the back: quads that follow the back's curve, drawn only when the back faces the camera."""
    profile = torso_profile(person)
    text, h = str(person.number), person.height
    cells = 3 * len(text) + len(text) - 1
    cell_w = (0.118 if len(text) == 2 else 0.062) * h * (0.5 + 0.5 * person.width) / cells
    cell_h = 0.138 * h / 5
    top = 0.792 * h
    light = np.array([0.3, 0.59, 0.11])
    top_light = light @ np.asarray(person.top)
    # the trim's colour where it can be read, else white or black
    legible = abs(light @ np.asarray(person.trim) - top_light) > 0.4
    colour = person.trim if legible else ((0.95, 0.95, 0.95) if top_light < 0.45 else (0.07, 0.07, 0.09))

    def back(x: float, z: float) -> tuple[list[float], float]:
        rx, ry, y0, chest = (np.interp(z, profile[:, 0], profile[:, k]) for k in (1, 2, 3, 4))
        depth = ry * max(0.0, 1 - (abs(x) / rx) ** 2.35) ** (1 / 2.35)
        return [x, y0 - depth - 0.004, z], chest

    vertices, weights, faces = [], [], []
    for k, digit in enumerate(text):
        for row, line in enumerate(GLYPHS[digit]):
            for column, lit in enumerate(line):
                if lit == "0":
                    continue
                # seen from behind, the person's left is on the left
                x0 = (4 * k + column - cells / 2) * cell_w
                z0 = top - row * cell_h
                for x, z in ((x0, z0), (x0, z0 - cell_h), (x0 + cell_w, z0 - cell_h), (x0 + cell_w, z0)):
                    point, chest = back(x, z)
                    vertices.append(point)
                    weights.append((1 - chest, chest))
                faces.append(np.arange(4) + len(vertices) - 4)
    vertices = np.array(vertices)
    faces = b.outward(vertices, np.array(faces), np.tile([0.0, 1.0, 0.7], (len(faces), 1)))
    bones = np.tile([PELVIS, CHEST], (len(vertices), 1))
    b.add(vertices, bones, weights, faces, np.tile(colour, (len(faces), 1)), DECAL_BIAS + 0.03, True)


def add_arm(b: Builder, person: Person, side: int) -> None:
    h, w = person.height, 0.55 + 0.45 * person.width
    arm, forearm = (L_ARM, L_FOREARM) if side < 0 else (R_ARM, R_FOREARM)
    joints = rest_joints(person)
    x, shoulder, elbow = joints[arm][0], joints[arm][2], joints[forearm][2]
    wrist = elbow - 0.145 * h
    upper = shoulder - elbow
    skin = np.asarray(person.skin)
    sleeve_colour, cover = np.asarray(person.top), person.sleeve
    left_sleeve = person.accessory == "arm sleeve" and side < 0

    def at(s: float) -> float:
        """Height at `s` upper arms below the shoulder."""
        return shoulder - s * upper if s <= 1 else elbow - (s - 1) / 0.83 * (elbow - wrist)

    stops = [0.0, 0.22, 0.55, 0.86, 1.0, 1.14, 1.36, 1.83]
    radii = [0.030, 0.0315, 0.029, 0.024, 0.0235, 0.0250, 0.0235, 0.0165]
    cut = np.searchsorted(stops, cover, "right") - 1 if cover else -1

    def clothed(band: int) -> bool:
        return cover > 0 and stops[band + 1] <= cover + 0.03

    rings, tints = [Ring((x, 0, shoulder + 0.022 * h), 0.012 * h * w, 0.012 * h * w, arm)], []
    for k, (s, r) in enumerate(zip(stops, radii, strict=True)):
        loose = 1.17 if cover and s <= cover + 0.03 and cover < 1 else 1.08 if cover and s <= cover + 0.03 else 1.0
        blend = 0.5 if s == 1.0 else 0.12 if s == 0.86 else 0.0
        bone = arm if s <= 1 else forearm
        rings.append(Ring((x, 0, at(s)), r * h * w * loose, r * h * w * loose, bone, forearm, blend))
        if k:
            band = k - 1
            if clothed(band):
                tints.append(person.trim if cut == band + 1 and person.cut != "dress" else sleeve_colour)
            elif left_sleeve and band >= 2:
                tints.append(np.asarray(person.accessory_colour))
            elif person.accessory == "wristbands" and band == 6:
                tints.append(skin)
            else:
                tints.append(skin * (0.97 if band in (3, 4) else 1.0))
    tints.insert(0, sleeve_colour if cover or person.cut == "leotard" else skin)
    b.tube(rings, tints, 8)
    if person.accessory == "wristbands":
        r = 0.0205 * h * w
        band = [Ring((x, 0, wrist + d * h), r, r, forearm) for d in (0.004, 0.03)]
        b.tube(band, [person.accessory_colour], 8, bias=0.01)
    hand = [
        Ring((x, 0, wrist + 0.004 * h), 0.0150 * h * w, 0.0150 * h * w, forearm),
        Ring((x, 0.004 * h, wrist - 0.030 * h), 0.0150 * h, 0.0235 * h, forearm),
        Ring((x, 0.006 * h, wrist - 0.062 * h), 0.0120 * h, 0.0200 * h, forearm),
        Ring((x, 0.008 * h, wrist - 0.088 * h), 0.0050 * h, 0.0100 * h, forearm),
    ]
    b.tube(hand, [skin, skin * 0.97, skin * 0.93], 7)


def add_leg(b: Builder, person: Person, side: int) -> None:
    h, w = person.height, 0.45 + 0.55 * person.width
    thigh, shin, foot = (L_THIGH, L_SHIN, L_FOOT) if side < 0 else (R_THIGH, R_SHIN, R_FOOT)
    joints = rest_joints(person)
    x = joints[thigh][0]
    skin, bottom, sock = (np.asarray(c) for c in (person.skin, person.bottom, person.sock_colour))
    stops = [0.515, 0.455, 0.385, 0.318, 0.282, 0.250, 0.205, 0.150, 0.095, 0.045]
    radii = [0.052, 0.055, 0.049, 0.040, 0.0375, 0.0365, 0.0385, 0.034, 0.026, 0.0225]
    sock_top = 0.060 + person.sock * 0.185
    rings, tints = [], []
    for k, (z, r) in enumerate(zip(stops, radii, strict=True)):
        bone = thigh if z > 0.282 else shin
        second, blend = (shin, 0.15) if z == 0.318 else (thigh, 0.5) if z == 0.282 else (None, 0.0)
        trousers = person.cut == "trousers"
        loose = 1.25 if trousers and z < 0.4 else 1.1 if trousers else 1.0
        socked = person.cut in ("shorts", "dress") and z <= sock_top + 0.02
        y = -0.004 * h if z < 0.25 else 0.0
        rings.append(
            Ring((x, y, z * h), r * h * w * loose * (1.05 if socked else 1), r * h * w * loose, bone, second, blend)
        )
        if k:
            middle = (z + stops[k - 1]) / 2
            if person.cut in ("trousers", "leotard"):
                tints.append(bottom * (0.94 if k in (3, 4) else 1.0))
            elif middle <= sock_top:
                tints.append(sock)
            else:
                tints.append(skin * (0.95 if k in (4, 5) else 1.0))
    b.tube(rings, tints, 9)
    if person.cut == "shorts":
        leg = [
            Ring((x * 1.04, 0, 0.520 * h), 0.056 * h * w, 0.060 * h * w, PELVIS, thigh, 0.5),
            Ring((x * 1.06, 0, 0.470 * h), 0.061 * h * w, 0.064 * h * w, thigh),
            Ring((x * 1.08, 0, 0.400 * h), 0.061 * h * w, 0.063 * h * w, thigh),
            Ring((x * 1.10, 0, 0.350 * h), 0.062 * h * w, 0.064 * h * w, thigh),
            Ring((x * 1.10, 0, 0.338 * h), 0.062 * h * w, 0.064 * h * w, thigh),
        ]

        def colours(band: int, angle: float):
            outer = np.cos(angle) * side > 0.8
            return person.trim if band == 3 or outer else bottom

        b.tube(leg, colours, 10, bias=0.02)
    if person.accessory == "knee pads":
        pad = [
            Ring((x, 0.003 * h, z * h), 0.043 * h * w, 0.044 * h * w, bone, second, blend)
            for z, bone, second, blend in (
                (0.312, thigh, shin, 0.15),
                (0.282, shin, thigh, 0.5),
                (0.252, shin, None, 0),
            )
        ]
        b.tube(pad, [person.accessory_colour] * 2, 9, bias=0.02)
    shoe = np.asarray(person.shoes)
    sole = (0.92, 0.92, 0.9) if shoe.sum() < 2.4 else (0.35, 0.35, 0.38)

    def shoe_colour(band: int, angle: float):
        return sole if np.sin(angle) < -0.6 else shoe

    rows = [  # y, half width, half height
        (-0.046, 0.010, 0.012),
        (-0.040, 0.024, 0.028),
        (-0.010, 0.027, 0.033),
        (0.035, 0.029, 0.025),
        (0.075, 0.030, 0.019),
        (0.102, 0.022, 0.014),
        (0.110, 0.008, 0.007),
    ]
    rings = [Ring((x, y * h, rz * h * 1.0 + 0.001), rx * h * (0.7 + 0.3 * w), rz * h, foot) for y, rx, rz in rows]
    b.tube(rings, shoe_colour, 9, axis="y")


def add_head(b: Builder, person: Person) -> None:
    h = person.height
    skin = np.asarray(person.skin)
    neck = [
        Ring((0, -0.004 * h, 0.838 * h), 0.036 * h, 0.034 * h, CHEST),
        Ring((0, 0.000 * h, 0.862 * h), 0.030 * h, 0.031 * h, CHEST, HEAD, 0.5),
        Ring((0, 0.005 * h, 0.895 * h), 0.030 * h, 0.032 * h, HEAD),
    ]
    b.tube(neck, [skin * 0.92, skin * 0.8], 9)
    cx, cy, cz = centre = (0.0, 0.010 * h, 0.932 * h)
    rx, ry, rz = 0.0445 * h, 0.0530 * h, 0.0660 * h
    # a skull that narrows to the chin
    turns = np.linspace(0.05, np.pi - 0.05, 9 if b.detail == 1 else 15)
    rings = []
    for a in turns:
        low = max(0.0, -np.cos(a))
        narrow = 1 - 0.22 * low
        rings.append(
            Ring(
                (cx, cy + 0.010 * h * low, cz + rz * np.cos(a)), rx * np.sin(a) * narrow, ry * np.sin(a) * narrow, HEAD
            )
        )
    detail, b.detail = b.detail, 1
    b.tube(rings, [skin] * (len(rings) - 1), 12 if detail == 1 else 20)
    b.detail = detail

    def on_face(x: float, z: float, out: float = 0.002) -> list[float]:
        u, v = x / rx, (z - cz) / rz
        return [x, cy + ry * np.sqrt(max(0.0, 1 - u * u - v * v)) * (1.0 if v > 0 else 1 + 0.05 * v) + out * h, z]

    def patch(x: float, z: float, width: float, height: float, colour, out: float = 0.002) -> None:
        corners = [(x - width, z + height), (x - width, z - height), (x + width, z - height), (x + width, z + height)]
        points = np.array([on_face(px * h, cz + pz * h, out) for px, pz in corners])
        face = b.outward(points, np.arange(4)[None], np.array([centre]))
        b.add(points, np.full((4, 2), HEAD), np.tile([1.0, 0.0], (4, 1)), face, [colour], DECAL_BIAS)

    brow = np.asarray(person.hair) * 0.7 if person.hair_style != "shaved" else skin * 0.45
    for side in (-1, 1):
        patch(side * 0.0185, 0.006, 0.0085, 0.0042, (0.93, 0.92, 0.9))
        patch(side * 0.0180, 0.006, 0.0040, 0.0046, (0.08, 0.06, 0.06), 0.003)
        patch(side * 0.0190, 0.017, 0.0100, 0.0026, brow)
    patch(0, -0.034, 0.0125, 0.0030, skin * np.array([0.72, 0.5, 0.5]))
    nose = [
        Ring((0, cy + ry * 0.97, cz + 0.006 * h), 0.003 * h, 0.005 * h, HEAD),
        Ring((0, cy + ry * 1.03, cz - 0.013 * h), 0.0075 * h, 0.009 * h, HEAD),
        Ring((0, cy + ry * 0.94, cz - 0.019 * h), 0.004 * h, 0.003 * h, HEAD),
    ]
    b.tube(nose, [skin * 1.0, skin * 0.85], 6)
    add_hair(b, person, centre, (rx, ry, rz))
    if person.accessory == "headband":
        # a ring that stays above the brow and dips behind
        band = [
            Ring((0, cy - 0.001 * h, cz + (0.027 + d) * h), s * rx, s * ry, HEAD)
            for d, s in ((0.017, 1.07), (0.0, 1.12))
        ]
        if person.hair_style == "curly":
            band = [Ring(r.at, r.rx * 1.12, r.ry * 1.1, HEAD) for r in band]
        b.tube(band, [person.accessory_colour], 14, bias=0.05)


def add_hair(b: Builder, person: Person, centre, radii) -> None:
    h, style = person.height, person.hair_style
    (cx, cy, cz), (rx, ry, rz) = centre, radii
    hair = np.asarray(person.hair)

    def cap(front: float, side: float, back: float):
        """Keeps what lies above a hairline given at the forehead, the ears and the nape (in half heads)."""

        def keep(points: np.ndarray) -> np.ndarray:
            forward = (points[:, 1] - cy) / ry
            line = np.where(
                forward > 0, side + (front - side) * np.clip(forward * 1.5, 0, 1), side + (back - side) * -forward
            )
            return (points[:, 2] - cz) / rz > line

        return keep

    def shades(band: int, angle: float):
        return hair * (1.0 + 0.16 * np.sin(angle * 5.0 + band * 1.7))

    rows, sides = 8, 13
    if style == "shaved":
        scalp = np.asarray(person.skin) * 0.72 + np.asarray(person.hair) * 0.14
        b.ball((cx, cy, cz), rx * 1.02, ry * 1.02, rz * 1.02, HEAD, scalp, sides, rows, 0.012, cap(0.52, 0.12, -0.3))
        return
    if style == "curly":
        b.ball(
            (cx, cy - 0.008 * h, cz + 0.012 * h),
            rx * 1.38,
            ry * 1.22,
            rz * 1.26,
            HEAD,
            shades,
            sides,
            rows,
            0.012,
            cap(0.5, -0.25, -0.75),
        )
        return
    b.ball((cx, cy - 0.002 * h, cz + 0.003 * h), rx * 1.11, ry * 1.10, rz * 1.10, HEAD, shades, sides, rows, 0.012,
           cap(0.50, 0.02 if style == "short" else -0.15, -0.45))  # fmt: skip
    if style == "long":
        fall = [
            Ring((0, cy - 0.020 * h, cz + 0.030 * h), rx * 1.05, ry * 0.80, HEAD),
            Ring((0, cy - 0.026 * h, cz - 0.030 * h), rx * 1.22, ry * 0.68, HEAD),
            Ring((0, cy - 0.040 * h, cz - 0.090 * h), rx * 1.38, ry * 0.55, HEAD, CHEST, 0.35),
            Ring((0, cy - 0.060 * h, cz - 0.150 * h), rx * 1.45, ry * 0.45, CHEST, HEAD, 0.25),
            Ring((0, cy - 0.064 * h, cz - 0.205 * h), rx * 1.15, ry * 0.30, CHEST),
            Ring((0, cy - 0.062 * h, cz - 0.225 * h), rx * 0.40, ry * 0.12, CHEST),
        ]
        b.tube(fall, shades, 11, bias=0.01)
    if style == "ponytail":
        back = cy - ry * 1.05
        tail = [
            Ring((0, back + 0.010 * h, cz + 0.030 * h), 0.010 * h, 0.010 * h, HEAD),
            Ring((0, back - 0.022 * h, cz + 0.018 * h), 0.020 * h, 0.018 * h, HEAD),
            Ring((0, back - 0.036 * h, cz - 0.040 * h), 0.023 * h, 0.018 * h, HEAD),
            Ring((0, back - 0.034 * h, cz - 0.110 * h), 0.018 * h, 0.014 * h, HEAD, CHEST, 0.3),
            Ring((0, back - 0.030 * h, cz - 0.150 * h), 0.004 * h, 0.004 * h, HEAD, CHEST, 0.45),
        ]
        b.tube(tail, shades, 8)
    if style == "bun":
        b.ball((0, cy - ry * 0.92, cz + rz * 0.72), 0.027 * h, 0.027 * h, 0.026 * h, HEAD, shades, 9, 5)


def add_skirt(b: Builder, person: Person) -> None:
    """A flared skirt: its vertices follow the thigh of their side the more, the lower they hang."""
    h, w = person.height, person.width
    rows = 6 if b.detail == 1 else 9
    sides = 18 if b.detail == 1 else 30
    angles = 2 * np.pi * np.arange(sides) / sides
    points, bones, weights, tints = [], [], [], []
    for row in range(rows):
        t = row / (rows - 1)
        wave = 1 + 0.07 * t * np.cos(angles * 6)
        rx, ry = (0.080 * w + 0.095 * t**0.9) * h * wave, (0.060 * w + 0.100 * t**0.9) * h * wave
        points.append(np.stack([rx * np.cos(angles), ry * np.sin(angles), np.full(sides, (0.605 - 0.275 * t) * h)], 1))
        bones.append(np.stack([np.full(sides, PELVIS), np.where(np.cos(angles) < 0, L_THIGH, R_THIGH)], 1))
        follow = 0.75 * t * np.clip(np.abs(np.cos(angles)) * 1.4, 0.25, 1)
        weights.append(np.stack([1 - follow, follow], 1))
    flat = np.concatenate(points)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(sides), indexing="ij")
    k = (j + 1) % sides
    faces = np.stack([i * sides + j, i * sides + k, (i + 1) * sides + k, (i + 1) * sides + j], -1).reshape(-1, 4)
    axis = flat[faces].mean(1) * np.array([0, 0, 1.0])
    faces = b.outward(flat, faces, axis)
    top = np.asarray(person.top)
    for band, column in zip(i.flat, j.flat, strict=True):
        fold = 0.93 + 0.09 * np.cos(angles[column] * 6)
        tints.append(np.asarray(person.trim) if band == rows - 2 else top * fold)
    bones, weights, tints = np.concatenate(bones), np.concatenate(weights), np.array(tints)
    b.add(flat, bones, weights, faces, tints, 0.03)
    # the inside, seen from below in a turn or jump
    b.add(flat * np.array([0.99, 0.99, 1]), bones, weights, faces[:, ::-1], tints * 0.55, -0.02)


def build_mesh(person: Person, detail: int = 1) -> Mesh:
    """The figure of one person at rest. `detail` 1 suits people up to about 150 pixels, 2 closer views."""
    b = Builder(detail)
    add_torso(b, person)
    for side in (-1, 1):
        add_arm(b, person, side)
        add_leg(b, person, side)
    add_head(b, person)
    if person.cut == "dress":
        add_skirt(b, person)
    if person.number is not None:
        add_number(b, person)
    return b.mesh(rest_joints(person))
