"""Joint angles to bones to vertices: forward kinematics and linear blend skinning for many figures at once.

    pose = neutral(frames, figures)                 # [T, N, C] angles in radians, C = len(CHANNELS)
    rotations, origins = bones(pose, joints)        # [T, N, 13, 3, 3], [T, N, 13, 3]
    points = skin(mesh, rotations[:, n], origins[:, n])   # [T, V, 3] in world metres

World: x along the floor, y across, z up. Heading is the angle of the person's forward direction from world x.
"""

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
)

ROOT = ("x", "y", "lift", "heading", "lean", "roll", "bend", "side", "twist", "nod", "look")
LIMBS = ("arm", "out", "turn", "spin", "elbow", "thigh", "abduct", "knee", "ankle")
CHANNELS = (*ROOT, *(f"l_{c}" for c in LIMBS), *(f"r_{c}" for c in LIMBS))
INDEX = {name: k for k, name in enumerate(CHANNELS)}


def neutral(*shape: int) -> np.ndarray:
    """[*shape, C]: standing, arms a little off the body, elbows and knees a little bent."""
    pose = np.zeros((*shape, len(CHANNELS)), np.float32)
    for side in "lr":
        pose[..., INDEX[f"{side}_out"]] = 0.13
        pose[..., INDEX[f"{side}_elbow"]] = 0.22
        pose[..., INDEX[f"{side}_knee"]] = 0.06
        pose[..., INDEX[f"{side}_thigh"]] = 0.03
        pose[..., INDEX[f"{side}_abduct"]] = 0.05
    return pose


def around(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] about axis 0 (x), 1 (y) or 2 (z)."""
    c, s = np.cos(angle), np.sin(angle)
    out = np.zeros((*angle.shape, 3, 3), np.float32)
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    out[..., axis, axis] = 1
    out[..., i, i] = c
    out[..., j, j] = c
    out[..., i, j] = -s
    out[..., j, i] = s
    return out


def bones(pose: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posed bones, the lowest point of the feet on the floor plus the channel `lift`.

    Args:
        pose: [T, N, C] angles.
        joints: [N, 13, 3] where each bone begins at rest.

    Returns:
        rotations [T, N, 13, 3, 3] and origins [T, N, 13, 3] in world metres.
    """

    def of(name: str) -> np.ndarray:
        return pose[..., INDEX[name]]

    shape = pose.shape[:-1]
    rotations = np.zeros((*shape, BONES, 3, 3), np.float32)
    origins = np.zeros((*shape, BONES, 3), np.float32)

    def hang(bone: int, parent: int, rotation: np.ndarray) -> None:
        rotations[..., bone, :, :] = rotation
        offset = (joints[:, bone] - joints[:, parent])[None, :, :, None]
        origins[..., bone, :] = origins[..., parent, :] + (rotations[..., parent, :, :] @ offset)[..., 0]

    root = around(2, of("heading") - np.pi / 2)
    rotations[..., PELVIS, :, :] = root @ around(1, of("roll")) @ around(0, -of("lean"))
    origins[..., PELVIS, 2] = joints[:, PELVIS, 2]
    pelvis = rotations[..., PELVIS, :, :]
    hang(CHEST, PELVIS, pelvis @ around(2, of("twist")) @ around(1, of("side")) @ around(0, -of("bend")))
    chest = rotations[..., CHEST, :, :]
    hang(HEAD, CHEST, chest @ around(2, of("look")) @ around(0, -of("nod")))
    sides = (
        ("l", 1.0, L_ARM, L_FOREARM, L_THIGH, L_SHIN, L_FOOT),
        ("r", -1.0, R_ARM, R_FOREARM, R_THIGH, R_SHIN, R_FOOT),
    )
    for s, sign, arm, forearm, thigh, shin, foot in sides:
        swing = around(2, sign * of(f"{s}_turn")) @ around(1, sign * of(f"{s}_out"))
        hang(arm, CHEST, chest @ swing @ around(0, of(f"{s}_arm")) @ around(2, sign * of(f"{s}_spin")))
        hang(forearm, arm, rotations[..., arm, :, :] @ around(0, of(f"{s}_elbow")))
        hang(thigh, PELVIS, pelvis @ around(1, sign * of(f"{s}_abduct")) @ around(0, of(f"{s}_thigh")))
        hang(shin, thigh, rotations[..., thigh, :, :] @ around(0, -of(f"{s}_knee")))
        hang(foot, shin, rotations[..., shin, :, :] @ around(0, of(f"{s}_ankle")))

    # the sole's corners decide how high the pelvis is
    lowest = np.full(shape, np.inf, np.float32)
    for foot in (L_FOOT, R_FOOT):
        height = joints[:, foot, 2] / 0.043
        for y in (-0.04, 0.09):
            corner = np.stack([np.zeros_like(height), y * height, -joints[:, foot, 2]], -1)[None, :, :, None]
            lowest = np.minimum(lowest, origins[..., foot, 2] + (rotations[..., foot, :, :] @ corner)[..., 2, 0])
    origins[..., 2] += (of("lift") - lowest)[..., None]
    origins[..., 0] += of("x")[..., None]
    origins[..., 1] += of("y")[..., None]
    return rotations, origins


def skin(mesh: Mesh, rotations: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """World vertices [T, V, 3] of one figure from its bones ([T, 13, 3, 3], [T, 13, 3])."""
    points = np.zeros((len(rotations), len(mesh.vertices), 3), np.float32)
    for k in range(2):
        for bone in range(BONES):
            chosen = np.flatnonzero((mesh.bones[:, k] == bone) & (mesh.weights[:, k] > 0))
            if not len(chosen):
                continue
            local = mesh.vertices[chosen] - mesh.joints[bone]
            moved = local @ rotations[:, bone].transpose(0, 2, 1) + origins[:, bone, None]
            points[:, chosen] += mesh.weights[chosen, k, None] * moved
    return points
