"""What is ranked for a tracklet, and in which order."""

import numpy as np
import pytest
from made_up import write_own

from reidkit.datasets import Frames, ReidDataset, Tracklet, UsageError
from reidkit.datasets.own import read_dataset
from reidkit.leaderboard.gallery import choose_gallery, nearest, open_gallery, rank, stored_features
from reidkit.leaderboard.report.search import gallery_page


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_nearest_against_its_slow_twin(metric):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 5)).astype(np.float32)
    features[20:25] = features[3:8]  # ties keep their order
    order, distances = nearest(features, metric, 12)
    slow = []
    for row in features[1:].astype(float):
        asked = features[0].astype(float)
        if metric == "cosine":
            slow.append(1 - row @ asked / np.linalg.norm(row) / np.linalg.norm(asked))
        else:
            slow.append(np.sqrt(sum((a - b) ** 2 for a, b in zip(row, asked, strict=True))))
    assert order == sorted(range(29), key=lambda i: (round(slow[i], 9), i))[:12]
    assert distances == pytest.approx([slow[i] for i in order])


def one(id_, identity, camera, kind="person"):
    return Tracklet(id_, identity, camera, Frames(("x.jpg",)), kind=kind)


def made_up_dataset(protocol="video-reid", person=1):
    """Two queries, and of the first its own view, a match, junk and a distractor that bears its number."""
    q1, q2 = one("q1", person, 0), one("q2", 2, 0)
    others = (
        one("same-view", person, 0),
        one("match", person, 1),
        one("junk", -1, 1, "junk"),
        one("crowd", 0, 0, "distractor"),
    )
    return ReidDataset("d", (), (q1, q2), (q1, q2, *others), protocol, cameras=("left",))


@pytest.mark.parametrize(
    ("protocol", "ranked"),
    [
        ("video-reid", ["q2", "match", "crowd"]),
        ("ls-vid", ["match", "crowd"]),  # queries are no part of its gallery
        ("of another reidkit", ["q2", "match", "crowd"]),
    ],
)
def test_what_is_ranked(protocol, ranked):
    dataset = made_up_dataset(protocol)
    gallery = choose_gallery("d", dataset.test, "q1", dataset)
    assert gallery.query.id == "q1"
    assert [t.id for t in gallery.entries] == ranked
    assert [t.id for t in gallery.tracklets] == ["q1", *ranked]


@pytest.mark.parametrize("person", [0, 1])
def test_verdicts(person):
    """Identity 0 is a person here, and a distractor is nobody, whatever number it bears."""
    dataset = made_up_dataset(person=person)
    gallery = choose_gallery("d", dataset.test, "q1", dataset)
    matches = rank(gallery, np.array([[1.0, 0], [1, 0.1], [1, 0.2], [1, 0.3]]))
    assert [(m.rank, m.tracklet.id, m.verdict) for m in matches] == [
        (1, "q2", "wrong"),
        (2, "match", "right"),
        (3, "crowd", "wrong"),
    ]
    assert [gallery.camera(m.tracklet) for m in matches] == ["left", "camera 2", "left"]
    page = gallery_page(gallery, matches, "model")
    assert page.count("✗ wrong</td>") == 2
    assert "rank 3, tracklet crowd, distractor, left: wrong" in page
    assert f"tracklet q1, identity {person}, left: query" in page


def test_in_a_folder_nobody_is_known():
    crops = tuple(one(name, -1, 0, "junk") for name in "abc")
    gallery = choose_gallery("folder", crops, "b")
    matches = rank(gallery, np.array([[1.0, 0], [0, 1], [1, 0.5]]), top=1)
    assert [(m.tracklet.id, m.verdict) for m in matches] == [("c", "unknown")]
    assert gallery.camera(crops[0]) == ""
    page = gallery_page(gallery, matches, "model")
    assert "rank 1, tracklet c: unknown" in page
    assert "junk" not in page


def test_nothing_to_rank():
    alone = one("a", -1, 0, kind="junk")
    with pytest.raises(UsageError, match="nothing to rank"):
        choose_gallery("folder", (alone,), "a")


def test_an_unknown_tracklet_names_near_ones(tmp_path):
    dataset = made_up_dataset()
    with pytest.raises(UsageError, match=r"no tracklet 'macth' among its 6; for example match"):
        choose_gallery("d", dataset.test, "macth", dataset)
    with pytest.raises(UsageError, match="There is no folder"):
        open_gallery(str(tmp_path / "absent"), "a")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "l1"}, "euclidean"),
        ({"features": np.ones((2, 3))}, r"it must be \[4, D\]"),
        ({"features": np.ones(4)}, r"it must be \[4, D\]"),
        ({"features": np.full((4, 2), np.nan)}, "NaN or infinity in row 0"),
        ({"features": np.full((4, 2), 1e300)}, "in row 0, of which no distance can be taken"),
        ({"features": np.diag([1.0, 1, 0, 1])}, "all zero in row 2"),
    ],
)
def test_features_that_cannot_be_ranked(changes, words):
    dataset = made_up_dataset()
    gallery = choose_gallery("d", dataset.test, "q1", dataset)
    with pytest.raises(UsageError, match=words):
        rank(gallery, **({"features": np.eye(4)} | changes))


def test_a_source_is_ranked_by_stored_features_or_by_made_ones(tmp_path):
    folder = write_own(tmp_path, "mine")
    dataset = read_dataset(folder)
    rng = np.random.default_rng(1)
    feature_of = {t.id: rng.normal(size=6) for t in (*dataset.train, *dataset.test)}
    asked = dataset.query[0].id
    np.savez(tmp_path / "f.npz", features=np.stack(list(feature_of.values())), ids=np.array(list(feature_of)))
    gallery = open_gallery(str(folder), asked)
    by_file = rank(gallery, stored_features(tmp_path / "f.npz", gallery), "euclidean", 3)
    by_function = rank(gallery, np.stack([feature_of[t.id] for t in gallery.tracklets]), "euclidean", 3)
    assert by_file == by_function
    assert [m.rank for m in by_file] == [1, 2, 3]
    gaps = [np.linalg.norm(feature_of[m.tracklet.id] - feature_of[asked]) for m in by_file]
    assert [m.distance for m in by_file] == pytest.approx(gaps)
