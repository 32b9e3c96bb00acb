"""What is ranked for a tracklet, and in which order."""

import numpy as np
import pytest

from reidkit.datasets import Frames, ReidDataset, Tracklet, UsageError
from reidkit.leaderboard.gallery import choose_gallery, nearest


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


def made_up_dataset(protocol):
    def one(id_, identity, camera, kind="person"):
        return Tracklet(id_, identity, camera, Frames(("x.jpg",)), kind=kind)

    q1, q2 = one("q1", 1, 0), one("q2", 2, 0)
    others = (one("same-view", 1, 0), one("match", 1, 1), one("junk", -1, 1, "junk"), one("crowd", 0, 1, "distractor"))
    return ReidDataset("d", (), (q1, q2), (q1, q2, *others), protocol)


@pytest.mark.parametrize(
    ("protocol", "ranked"),
    [
        ("video-reid", ["q2", "match", "crowd"]),
        ("ls-vid", ["match", "crowd"]),  # queries are no part of its gallery
    ],
)
def test_what_is_ranked(protocol, ranked):
    dataset = made_up_dataset(protocol)
    gallery = choose_gallery("d", dataset.test, "q1", dataset)
    assert gallery.query.id == "q1"
    assert [t.id for t in gallery.entries] == ranked


def test_nothing_to_rank():
    alone = Tracklet("a", -1, 0, Frames(("x.jpg",)), kind="junk")
    with pytest.raises(UsageError, match="nothing to rank"):
        choose_gallery("folder", (alone,), "a")
