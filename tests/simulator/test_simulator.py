"""The simulator: calibration, boxes against silhouettes, identities across cameras, numbers, joints, determinism."""

import numpy as np
import pytest

from reidkit.simulator.body import GLYPHS, build_mesh
from reidkit.simulator.camera import Camera, Look, look_at, place
from reidkit.simulator.dance import assign
from reidkit.simulator.event import make_event
from reidkit.simulator.gait import jump_curves, smooth
from reidkit.simulator.people import COLOURS, KITS, cast, shirt_distance
from reidkit.simulator.render import BALL_ID, OVERSAMPLE, Shot, Troupe
from reidkit.simulator.scene import SCENES
from reidkit.simulator.skeleton import CHANNELS, INDEX, bones, neutral, skin

PLAIN = Look((1.0, 1.0, 1.0), 1.0, 0.0, 0.0, 0.0)


def small_event(kind="sports", people=4, cameras=2, seconds=0.8, seed=3, **more):
    return make_event(kind, 0, people, cameras, seconds, 5, (128, 72), seed, **more)


def overhead(focal=100.0) -> Camera:
    """At (0, -10, 0), looking along y, pixels to the right for x and down for -z."""
    position = np.array([0.0, -10.0, 0.0])
    rotation = look_at(position, np.zeros(3))
    intrinsics = np.array([[focal, 0, 50.0], [0, focal, 40.0], [0, 0, 1]])
    return Camera("c", intrinsics, rotation, -rotation @ position, (100, 80), PLAIN)


@pytest.mark.parametrize(
    ("point", "pixel", "depth"),
    [
        ((0, 0, 0), (50, 40), 10),  # what the camera looks at is the principal point
        ((1, 0, 0), (60, 40), 10),  # 1 m to the right at 10 m with focal length 100
        ((0, 0, 2), (50, 20), 10),  # up in the world is up in the picture
        ((1, 10, -1), (55, 45), 20),  # twice as far, half as large
    ],
)
def test_projection_by_hand(point, pixel, depth):
    pixels, z = overhead().project(np.array([point], np.float64))
    assert pixels[0] == pytest.approx(pixel)
    assert z[0] == pytest.approx(depth)


def test_projection_is_k_r_t():
    rng = np.random.default_rng(0)
    for camera in place("sports", 3, (640, 360), (6.6, 4.2), rng):
        for point in rng.uniform(-3, 3, (5, 3)):
            x = camera.K @ (camera.R @ point + camera.t)
            assert camera.project(point)[0] == pytest.approx(x[:2] / x[2])
        assert pytest.approx(np.eye(3), abs=1e-12) == camera.R @ camera.R.T
        assert np.linalg.det(camera.R) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["sports", "dance"])
def test_same_seed_same_frames_other_seed_other_frames(kind):
    first, again = small_event(kind), small_event(kind)
    other = small_event(kind, seed=4)
    for (a, ta), (b, tb), (c, _) in zip(first.frames(), again.frames(), other.frames(), strict=True):
        assert ta == tb
        for k in range(2):
            assert np.array_equal(a[k], b[k])
            assert not np.array_equal(a[k], c[k])


def test_a_chosen_frame_is_the_frame_of_the_whole_event_but_for_grain():
    event = small_event()
    whole = [truths for _, truths in event.frames()]
    assert [truths for _, truths in event.frames([3])] == [whole[3]]


