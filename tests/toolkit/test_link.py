"""Linking: against a slow twin, under its constraints, and on events made up so that the answer is known."""

import itertools

import numpy as np
import pytest

from reidkit.datasets import UsageError
from reidkit.toolkit.link import (
    UNDECIDED,
    LinkSettings,
    Observations,
    agglomerate,
    camera_centred,
    cannot_link,
    link,
    people_at_once,
    refine,
)


def observe(features, camera, start, end, must=None, annotated=None):
    features = np.asarray(features, float)
    n = len(features)
    return Observations(
        features=features / np.linalg.norm(features, axis=1, keepdims=True),
        camera=np.asarray(camera),
        start=np.asarray(start, float),
        end=np.asarray(end, float),
        weight=np.ones(n),
        must=np.full(n, -1) if must is None else np.asarray(must),
        annotated=np.full(n, -1) if annotated is None else np.asarray(annotated),
    )


def made_up_event(people, cameras, seed, *, view=0.7, pieces=3, cast=0.8, absent=0.0):
    """People seen by every camera in pieces of a 30 s take; each camera has a cast, and all have much in common."""
    rng = np.random.default_rng(seed)
    common, person, tint = 2 * rng.normal(size=64), rng.normal(size=(people, 64)), cast * rng.normal(size=(cameras, 64))
    rows = []
    for who in range(people):
        for camera in range(cameras):
            if rng.random() < absent:
                continue
            edges = [0.0, *np.sort(rng.random(rng.poisson(pieces))) * 30, 30.0]
            for start, end in itertools.pairwise(edges):
                if end - start > 0.4:
                    noise = (view + 0.6 / np.sqrt(end - start)) * rng.normal(size=64)
                    rows.append((common + person[who] + tint[camera] + noise, camera, start, end - 0.2, who))
    features, camera, start, end, who = zip(*rows, strict=True)
    return observe(np.array(features), camera, start, end), np.array(who)


def pairs(cluster, who):
    decided = cluster >= 0
    upper = np.triu_indices(decided.sum(), 1)
    linked = (cluster[decided][:, None] == cluster[decided])[upper]
    true = (who[decided][:, None] == who[decided])[upper]
    return (linked & true).sum() / linked.sum(), (linked & true).sum() / true.sum()


@pytest.mark.parametrize(
    ("people", "cameras", "options", "precision", "recall"),
    [
        (10, 3, {}, 0.99, 0.97),
        (2, 4, {"pieces": 0}, 1.0, 1.0),  # one tracklet each: nothing but eight of them
        (3, 4, {"pieces": 0}, 1.0, 1.0),
        (10, 3, {"absent": 0.4}, 0.98, 0.95),  # cameras that see only some of the people
        (22, 5, {"pieces": 6}, 0.99, 0.95),  # a football match
        (10, 3, {"view": 1.2}, 0.95, 0.7),  # embeddings that know little
        (6, 1, {"pieces": 6}, 1.0, 0.95),  # one camera: pieces of one person are found again
    ],
)
def test_made_up_events_are_linked(people, cameras, options, precision, recall):
    found = [
        pairs(link(seen, LinkSettings()).cluster, who)
        for seen, who in (made_up_event(people, cameras, seed, **options) for seed in range(3))
    ]
    assert np.mean([p for p, _ in found]) >= precision
    assert np.mean([r for _, r in found]) >= recall


def naive(similarity, forbidden, weight, members, threshold, least):
    """Average linkage as its definition reads: every pair of clusters, every time."""
    groups = [list(m) for m in members]
    while len(groups) > least:
        best = None
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                if any(forbidden[i, j] for i in groups[a] for j in groups[b]):
                    continue
                total = sum(weight[i] * weight[j] * similarity[i, j] for i in groups[a] for j in groups[b])
                mean = total / (sum(weight[i] for i in groups[a]) * sum(weight[j] for j in groups[b]))
                if best is None or mean > best[0] + 1e-12:
                    best = mean, a, b
        if best is None or best[0] < threshold:
            break
        groups[best[1]] += groups.pop(best[2])
    return sorted(sorted(g) for g in groups)


@pytest.mark.parametrize("seed", range(6))
def test_agglomeration_is_that_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    n = 24
    features = rng.normal(size=(n, 6))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    similarity = features @ features.T
    forbidden = np.triu(rng.random((n, n)) < 0.2, 1)
    forbidden |= forbidden.T
    forbidden[0, 1] = forbidden[1, 0] = False
    weight = rng.random(n) + 0.1
    members = [[0, 1], *([i] for i in range(2, n))]
    for threshold, least in ((0.3, 1), (-np.inf, 5), (-np.inf, 1)):
        fast = agglomerate(similarity, forbidden, weight, members, threshold, least)
        assert sorted(fast) == naive(similarity, forbidden, weight, members, threshold, least)


