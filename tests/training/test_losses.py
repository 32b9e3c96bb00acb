"""Each loss beside its twin in plain loops."""

import math

import pytest
import torch

from reidkit.training.losses import batch_hard_triplet, combine, smoothed_cross_entropy, supervised_contrast
from reidkit.training.model import TrainingOutput
from reidkit.training.recipe import Recipe


def slow_cross_entropy(logits, labels, smoothing):
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        top = max(row)
        log_sum = top + math.log(sum(math.exp(x - top) for x in row))
        for c, x in enumerate(row):
            weight = smoothing / len(row) + (1 - smoothing) * (c == label)
            total -= weight * (x - log_sum)
    return total / len(logits)


def slow_triplet(features, labels, margin, distance):
    def apart(a, b):
        if distance == "euclidean":
            return math.sqrt(max(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)), 1e-12))
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return 1 - dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    rows, labels = features.tolist(), labels.tolist()
    total = 0.0
    for i, anchor in enumerate(rows):
        positive = max(apart(anchor, rows[j]) for j in range(len(rows)) if labels[j] == labels[i])
        negative = min(apart(anchor, rows[j]) for j in range(len(rows)) if labels[j] != labels[i])
        gap = positive - negative
        total += math.log1p(math.exp(gap)) if margin is None else max(gap + margin, 0.0)
    return total / len(rows)


def slow_contrast(a, b, la, lb, temperature):
    total, used = 0.0, 0
    for i, x in enumerate(a.tolist()):
        scores = [sum(p * q for p, q in zip(x, y, strict=True)) / temperature for y in b.tolist()]
        log_sum = math.log(sum(math.exp(s) for s in scores))
        positives = [j for j in range(len(scores)) if lb[j] == la[i]]
        if positives:
            used += 1
            total -= sum(scores[j] - log_sum for j in positives) / len(positives)
    return total / max(used, 1)


def draw(batch=12, width=5, identities=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, width, generator=generator, dtype=torch.float32)
    return features, torch.arange(batch) % identities


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_equals_the_twin(smoothing):
    logits, labels = draw(width=7)
    assert smoothed_cross_entropy(logits, labels, smoothing).item() == pytest.approx(
        slow_cross_entropy(logits, labels, smoothing), rel=1e-5
    )


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("margin", [0.3, None])
@pytest.mark.parametrize("identities", [2, 4, 12])  # 12: every identity once, the anchor is its own positive
def test_triplet_equals_the_twin(distance, margin, identities):
    features, labels = draw(identities=identities)
    fast = batch_hard_triplet(features, labels, margin, distance).item()
    # an anchor to itself is the root of what cancellation left: up to 3e-4 in float32
    assert fast == pytest.approx(
        slow_triplet(features, labels, margin, distance), abs=3e-4 if identities == 12 else 1e-5
    )


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("margin", [0.3, None])
def test_triplet_of_equal_features_has_a_finite_gradient(distance, margin):
    features = torch.ones(4, 3, requires_grad=True)
    loss = batch_hard_triplet(features, torch.tensor([0, 0, 1, 1]), margin, distance)
    loss.backward()
    assert features.grad.isfinite().all()
    assert loss.item() == pytest.approx(0.3 if margin else math.log(2), abs=1e-5)


@pytest.mark.parametrize("margin", [0.3, None])
def test_triplet_without_a_negative_is_zero_with_a_zero_gradient(margin):
    features = torch.randn(4, 3, requires_grad=True)
    loss = batch_hard_triplet(features, torch.zeros(4, dtype=torch.long), margin)
    loss.backward()
    assert loss.item() == 0
    assert features.grad.abs().max() == 0


def test_triplet_gradient_pulls_and_pushes():
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.2, 0.0], [9.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1])
    before = batch_hard_triplet(features, labels)
    before.backward()
    after = batch_hard_triplet(features.detach() - 0.05 * features.grad, labels)
    assert after < before


@pytest.mark.parametrize("temperature", [1.0, 0.07])
def test_contrast_equals_the_twin(temperature):
    a, la = draw(6, identities=3)
    b, lb = draw(9, identities=2, seed=1)  # identity 2 of the anchors has no positive
    a, b = torch.nn.functional.normalize(a, dim=1), torch.nn.functional.normalize(b, dim=1)
    fast = supervised_contrast(a, b, la, lb, temperature).item()
    assert fast == pytest.approx(slow_contrast(a, b, la, lb, temperature), rel=1e-4)


def test_combine_weights_and_names_every_part():
    features, labels = draw()
    logits = features @ torch.randn(5, 4)
    recipe = Recipe(id_weight=0.25, triplet_weight=2.0, triplet_margin=None)
    output = TrainingOutput({"a": logits, "b": 2 * logits}, {"f": features}, {"own": torch.tensor(3.0)})
    total, parts = combine(output, labels, recipe)
    assert set(parts) == {"id/a", "id/b", "triplet/f", "own"}
    assert parts["id/a"].item() == pytest.approx(0.25 * slow_cross_entropy(logits, labels, 0.1), rel=1e-5)
    assert parts["triplet/f"].item() == pytest.approx(2 * slow_triplet(features, labels, None, "euclidean"), rel=1e-5)
    assert total.item() == pytest.approx(sum(p.item() for p in parts.values()), rel=1e-6)
