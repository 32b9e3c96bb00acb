"""STMN: parity with the authors' code, its memories against loops, and what trains."""

import dataclasses

import pytest
import torch

from reidkit.baselines import stmn
from reidkit.datasets import UsageError
from reidkit.training import zoo
from reidkit.training.losses import combine

SMALL = dataclasses.replace(stmn.RECIPES["tiny"], backbone_width=8)


def batch(clips=4, frames=4):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(clips, frames, 3, 64, 32, generator=generator), torch.arange(clips) // 2


def awake(recipe=SMALL):
    """A model whose spatial memory does something."""
    torch.manual_seed(0)
    model = stmn.build(recipe, 4, 2)
    torch.nn.init.normal_(model.spatial_memory.norm.weight)
    torch.nn.init.normal_(model.spatial_memory.norm.bias)
    return model


@pytest.mark.slow
def test_parity_with_the_authors_code(parity, golden_folder):
    golden = parity.Golden("stmn", golden_folder("stmn"), 0, lengths=(6,))
    differences = golden.compare(parity.compute(golden))
    given = {n: v for n, v in differences.items() if "T8" not in n}
    assert None not in given.values()
    assert max(given.values()) < parity.BOUND, given
    assert golden.unexpected == golden.missing == []


@pytest.mark.slow
def test_parity_with_eight_frames(parity, golden_folder):
    golden = parity.Golden("stmn", golden_folder("stmn"), 0)
    assert max(golden.compare(parity.compute(golden)).values()) < parity.BOUND


def slow_match(memory, query):
    """Matching probabilities [S] of one query [D]."""
    key = memory.key.clone()
    for column in range(key.shape[1]):
        key[:, column] = key[:, column] / key[:, column].square().sum().sqrt()
    scores = [(query / query.square().sum().sqrt() * slot).sum().exp() for slot in key]
    return torch.stack(scores) / sum(scores)


@torch.no_grad()
@pytest.mark.parametrize("by_place", [False, True])
def test_the_spatial_memory_equals_loops(by_place):
    torch.manual_seed(0)
    channels, height, width = 6, 2, 3
    memory = stmn.SpatialMemory(4, channels, by_place).eval()
    norm = memory.norm
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        torch.nn.init.normal_(tensor)
    maps, queries = torch.randn(2, channels, height, width), torch.randn(2, channels, height, width)
    result, matches = memory(maps, queries)
    for frame in range(2):
        flat = queries[frame].flatten()
        clutter = torch.zeros(channels * height * width)
        for row in range(height * width):
            if by_place:
                places = [channel * height * width + row for channel in range(channels)]
            else:  # the authors' reading: the numbers of the map, channels first, cut into lines
                places = list(range(row * channels, (row + 1) * channels))
            expected = slow_match(memory, flat[places])
            torch.testing.assert_close(matches[frame, row], expected)
            read = sum(p * value for p, value in zip(expected, memory.value, strict=True))
            read = (read - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
            clutter[places] = read
        cleaned = maps[frame] - clutter.view(channels, height, width)
        torch.testing.assert_close(result[frame], cleaned.mean((1, 2)))


@torch.no_grad()
def test_the_temporal_memory_equals_loops():
    torch.manual_seed(0)
    channels, frames = 5, 3
    memory = stmn.TemporalMemory(4, channels, frames)
    vectors, queries = torch.randn(2, frames, channels), torch.randn(2, frames, channels)
    result, matches = memory(vectors, queries)
    lstm = memory.lstm
    for clip in range(2):
        state = cell = torch.zeros(channels)
        for t in range(frames):
            gates = lstm.weight_ih_l0 @ queries[clip, t] + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ state + lstm.bias_hh_l0
            enter, forget, new, out = gates.chunk(4)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            state = out.sigmoid() * cell.tanh()
        expected = slow_match(memory, state)
        torch.testing.assert_close(matches[clip], expected)
        read = sum(p * value for p, value in zip(expected, memory.value, strict=True)).exp()
        mean = sum(weight * vectors[clip, t] for t, weight in enumerate(read / read.sum()))
        torch.testing.assert_close(result[clip], mean)


def test_the_spread_loss_equals_loops():
    matches = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.3, 0.4, 0.3]])
    # ranges of the slots: 0.6, 0.2, 0.5
    for margin, expected in ((0.0, 0.0), (0.3, 0.1 / 3), (0.55, (0.35 + 0.05) / 3)):
        assert float(stmn.spread_loss(matches, margin)) == pytest.approx(expected, abs=1e-6)
        assert float(stmn.spread_loss(matches[None], margin)) == pytest.approx(expected, abs=1e-6)


@torch.no_grad()
def test_queries_have_both_signs_and_values_have_not():
    model = awake().eval()
    maps = model.backbone(batch()[0].flatten(0, 1))
    assert model.value(maps).min() == 0
    assert model.spatial_query(maps).min() < 0 < model.spatial_query(maps).max()
    assert model.temporal_query(maps).min() < 0


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other_and_order_matters():
    model = awake().eval()
    torch.nn.init.normal_(model.temporal_memory.value, std=5)
    clips, cameras = batch()
    together = model.embed(clips, cameras)
    assert together.shape == (4, 256)
    torch.testing.assert_close(together[2:], model.embed(clips[2:], cameras[2:]), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together, model.embed(clips.flip(1), cameras), atol=1e-3)


@pytest.mark.parametrize("name", ["stmn", "stmn/by-place"])
def test_the_losses_of_a_step(name):
    recipe = zoo.recipe(name, "tiny", ("backbone_width=8",))
    model = awake(recipe).train()
    clips, labels = batch()
    _, parts = combine(model(clips, labels, labels), labels, recipe)
    kinds = ("id", "triplet", "spread")
    assert set(parts) == {f"{kind}/{where}" for kind in kinds for where in ("spatial", "temporal")}


def test_clips_of_another_length_are_an_error():
    with pytest.raises(UsageError, match="test_frames is 8"):
        stmn.build(zoo.recipe("stmn", "tiny", ("test_frames=8",)), 4, 2)


def test_names_that_nobody_knows_and_ours_are_kept():
    state = stmn.build(SMALL, 4, 2).state_dict()
    assert stmn.convert(state).keys() == state.keys()
    assert stmn.convert({"lost.weight": 1}) == {"lost.weight": 1}


def test_the_recipe_is_the_papers():
    recipe = stmn.RECIPES["full"]
    assert (recipe.lr, recipe.gamma, recipe.milestones, recipe.epochs) == (1e-4, 0.1, (50, 100, 150), 200)
    assert (recipe.label_smoothing, recipe.triplet_margin, recipe.spread_margin) == (0.0, None, 0.3)
    assert (recipe.clip.frames, recipe.test_frames, recipe.test_sampling, recipe.test_flip) == (6, 6, "strided", True)
    assert (recipe.identities, recipe.tracklets) == (8, 4)


@pytest.mark.slow
def test_the_loss_falls(train_tiny):
    first, last = train_tiny("stmn")
    assert last < 0.8 * first
