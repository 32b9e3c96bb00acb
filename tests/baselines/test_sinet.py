"""SINet: parity with the authors' code, its modules against loops, and what trains."""

import math

import pytest
import torch
from torch import nn

from reidkit.baselines import sinet
from reidkit.datasets import UsageError
from reidkit.training import zoo
from reidkit.training.losses import combine

SMALL = sinet.RECIPES["tiny"].changed(backbone_width=8, height=64, width=40)


def batch(clips=4):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(clips, 4, 3, 64, 40, generator=generator), torch.arange(clips) // 2


def some(module):
    """The module in eval mode with batch norms that do something."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.2, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.2, 0.2)
    return module.eval()


def normed(norm, values):
    """Batch norm of a vector of channels."""
    return (values - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def test_parity_with_the_authors_code(parity, golden_folder):
    golden = parity.Golden("sinet", golden_folder("sinet"), 0, lengths=(4,))
    differences = golden.compare(parity.compute(golden))
    given = {n: v for n, v in differences.items() if "T8" not in n}
    assert None not in given.values()
    assert max(given.values()) < parity.BOUND, given
    assert golden.unexpected == golden.missing == []


@pytest.mark.slow
def test_parity_with_eight_frames(parity, golden_folder):
    golden = parity.Golden("sinet", golden_folder("sinet"), 0)
    assert max(golden.compare(parity.compute(golden)).values()) < parity.BOUND


@torch.no_grad()
def test_idm_equals_loops():
    torch.manual_seed(0)
    channels, frames, height, width = 32, 4, 4, 2
    idm = some(sinet.IntegrationDistribution(channels, frames * height * width))
    x = torch.randn(2 * frames, channels, height, width)
    result = idm(x, frames)
    reduce, expand = idm.chl_reduction[0].weight[..., 0, 0], idm.chl_expansion.weight[..., 0, 0]
    collect, spread = idm.thw_reduction[0].weight[..., 0], idm.thw_expansion.weight[..., 0]
    spots = [(t, i, j) for t in range(frames) for i in range(height) for j in range(width)]
    for clip in range(2):
        pixels = [x[clip * frames + t, :, i, j] for t, i, j in spots]
        narrow = [normed(idm.chl_reduction[1], reduce @ pixel) for pixel in pixels]
        sums = [sum(w * v for w, v in zip(line, narrow, strict=True)) for line in collect]
        collected = torch.stack([normed(idm.thw_reduction[1], column) for column in torch.stack(sums, 1)], 1)
        for place, (t, i, j) in enumerate(spots):
            back = narrow[place] + idm.thw_expansion.bias[place]
            back = back + sum(w * v for w, v in zip(spread[place], collected, strict=True))
            expected = (pixels[place] + expand @ back + idm.chl_expansion.bias).clamp(min=0)
            torch.testing.assert_close(result[clip * frames + t, :, i, j], expected, atol=1e-5, rtol=1e-4)


def slow_sbm(sbm, x):
    """SBM of four frames [4, C, H, W], place by place."""
    frames, channels, height, width = x.shape
    spots = [(i, j) for i in range(height) for j in range(width)]
    inner = [(i, j) for i, j in spots if 0 < i < height - 1 and 0 < j < width - 1]

    def mean(over):
        return sum(x[t, :, i, j] for t in range(frames) for i, j in over) / (frames * len(over))

    gate = sbm.squeeze_excite(mean(spots)[None])[0]
    for channel in range(channels):
        if not mean(inner)[channel] / (mean(spots)[channel] + 1e-8) > 1:
            gate[channel] = 0
    gated = (x * gate[None, :, None, None]).clamp(min=0)
    # nine weights a place of the salient frames
    shares = {}
    for t in range(sbm.salient):
        for i, j in spots:
            raw = sbm.kernel[0].weight[..., 0, 0] @ gated[t, :, i, j]
            raw = normed(sbm.kernel[1], raw).clamp(min=0)
            shares[t, i, j] = raw / raw.sum().clamp(min=1e-12)
    totals = sum(shares.values()).clamp(min=1e-12)
    kernel = [sum(shares[t, i, j][k] / totals[k] * gated[t, :, i, j] for t, i, j in shares) for k in range(9)]
    out, removed, weight = x.clone(), torch.zeros(channels), 0.0
    salient_mean = sum(x[t, :, i, j] for t, i, j in shares) / len(shares)
    for t in range(sbm.salient, frames):
        response = {}
        for i, j in spots:
            total = 0.0
            for k in range(9):  # the border is repeated
                row, column = min(max(i + k // 3 - 1, 0), height - 1), min(max(j + k % 3 - 1, 0), width - 1)
                total += float(kernel[k] @ gated[t, :, row, column])
            response[i, j] = total / 9
        whole = sum(math.exp(value) for value in response.values())
        for i, j in spots:
            value = 1 / (max(math.exp(response[i, j]) / whole, 1e-4) * len(spots))
            keep = math.exp(5 * (value - 1)) if value < 1 else 1.0
            out[t, :, i, j] = x[t, :, i, j] * keep + 0.1 * salient_mean
            removed += (1 - keep) * x[t, :, i, j]
            weight += 1 - keep
    out[: sbm.salient] += 0.1 * (removed / weight)[None, :, None, None]
    return out


@torch.no_grad()
@pytest.mark.parametrize("salient", [1, 2, 3])
def test_sbm_equals_loops(salient):
    torch.manual_seed(0)
    sbm = some(sinet.SalientToBroad(16, salient))
    x = torch.rand(3 * 4, 16, 5, 4) * 3
    result = sbm(x, 4)
    for clip in range(3):
        expected = slow_sbm(sbm, x[4 * clip : 4 * clip + 4])
        torch.testing.assert_close(result[4 * clip : 4 * clip + 4], expected, atol=1e-4, rtol=1e-3)
    # a clip of eight frames is two halves by themselves
    torch.testing.assert_close(sbm(x[:8], 8), result[:8])


def test_sbm_stays_finite_where_nothing_stands_out():
    torch.manual_seed(0)
    sbm = sinet.SalientToBroad(8, 1)
    # a blank clip; one whose channels are all stronger at the border
    border = torch.ones(4, 8, 5, 4)
    border[..., 1:-1, 1:-1] = 0.1
    for x in (torch.zeros(4, 8, 5, 4), border):
        x = x.requires_grad_()
        result = sbm(x, 4)
        result.sum().backward()
        assert bool(result.isfinite().all())
        assert bool(x.grad.isfinite().all())


def test_the_gradient_is_finite_where_a_single_place_responds():
    sbm = sinet.SalientToBroad(8, 1)
    responses = torch.zeros(1, 3, 16, 8)
    responses[..., 5, 4] = 200.0
    keep = sbm.dampening(responses.requires_grad_())
    keep.sum().backward()
    assert float(keep.detach()[0, 0, 5, 4]) == pytest.approx(math.exp(5 * (1 / 128 - 1)), rel=1e-4)
    assert float(keep.detach().sum()) == pytest.approx(3 * (127 + math.exp(5 * (1 / 128 - 1))), rel=1e-4)
    assert bool(responses.grad.isfinite().all())


def test_info_nce_equals_loops():
    torch.manual_seed(0)
    frames, labels = torch.randn(5, 3, 5), [0, 0, 1, 1, 1]
    vectors = nn.functional.normalize(frames, dim=-1)
    expected = 0.0
    for identity in (0, 1):
        own = [(clip, t) for clip in range(5) for t in range(3) if labels[clip] == identity]
        losses = []
        for anchor in own:
            negatives = [math.exp(float(vectors[anchor] @ vectors[o]) / 0.5) for o in own if o[1] != anchor[1]]
            for other in own:
                if other[1] == anchor[1] and other != anchor:
                    good = math.exp(float(vectors[anchor] @ vectors[other]) / 0.5)
                    losses.append(-math.log(good / (good + sum(negatives))))
        expected += sum(losses) / len(losses)
    found = sinet.info_nce(frames, torch.tensor(labels), 0.5)
    assert float(found) == pytest.approx(expected, rel=1e-4)
    # eight frames are two groups of four positions
    eight = torch.randn(2, 8, 5)
    halves = eight.view(4, 4, 5)
    torch.testing.assert_close(
        sinet.info_nce(eight, torch.tensor([0, 0]), 0.5), sinet.info_nce(halves, torch.tensor([0] * 4), 0.5)
    )


def test_info_nce_without_a_pair_or_without_others_is_no_loss():
    frames = torch.randn(2, 1, 4, requires_grad=True)
    alone = sinet.info_nce(frames, torch.tensor([0, 1]), 0.1)  # one frame an identity
    same = sinet.info_nce(frames, torch.tensor([3, 3]), 0.1)  # nothing stands at another position
    assert float(alone.detach()) == float(same.detach()) == 0
    (alone + same).backward()
    assert bool(frames.grad.isfinite().all())


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other_and_order_matters():
    torch.manual_seed(0)
    model = sinet.build(SMALL, 4, 2).eval()
    clips, cameras = batch()
    together = model.embed(clips, cameras)
    assert together.shape == (4, 256)
    torch.testing.assert_close(together[2:], model.embed(clips[2:], cameras[2:]), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(together, model.embed(clips.flip(1), cameras), atol=1e-3)


@pytest.mark.parametrize("name", ["sinet", "sinet/no-sbm", "sinet/no-idm"])
def test_the_losses_and_modules_of_a_variant(name):
    recipe = zoo.recipe(name, "tiny", ("backbone_width=8", "height=64", "width=40"))
    torch.manual_seed(0)
    model = sinet.build(recipe, 4, 2).train()
    clips, labels = batch()
    _, parts = combine(model(clips, labels, labels), labels, recipe)
    assert set(parts) == {"id/clip", "triplet/clip", "contrast"}
    kinds = {type(module) for module in model.modules()}
    assert (sinet.SalientToBroad in kinds) == (name != "sinet/no-sbm")
    assert (sinet.IntegrationDistribution in kinds) == (name != "sinet/no-idm")


@pytest.mark.parametrize(
    ("name", "overrides", "word"),
    [
        ("sinet", ("frames=6", "test_frames=6"), "frames is 6"),  # SBM takes four by four
        ("sinet", ("test_frames=8",), "test_frames is 8"),  # IDM's weights fix the length
        ("sinet/no-idm", ("test_frames=10",), "test_frames is 10"),
        ("sinet", ("height=64", "width=32"), "Images of 64x32"),  # maps of 4x2 in the third stage
    ],
)
def test_what_cannot_be_is_an_error(name, overrides, word):
    with pytest.raises(UsageError, match=word):
        sinet.build(zoo.recipe(name, "tiny", overrides), 4, 2)


def test_without_idm_any_multiple_of_four_will_do():
    recipe = zoo.recipe("sinet/no-idm", "tiny", ("backbone_width=8", "test_frames=8"))
    model = sinet.build(recipe, 4, 2).eval()
    with torch.inference_mode():
        assert model.embed(torch.randn(1, 8, 3, 64, 40), torch.zeros(1, dtype=torch.long)).shape == (1, 256)


@torch.no_grad()
def test_a_bias_in_front_of_a_batch_norm_goes_into_its_mean():
    torch.manual_seed(0)
    conv, norm = nn.Conv3d(3, 4, 1), some(nn.BatchNorm3d(4))
    nn.init.normal_(norm.running_mean)
    x = torch.randn(2, 3, 2, 5, 4)
    theirs = {f"layer1.0.conv1.{k}": v for k, v in conv.state_dict().items()}
    theirs |= {f"layer1.0.bn1.{k}": v for k, v in norm.state_dict().items()}
    ours = sinet.convert(theirs)
    assert "backbone.layer1.0.conv1.bias" not in ours
    mean, weight = ours["backbone.layer1.0.bn1.running_mean"], ours["backbone.layer1.0.conv1.weight"]
    plain = nn.functional.conv2d(x[:, :, 0], weight)
    plain = nn.functional.batch_norm(plain, mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    torch.testing.assert_close(plain, norm(conv(x))[:, :, 0])


def test_names_that_nobody_knows_and_ours_are_kept():
    state = sinet.build(SMALL, 4, 2).state_dict()
    again = sinet.convert(state)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)
    assert sinet.convert({"lost.bias": torch.ones(1)}).keys() == {"lost.bias"}


def test_the_recipe_is_the_papers():
    recipe = sinet.RECIPES["full"]
    assert (recipe.lr, recipe.milestones, recipe.epochs) == (3e-4, (40, 80, 120), 160)
    assert (recipe.label_smoothing, recipe.triplet_margin, recipe.triplet_distance) == (0.0, 0.3, "cosine")
    assert (recipe.contrast_weight, recipe.contrast_temperature) == (0.001, 0.07)
    assert (recipe.clip.frames, recipe.test_frames, recipe.test_sampling) == (4, 4, "dense")
    assert recipe.identities * recipe.tracklets == 32


@pytest.mark.slow
def test_the_loss_falls(train_tiny):
    first, last = train_tiny("sinet")
    assert last < 0.8 * first