@pytest.mark.parametrize("kind", ["sports", "dance"])
def test_boxes_hold_the_silhouettes_tightly(kind):
    event = small_event(kind, people=3)
    troupe = Troupe(event.people)
    body = troupe.pose(event.performance.pose, event.scene)
    shot = Shot(event.scene, event.cameras[0], troupe, 0)
    width, height = event.cameras[0].size
    checked = 0
    for _, truth in shot.frames(body, None):
        for n, (x, y, w, h), visible in truth:
            assert 0 <= visible <= 1
            assert x >= 0
            assert y >= 0
            assert x + w <= width
            assert y + h <= height
            rows, columns = np.nonzero(shot.canvas[..., 3] == n + 1)
            if visible < 1 or not len(rows):
                continue
            checked += 1
            left, right = columns.min() / OVERSAMPLE, (columns.max() + 1) / OVERSAMPLE
            top, bottom = rows.min() / OVERSAMPLE, (rows.max() + 1) / OVERSAMPLE
            # polygons are drawn to whole pixels of the doubled picture
            assert np.array([left, top, right, bottom]) == pytest.approx([x, y, x + w, y + h], abs=1.6)
    assert checked > 3


def two_in_a_row(gap: float):
    """Two people on the line of sight, `gap` metres apart: the second is nearer to the camera."""
    people = cast("sports", 2, 1, np.random.default_rng(0))
    troupe = Troupe(people)
    pose = neutral(1, 2)
    pose[..., INDEX["y"]] = [[0.0, -gap]]
    scene = SCENES["sports"](np.random.default_rng(0))
    position = np.array([0.0, -10.0, 1.0])
    rotation = look_at(position, np.array([0.0, 0.0, 1.0]))
    intrinsics = np.array([[160.0, 0, 60], [0, 160, 40], [0, 0, 1]])
    camera = Camera("c", intrinsics, rotation, -rotation @ position, (120, 80), PLAIN)
    shot = Shot(scene, camera, troupe, 0)
    [(_, truth)] = list(shot.frames(troupe.pose(pose, scene), None))
    return {n: visible for n, _, visible in truth}


def test_the_nearer_person_hides_the_farther():
    seen = two_in_a_row(2.0)
    assert seen[1] == 1.0
    assert seen[0] < 0.35
    assert two_in_a_row(-2.0)[0] == 1.0


def test_people_outside_the_picture_are_left_out():
    people = cast("dance", 2, 1, np.random.default_rng(0))
    troupe = Troupe(people)
    pose = neutral(1, 2)
    pose[..., INDEX["x"]] = [[0.0, 60.0]]
    scene = SCENES["dance"](np.random.default_rng(0))
    camera = place("dance", 1, (160, 90), (4.6, 3.0), np.random.default_rng(0))[0]
    [(_, truth)] = list(Shot(scene, camera, troupe, 0).frames(troupe.pose(pose, scene), None))
    assert [n for n, _, _ in truth] == [0]


@pytest.mark.parametrize(
    ("heading", "shown"),
    [
        (90, True),
        (60, True),
        (-90, False),
        (-45, False),
    ],  # the camera stands at negative y: 90 degrees turns the back to it
)
def test_number_shows_only_from_behind(heading, shown):
    people = cast("sports", 1, 1, np.random.default_rng(2))
    troupe = Troupe(people)
    # nobody's clothes have this colour
    troupe.colours[troupe.number] = (0.0, 40.0, 0.0)
    troupe.colours[~troupe.number] = (0.3, 0.0, 0.3)
    pose = neutral(1, 1)
    pose[..., INDEX["heading"]] = np.radians(heading)
    scene = SCENES["sports"](np.random.default_rng(0))
    position = np.array([0.0, -6.0, 1.4])
    rotation = look_at(position, np.array([0.0, 0.0, 1.0]))
    camera = Camera(
        "c", np.array([[200.0, 0, 60], [0, 200, 60], [0, 0, 1]]), rotation, -rotation @ position, (120, 120), PLAIN
    )
    shot = Shot(scene, camera, troupe, 0)
    list(shot.frames(troupe.pose(pose, scene), None))
    painted = ((shot.canvas[..., 1] > 200) & (shot.canvas[..., 3] == 1)).sum()
    assert (painted > 20) == shown


