"""The flip test and one box a person, each against plain loops."""

import numpy as np
import pytest
import supervision as sv

from reidkit.toolkit.refine import FILLS, INSIDE, SAME, WEAKER, fuse, mirror, refined, without_duplicates

WIDTH = 200


def people(*rows):
    table = np.array(rows, np.float32).reshape(-1, 5)
    table = table[np.argsort(-table[:, 4], kind="stable")]
    return sv.Detections(xyxy=table[:, :4], confidence=table[:, 4], class_id=np.zeros(len(table), int))


def at_random(rng, count):
    """Boxes in heaps, so that many overlap."""
    corner = rng.choice([20.0, 60.0, 110.0], (count, 2)) + rng.uniform(0, 12, (count, 2))
    size = rng.uniform(12, 50, (count, 2))
    return people(*np.concatenate([corner, corner + size, rng.uniform(0.1, 1, (count, 1))], 1))


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(a, b):
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def overlap(a, b):
    return shared(a, b) / (area(a) + area(b) - shared(a, b))


def plain_duplicates(found):
    kept = []
    rows = [(box.astype(float), float(score)) for box, score in zip(found.xyxy, found.confidence, strict=True)]
    for box, score in rows:
        for better, its in kept:
            inside = shared(box, better) >= INSIDE * area(box)
            if inside and overlap(box, better) >= FILLS and np.float32(score) <= WEAKER * np.float32(its):
                break
        else:
            kept.append((box, score))
    return kept


def plain_fusion(one, two, least):
    left = list(range(len(two)))
    out = []
    for box, score in zip(one.xyxy, one.confidence, strict=True):
        best = max(left, key=lambda j: overlap(box, two.xyxy[j]), default=None)
        if best is None or overlap(box, two.xyxy[best]) < SAME:
            out.append((box, score / 2))
            continue
        left.remove(best)
        other = two.confidence[best]
        out.append(((score * box + other * two.xyxy[best]) / (score + other), (score + other) / 2))
    out += [(two.xyxy[j], two.confidence[j] / 2) for j in left]
    return sorted((row for row in out if row[1] >= least), key=lambda row: -row[1])


@pytest.mark.parametrize("seed", range(5))
def test_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    one, two = at_random(rng, 14), at_random(rng, 11)
    left = without_duplicates(one)
    plain = plain_duplicates(one)
    assert left.xyxy == pytest.approx(np.array([box for box, _ in plain]))
    assert left.metadata["duplicates"] == 14 - len(plain)
    fused = fuse(one, two, 0.2)
    plain = plain_fusion(one, two, 0.2)
    assert fused.confidence == pytest.approx(np.array([score for _, score in plain]), rel=1e-5)
    assert np.sort(fused.xyxy, 0) == pytest.approx(np.sort([box for box, _ in plain], 0), rel=1e-5)


@pytest.mark.parametrize(
    ("second", "dropped"),
    [
        ([10, 10, 50, 70, 0.5], True),  # the upper body of a person found whole
        ([10, 10, 50, 70, 0.8], False),  # as sure as the whole: rather somebody behind
        ([20, 40, 40, 60, 0.5], False),  # small: somebody far away
        ([40, 10, 80, 110, 0.5], False),  # beside
    ],
)
def test_which_boxes_are_duplicates(second, dropped):
    left = without_duplicates(people([10, 10, 50, 110, 0.9], second))
    assert (len(left) == 1) == dropped
    assert left.metadata["duplicates"] == dropped


def test_nobody_in_one_look_or_in_both():
    nobody, somebody = people(), people([10, 10, 50, 110, 0.9])
    for one, two in ((nobody, somebody), (somebody, nobody)):
        assert fuse(one, two, 0.1).confidence == pytest.approx([0.45])
    assert len(fuse(nobody, nobody, 0.1)) == len(without_duplicates(nobody)) == 0


class Brightest:
    """Finds the white columns of an image; a person at the image's left half is found twice."""

    name, sha256, input_size, confidence = "bright", "0" * 64, (WIDTH, 100), 0.1

    def detect(self, images):
        found = []
        for image in images:
            columns = np.flatnonzero(image[0, :, 0])
            box = [columns[0], 0, columns[-1] + 1, 100, 0.8]
            half = [[columns[0], 0, columns[-1] + 1, 60, 0.4]] if columns[0] < WIDTH / 2 else []
            found.append(people(box, *half))
        return found


def test_a_detector_refined():
    image = np.zeros((100, WIDTH, 3), np.uint8)
    image[:, 20:60] = 255
    plain = Brightest()
    assert refined(plain, flip_test=False, drop_duplicates=False) is plain
    (found,) = refined(plain, flip_test=True, drop_duplicates=False).detect([image])
    assert found.xyxy.tolist() == [[20, 0, 60, 100], [20, 0, 60, 60]]
    assert found.confidence == pytest.approx([0.8, 0.2])
    both = refined(plain, flip_test=True, drop_duplicates=True)
    assert (both.name, both.sha256, both.input_size) == (plain.name, plain.sha256, plain.input_size)
    (found,) = both.detect([image])
    assert found.xyxy.tolist() == [[20, 0, 60, 100]]
    assert found.metadata["duplicates"] == 1
    assert mirror(mirror(found, WIDTH), WIDTH).xyxy.tolist() == found.xyxy.tolist()
