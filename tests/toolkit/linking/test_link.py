"""Linking as a whole: under its constraints, and on events made up so that the answer is known."""

import itertools

import numpy as np
import pytest
from observed import forbidden_pairs, made_up_event, observe

from reidkit.datasets import UsageError
from reidkit.toolkit.linking import UNDECIDED, LinkSettings, link, linkage
from reidkit.toolkit.linking.observations import camera_centred


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


@pytest.fixture(params=[linkage.WINDOW, 12], ids=["one window", "many windows"])
def windows(request, monkeypatch):
    """Every event of a test in one window, or in many."""
    monkeypatch.setattr(linkage, "WINDOW", request.param)


@pytest.mark.parametrize("seed", range(3))
def test_constraints_hold_whatever_the_embeddings_say(seed, windows):
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
    forbidden = forbidden_pairs(seen, 0.5)
    same = (cluster[:, None] == cluster[None]) & (cluster[:, None] >= 0)
    assert not (same & forbidden).any()
    assert cluster[0] == cluster[1] >= 0


def test_many_windows_link_no_worse_than_one(monkeypatch):
    """Two thousand tracklets: windows see a part of the event each, and the clusters of all of it are found."""
    seen, who = made_up_event(12, 4, 0, pieces=40, view=1.0)
    scores = []
    for window in (5_000, 200):
        monkeypatch.setattr(linkage, "WINDOW", window)
        cluster = link(seen, LinkSettings()).cluster
        scores.append(pairs(cluster, who))
        same = (cluster[:, None] == cluster[None]) & (cluster[:, None] >= 0)
        together = np.minimum(seen.end[:, None], seen.end) - np.maximum(seen.start[:, None], seen.start)
        beside = (seen.camera[:, None] == seen.camera) & (together > 0.5)
        assert not (same & beside & ~np.eye(len(who), dtype=bool)).any()
    assert scores[1][0] >= scores[0][0] - 0.01
    assert scores[1][1] >= scores[0][1] - 0.02


def test_what_an_annotation_names_is_never_a_scrap():
    """A person of hardly any footage, like nobody and seen by two cameras: noise, but for the annotation."""
    seen, _ = made_up_event(6, 2, 0, pieces=30, view=0.2)
    rng = np.random.default_rng(0)
    stray = rng.normal(size=(3, seen.features.shape[1]))
    more = observe(
        np.concatenate([seen.features, stray]),
        np.concatenate([seen.camera, [0, 0, 1]]),
        np.concatenate([seen.start, [40, 41, 40]]),
        np.concatenate([seen.end, [40.4, 41.4, 40.4]]),
        np.concatenate([seen.must, [0, 0, -1]]),
        np.concatenate([seen.annotated, [0, 0, -1]]),
    )
    cluster = link(more, LinkSettings()).cluster
    assert cluster[-3] == cluster[-2] >= 0


def test_a_few_seconds_found_nobody_where_others_are_seen_for_long():
    seen, _ = made_up_event(6, 2, 0, pieces=5, view=0.2)
    stray = np.random.default_rng(1).normal(size=(1, seen.features.shape[1]))

    def cluster(seconds: float) -> int:
        columns = [(seen.features, stray), (seen.camera, [0]), (seen.start, [40]), (seen.end, [40 + seconds])]
        return int(link(observe(*(np.concatenate(pair) for pair in columns)), LinkSettings()).cluster[-1])

    assert cluster(2.0) == UNDECIDED
    assert cluster(11.0) >= 0


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
def test_constraints_hold_where_the_number_of_people_is_given(seed, windows):
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
    forbidden = forbidden_pairs(seen, 0.5)
    for wanted in (1, 3, 5, 9, 20):
        cluster = link(seen, LinkSettings(people=wanted)).cluster
        assert len(np.unique(cluster[cluster >= 0])) == wanted
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
    vectors = camera_centred(seen)
    centred = vectors @ vectors.T
    assert centred[0, 2] > centred[0, 1]
    assert link(seen, LinkSettings()).cluster.tolist() == [0, 1, 0, 1]


def test_two_ids_of_one_annotation_are_two_people_though_never_seen_together():
    seen = observe(np.ones((3, 4)), [0, 0, 1], [0, 6, 0], [5, 9, 5], must=[0, 1, 2], annotated=[4, 4, 5])
    assert forbidden_pairs(seen, 0.5).tolist() == [[False, True, False], [True, False, False], [False, False, False]]
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


def test_confidence_falls_with_the_margin():
    clear, _ = made_up_event(6, 3, 1, view=0.3)
    dim, _ = made_up_event(6, 3, 1, view=1.4)
    assert np.median(link(clear, LinkSettings()).confidence) > np.median(link(dim, LinkSettings()).confidence)


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_and_one_tracklet(count):
    seen = observe(np.ones((count, 3)) if count else np.zeros((0, 3)), [0] * count, [0] * count, [5] * count)
    assert link(seen, LinkSettings()).cluster.tolist() == [0] * count


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
