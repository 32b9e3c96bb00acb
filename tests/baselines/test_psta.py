"""PSTA: parity with the authors' code, its attentions against loops, and what trains."""

import pytest
import torch

from reidkit.baselines import psta
from reidkit.datasets import UsageError
from reidkit.training import zoo
from reidkit.training.losses import combine

TINY = psta.RECIPES["tiny"]
SMALL = TINY.changed(height=64, width=32, backbone_width=8, channels=32)


def batch(clips=4, height=64, width=32):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(clips, 8, 3, height, width, generator=generator), torch.arange(clips) // 2


def some(module):
    """The module in eval mode with batch norms that do something."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(part.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.uniform_(part.bias, -0.2, 0.2)
    return module.eval()


def test_parity_with_the_authors_code(parity, golden_folder):
    golden = parity.Golden("psta", golden_folder("psta"), 0, lengths=(8,))
    differences = golden.compare(parity.compute(golden))
    given = {n: v for n, v in differences.items() if "T16" not in n}
    assert None not in given.values()
    assert max(given.values()) < parity.BOUND, given
    assert golden.unexpected == golden.missing == []


@pytest.mark.slow
def test_parity_with_sixteen_frames(parity, golden_folder):
    golden = parity.Golden("psta", golden_folder("psta"), 0)
    assert max(golden.compare(parity.compute(golden)).values()) < parity.BOUND


def at(module, vector):
    """A block of 1x1 convolutions on one place: [C] -> [C']."""
    return module(vector[None, :, None, None])[0, :, 0, 0]


@torch.no_grad()
def test_sra_equals_loops_over_places():
    torch.manual_seed(0)
    height, width, channels, embedding = 3, 2, 8, 4
    sra = some(psta.SpatialReferenceAttention(channels, embedding, height * width))
    maps, embedded = torch.rand(2, channels, height, width), torch.rand(2, embedding, height, width)
    result = sra(maps, embedded).flatten(2)
    for frame in range(2):
        x, e = maps[frame].flatten(1), embedded[frame].flatten(1)
        gates = sra.channel(x.mean(1))
        for p in range(6):
            # how place p answers the query of every place, after how every place answers its own
            outgoing = [at(sra.query, x[:, i]) @ at(sra.key, x[:, p]) for i in range(6)]
            incoming = [at(sra.query, x[:, p]) @ at(sra.key, x[:, i]) for i in range(6)]
            relation = at(sra.relation, torch.stack(incoming + outgoing))
            gate = at(sra.place, torch.cat([e[:, p], relation]))
            torch.testing.assert_close(result[frame, :, p], x[:, p] * gate * gates)


@torch.no_grad()
def test_tra_equals_loops_over_places():
    torch.manual_seed(0)
    height, width, channels, embedding = 3, 2, 8, 4
    tra = some(psta.TemporalReferenceAttention(channels, embedding, height * width))
    maps, embedded = torch.rand(2, 2, channels, height, width), torch.rand(2, 2, embedding, height, width)
    tra.eval()
    result = tra(maps, embedded)[:, 0].flatten(2)
    for pair in range(2):
        total = torch.zeros(channels, 6)
        for frame in range(2):
            x, y = maps[pair, frame].flatten(1), maps[pair, 1 - frame].flatten(1)
            e, f = embedded[pair, frame].flatten(1), embedded[pair, 1 - frame].flatten(1)
            gates = tra.channel(torch.cat([tra.squeeze(x.mean(1)), tra.squeeze(y.mean(1))]))
            for p in range(6):
                incoming = [at(tra.query, x[:, p]) @ at(tra.key, y[:, i]) for i in range(6)]
                outgoing = [at(tra.query, y[:, i]) @ at(tra.key, x[:, p]) for i in range(6)]
                relation = at(tra.relation, torch.stack(incoming + outgoing))
                gate = at(tra.place, torch.cat([at(tra.pair, torch.cat([e[:, p], f[:, p]])), relation]))
                total[:, p] += x[:, p] * gate * gates
        torch.testing.assert_close(result[pair], total**2)


def test_batch_norms_of_tra_see_a_frame_at_a_time():
    part = psta.conv_block(3, 2)
    norm = part[1]
    maps = torch.randn(4, 6, 3, 2, 2)
    mean = norm.running_mean.clone()
    found = psta.frame_by_frame(part.train(), maps)
    for t in range(6):
        before = part[0](maps[:, t])
        centred = before - before.mean((0, 2, 3), keepdim=True)
        expected = (centred / (centred.square().mean((0, 2, 3), keepdim=True) + norm.eps).sqrt()).relu()
        torch.testing.assert_close(found[:, t], expected, atol=1e-5, rtol=1e-4)
        mean = 0.9 * mean + 0.1 * before.mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, mean)
    together = part.eval()(maps.flatten(0, 1)).unflatten(0, (4, 6))
    torch.testing.assert_close(psta.frame_by_frame(part, maps), together)