@pytest.mark.parametrize("seed", range(3))
def test_constraints_hold_whatever_the_embeddings_say(seed):
    rng = np.random.default_rng(seed)
    n = 40
    start = rng.random(n) * 10
    must = np.full(n, -1)
    must[[0, 1]] = 7  # two cameras, unlike each other
    features = rng.normal(size=(n, 4))
    features[1] = -features[0]
    camera = rng.integers(0, 3, n)
    camera[[0, 1]] = 0, 1
    seen = observe(features, camera, start, start + 3, must)
    cluster = link(seen, LinkSettings()).cluster
    forbidden = cannot_link(seen, 0.5)
    same = (cluster[:, None] == cluster[None]) & (cluster[:, None] >= 0)
    assert not (same & forbidden).any()
    assert cluster[0] == cluster[1] >= 0


def test_linking_twice_gives_the_same():
    seen, _ = made_up_event(8, 3, 5)
    one, two = link(seen, LinkSettings()), link(seen, LinkSettings())
    assert (one.cluster == two.cluster).all()
    assert (one.confidence == two.confidence).all()


def test_number_of_people_ends_the_merging():
    # By its own threshold this one ends with more; cannot-links alone leave nine clusters: three are dissolved.
    seen, _ = made_up_event(6, 3, 2, view=1.6)
    assert len(set(link(seen, LinkSettings()).cluster)) > 7
    cluster = link(seen, LinkSettings(people=6)).cluster
    assert set(cluster[cluster >= 0]) == set(range(6))


@pytest.mark.parametrize("seed", range(20))
def test_constraints_hold_where_the_number_of_people_is_given(seed):
    """Fewer people than the cannot-links allow: clusters are dissolved, but never what must be one person."""
    rng = np.random.default_rng(seed)
    people, cameras = 6, 2
    rows = [  # three pieces of each tracklet, as cuts at the border of two views make them
        (who, camera, 5.0 * piece, 5.0 * piece + 4.9, who * cameras + camera)
        for who, camera, piece in itertools.product(range(people), range(cameras), range(3))
    ]
    who, camera, start, end, must = (np.array(column) for column in zip(*rows, strict=True))
    # As many tracklets without any must-link, some of them too short to found a cluster.
    must = np.concatenate([must, np.full(len(must), -1)])
    who, camera, start = np.concatenate([who, who]), np.concatenate([camera, camera]), np.concatenate([start, start])
    end = np.concatenate([end, start[: len(end)] + rng.uniform(0.2, 4.9, len(end))])
    features = rng.normal(size=(people, 8))[who] + rng.normal(size=(len(who), 8))
    seen = observe(features, camera, start, end, must)
    forbidden = cannot_link(seen, 0.5)
    for wanted in (1, 3, 5):
        cluster = link(seen, LinkSettings(people=wanted)).cluster
        assert len(np.unique(cluster[cluster >= 0])) <= wanted
        for value in np.unique(must[must >= 0]):
            assert len(set(cluster[must == value])) == 1, f"tracklets of group {value} were parted"
        same = (cluster[:, None] == cluster[None]) & (cluster[:, None] >= 0)
        assert not (same & forbidden).any()


def test_a_dissolved_group_is_attached_whole():
    # Three people stand in camera 0 at once, and two are asked for. Both pieces of one tracklet in camera 1 go with the
    # third; when it is dissolved, the longer piece resembles the first person, the shorter one the second.
    a, b, c = np.eye(3)
    features = [a, b, c, a, b, a, b, c + 0.9 * a, c + 0.3 * a + 0.8 * b]
    start, end, must = [0] * 8 + [2.1], [9] * 7 + [2, 2.6], [-1] * 7 + [4, 4]
    seen = observe(features, [0, 0, 0, 2, 2, 3, 3, 1, 1], start, end, must)
    cluster = link(seen, LinkSettings(people=2, attach_margin=0.0)).cluster
    assert cluster.tolist() == [0, 1, UNDECIDED, 0, 1, 0, 1, 0, 0]