def test_number_reads_from_left_to_right():
    """Of '17' seen from behind, the 7 (more cells on top) is on the right: on the person's right side."""
    from dataclasses import replace

    person = replace(cast("sports", 1, 1, np.random.default_rng(0))[0], number=17)
    mesh = build_mesh(person)
    middle = mesh.vertices[mesh.faces[mesh.number]].mean(1)
    cells = {digit: sum(line.count("1") for line in GLYPHS[digit]) for digit in "17"}
    assert (middle[:, 0] < 0).sum() == cells["1"]
    assert (middle[:, 0] > 0).sum() == cells["7"]
    assert (middle[:, 1] < 0).all()


def test_identities_look_the_same_in_all_cameras_and_events_do_not_share_people():
    event, other = small_event(), small_event(first_id=5)
    assert [p.id for p in event.people] == [1, 2, 3, 4]
    assert [p.id for p in other.people] == [5, 6, 7, 8]
    # one mesh a person serves all cameras: every camera's truth speaks of the same people
    seen = [{n for _, truths in event.frames() for n, _, _ in truths[k]} for k in range(2)]
    assert seen[0] | seen[1] <= set(range(4))
    assert seen[0] & seen[1]


def test_cast_sports_wears_two_kits_with_distinct_numbers():
    people = cast("sports", 12, 1, np.random.default_rng(5))
    shirts = {p.team: {q.top for q in people if q.team == p.team} for p in people}
    assert set(shirts) == {"home", "away"}
    assert all(len(colours) == 1 for colours in shirts.values())
    assert shirts["home"] != shirts["away"]
    for team in shirts:
        numbers = [p.number for p in people if p.team == team]
        assert len(set(numbers)) == len(numbers)
    assert all(isinstance(v, str) and v for p in people for v in p.attributes.values())
    assert all(p.attributes["number"] == str(p.number) for p in people)


def test_a_team_of_more_people_than_numbers_is_cast():
    """As an annotation may have them: up to 250 in one sequence."""
    people = cast("sports", 250, 1, np.random.default_rng(3))
    assert [p.id for p in people] == list(range(1, 251))
    assert {p.number for p in people} <= set(range(2, 100))


def test_cast_dance_wears_one_costume_without_numbers():
    people = cast("dance", 9, 1, np.random.default_rng(5))
    assert len({p.attributes["costume"] for p in people}) == 1
    assert all(p.number is None for p in people)
    assert len({(p.attributes["hair"], p.attributes["shoes"], p.attributes["build"]) for p in people}) == 9


def test_every_pair_of_kits_that_can_meet_is_told_apart():
    for seed in range(40):
        people = cast("sports", 2, 1, np.random.default_rng(seed))
        kits = [next(k for k in KITS if COLOURS[k[0]] == p.top) for p in people]
        assert shirt_distance(*kits) >= 0.8


def test_feet_stand_on_the_floor_unless_lifted():
    people = cast("sports", 2, 1, np.random.default_rng(0))
    meshes = [build_mesh(p) for p in people]
    rng = np.random.default_rng(1)
    pose = neutral(6, 2)
    pose += rng.normal(0, 0.2, pose.shape).astype(np.float32)
    pose[..., INDEX["lift"]] = [[0.0, 0.3]]
    rotations, origins = bones(pose, np.stack([m.joints for m in meshes]))
    for n, mesh in enumerate(meshes):
        lowest = skin(mesh, rotations[:, n], origins[:, n])[..., 2].min(1)
        assert lowest == pytest.approx(0.3 * n, abs=0.05)


def test_neutral_pose_keeps_the_rest_shape():
    """With all angles zero and heading along y, skinning gives the rest vertices back."""
    mesh = build_mesh(cast("dance", 1, 1, np.random.default_rng(0))[0])
    pose = np.zeros((1, 1, len(CHANNELS)), np.float32)
    pose[..., INDEX["heading"]] = np.pi / 2
    rotations, origins = bones(pose, mesh.joints[None])
    points = skin(mesh, rotations[:, 0], origins[:, 0])[0]
    points[:, 2] -= points[:, 2].min() - mesh.vertices[:, 2].min()
    assert points == pytest.approx(mesh.vertices, abs=1e-4)