@torch.no_grad()
def test_levels_merge_neighbours_and_are_averaged():
    torch.manual_seed(0)
    model = psta.build(SMALL, 4, 2).eval()
    clips, _ = batch(2)
    maps = model.reduce(model.backbone(clips.flatten(0, 1))).unflatten(0, (2, 8))
    vectors = []
    for stage in model.stages:
        pairs = [stage(maps[:, t : t + 2]) for t in range(0, maps.shape[1], 2)]
        maps = torch.cat(pairs, dim=1)
        vectors.append(maps.mean((1, 3, 4)))
    assert maps.shape[1] == 1
    for level, found in enumerate(model.level_vectors(clips)):
        torch.testing.assert_close(found, sum(vectors[: level + 1]) / (level + 1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other():
    model = psta.build(SMALL, 4, 2).eval()
    clips, cameras = batch()
    together, apart = model.embed(clips, cameras), model.embed(clips[2:], cameras[2:])
    assert together.shape == (4, SMALL.channels)
    torch.testing.assert_close(together[2:], apart, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["psta", "psta/no-tra", "psta/no-sra"])
def test_every_level_is_supervised(name):
    recipe = zoo.recipe(name, "tiny", ("height=64", "width=32"))
    torch.manual_seed(0)
    model = psta.build(recipe, 4, 2).train()
    clips, labels = batch()
    _, parts = combine(model(clips, labels, labels), labels, recipe)
    assert set(parts) == {f"{kind}/level{i}" for kind in ("id", "triplet") for i in (1, 2, 3)}


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (("frames=4",), "frames is 4"),  # three levels want eight
        (("test_frames=12",), "test_frames is 12"),
        (("levels=4",), "multiple of 16"),
        (("tra=false", "sra=false"), "both are false"),
    ],
)
def test_what_cannot_be_merged_is_an_error(overrides, word):
    with pytest.raises(UsageError, match=word):
        psta.build(zoo.recipe("psta", "tiny", overrides), 4, 2)


def test_names_that_nobody_knows_and_ours_are_kept():
    model = psta.build(SMALL, 4, 2)
    assert psta.convert(model.state_dict()).keys() == model.state_dict().keys()
    assert psta.convert({"lost.weight": torch.zeros(1), "layer4.TRAG.x": torch.zeros(1)}).keys() == {
        "lost.weight",
        "layer4.TRAG.x",
    }


@pytest.mark.slow
def test_the_loss_falls(train_tiny):
    first, last = train_tiny("psta")
    assert last < 0.8 * first


def test_the_recipe_is_the_papers():
    recipe = psta.RECIPES["full"]
    assert (recipe.lr, recipe.gamma, recipe.milestones) == (3.5e-4, 0.3, (70, 140, 210, 310, 410))
    assert (recipe.epochs, recipe.warmup_epochs, recipe.clip.frames, recipe.test_frames) == (500, 10, 8, 8)
    assert (recipe.label_smoothing, recipe.triplet_margin, recipe.triplet_distance) == (0.1, 0.3, "cosine")
    assert (recipe.test_sampling, recipe.identities * recipe.tracklets) == ("strided", 32)