def test_a_camera_cast_does_not_count_as_likeness():
    # Two people, two cameras, the cast stronger than the people: by plain cosine each camera is one person.
    cast, person = np.eye(4)[:2] * 3, np.eye(4)[2:]
    seen = observe([cast[c] + person[p] for c in (0, 1) for p in (0, 1)], [0, 0, 1, 1], [0, 0, 0, 0], [5, 5, 5, 5])
    plain = seen.features @ seen.features.T
    assert plain[0, 1] > plain[0, 2]
    centred = camera_centred(seen)
    assert centred[0, 2] > centred[0, 1]
    assert link(seen, LinkSettings()).cluster.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ((0, 5), (4, 9), True),  # one second together
        ((0, 5), (5, 9), False),  # one after the other
        ((0, 5), (4.6, 9), False),  # a tracker's handover
        ((0, 5), (4.6, 5.3), True),  # as short, but more than half of the second
        ((0, 9), (3, 4), True),  # inside
    ],
)
def test_cannot_link_is_time_together(first, second, apart):
    seen = observe(np.eye(2), [0, 0], [first[0], second[0]], [first[1], second[1]])
    assert cannot_link(seen, 0.5)[0, 1] == apart
    other_camera = observe(np.eye(2), [0, 1], [first[0], second[0]], [first[1], second[1]])
    assert not cannot_link(other_camera, 0.5).any()


def test_two_ids_of_one_annotation_are_two_people_though_never_seen_together():
    seen = observe(np.ones((3, 4)), [0, 0, 1], [0, 6, 0], [5, 9, 5], must=[0, 1, 2], annotated=[4, 4, 5])
    assert cannot_link(seen, 0.5).tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    cluster = link(seen, LinkSettings()).cluster
    assert cluster[0] != cluster[1]


def test_one_annotated_id_twice_at_a_time_is_an_error():
    seen = observe(np.ones((2, 4)), [0, 0], [0, 1], [5, 6], must=[3, 3], annotated=[0, 0])
    with pytest.raises(UsageError, match=r"Tracklets 0 and 1 must be one person.*from 1\.00 s on"):
        link(seen, LinkSettings())


def test_a_short_scrap_between_two_people_stays_undecided():
    rng = np.random.default_rng(0)
    people = rng.normal(size=(2, 32))
    rows = [people[p] + 0.2 * rng.normal(size=32) for _ in range(3) for p in (0, 1)]
    rows += [people.mean(0), people[1]]  # 0.3 s each
    seen = observe(rows, [0, 0, 1, 1, 2, 2, 0, 0], [0] * 6 + [6, 7], [5] * 6 + [6.3, 7.3])
    links = link(seen, LinkSettings())
    assert links.cluster[6] == UNDECIDED
    assert links.confidence[6] == 0
    assert links.cluster[7] == links.cluster[1]


def test_refinement_swaps_two_that_forbid_each_other():
    # Tracklets 0 and 1 of camera 0 were given each other's cluster; neither can move alone.
    similarity = np.full((6, 6), -0.5)
    for a, b in ((0, 3), (0, 5), (3, 5), (1, 2), (1, 4), (2, 4)):
        similarity[a, b] = similarity[b, a] = 0.9
    forbidden = np.zeros((6, 6), bool)
    for a, b in ((0, 1), (2, 3), (4, 5)):
        forbidden[a, b] = forbidden[b, a] = True
    label = refine(np.array([0, 1, 0, 1, 0, 1]), similarity, forbidden, np.ones(6), np.ones(6, bool))
    assert label.tolist() == [1, 0, 0, 1, 0, 1]


def test_confidence_falls_with_the_margin():
    clear, _ = made_up_event(6, 3, 1, view=0.3)
    dim, _ = made_up_event(6, 3, 1, view=1.4)
    assert np.median(link(clear, LinkSettings()).confidence) > np.median(link(dim, LinkSettings()).confidence)


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_and_one_tracklet(count):
    seen = observe(np.ones((count, 3)) if count else np.zeros((0, 3)), [0] * count, [0] * count, [5] * count)
    assert link(seen, LinkSettings()).cluster.tolist() == [0] * count


def test_people_at_once():
    seen = observe(np.eye(4), [0, 0, 0, 1], [0, 1, 5, 0], [3, 5, 9, 1])  # the second ends as the third starts
    assert people_at_once(seen) == {0: 2, 1: 1}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"people": 0}, "'0' is no value for the linking setting 'people'"),
        ({"overlap": -1.0}, "'-1.0' is no value for the linking setting 'overlap'"),
        ({"anchor_seconds": float("nan")}, "'nan' is no value for the linking setting 'anchor_seconds'"),
        ({"attach_margin": -0.1}, "'-0.1' is no value for the linking setting 'attach_margin'"),
    ],
)
def test_settings_out_of_range(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        LinkSettings(**wrong)