@pytest.mark.parametrize(
    ("channel", "bone_point", "moves"),
    [
        ("l_thigh", "foot", (1, 1)),  # flexing a hip brings the foot forward
        ("l_knee", "foot", (1, -1)),  # bending a knee brings it back
        ("l_out", "hand", (0, -1)),  # the left arm goes out to the left
        ("r_out", "hand", (0, 1)),
        ("r_elbow", "hand", (1, 1)),
    ],
)
def test_joints_bend_the_way_people_do(channel, bone_point, moves):
    from reidkit.simulator.body import L_FOOT, L_FOREARM, R_FOREARM

    mesh = build_mesh(cast("dance", 1, 1, np.random.default_rng(0))[0])
    bone = L_FOOT if bone_point == "foot" else L_FOREARM if channel.startswith("l") else R_FOREARM
    pose = np.zeros((2, 1, len(CHANNELS)), np.float32)
    pose[..., INDEX["heading"]] = np.pi / 2
    pose[1, 0, INDEX[channel]] = 0.6
    rotations, origins = bones(pose, mesh.joints[None])
    tip = origins[:, 0, bone] + rotations[:, 0, bone] @ np.array([0, 0, -0.2], np.float32)
    axis, sign = moves
    assert sign * (tip[1, axis] - tip[0, axis]) > 0.05


def test_smooth_against_plain_loop():
    values, width = np.random.default_rng(0).normal(size=(20, 2)), 1.5
    radius = int(3 * width)
    slow = np.zeros_like(values)
    for i in range(20):
        total = 0.0
        for d in range(-radius, radius + 1):
            weight = np.exp(-0.5 * (d / width) ** 2)
            slow[i] += weight * values[min(max(i + d, 0), 19)]
            total += weight
        slow[i] /= total
    assert smooth(values, width) == pytest.approx(slow)


def test_jump_leaves_and_meets_the_floor():
    times = np.linspace(0, 2, 201)
    height, bent, _ = jump_curves(times, 0.8, 0.5, 0.4)
    assert height.max() == pytest.approx(0.4, abs=0.01)
    assert not height[(times < 0.8) | (times > 1.3)].any()
    assert bent[(times > 0.6) & (times < 0.8)].max() > 0.5


def test_dancers_take_the_shortest_ways():
    rng = np.random.default_rng(0)
    here = rng.normal(size=(5, 2))
    there = here[[3, 1, 4, 0, 2]] + 0.01
    assert assign(here, there) == pytest.approx(here + 0.01)


def test_dancers_share_a_choreography_with_own_timing():
    """The left arm's course of one dancer fits another's when moved by a fraction of a second."""
    event = make_event("dance", 0, 3, 1, 8, 25, (64, 64), 1)
    course = event.performance.pose[:, :, INDEX["l_out"]]
    best = max(np.corrcoef(course[20:-20, 0], np.roll(course[:, 1], shift)[20:-20])[0, 1] for shift in range(-12, 13))
    assert best > 0.8
    assert not np.allclose(course[:, 0], course[:, 1])


def test_players_keep_to_the_floor_and_run_at_human_speed():
    event = make_event("sports", 0, 10, 1, 10, 25, (64, 64), 2)
    place_of = event.performance.pose[..., [INDEX["x"], INDEX["y"]]]
    assert np.abs(place_of[..., 0]).max() <= 6.7
    assert np.abs(place_of[..., 1]).max() <= 4.3
    speed = np.linalg.norm(np.diff(place_of, axis=0), axis=-1) * 25
    assert 2.5 < speed.max() < 9.0
    assert event.performance.pose[..., INDEX["lift"]].max() > 0.2  # somebody jumps


def test_ball_is_nobody():
    assert BALL_ID > 250
