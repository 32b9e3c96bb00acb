"""BiCnet-TKS: parity with the authors' code, its modules against plain loops, and what trains."""

import dataclasses
import importlib

import pytest
import torch
from torch import nn

from reidkit.baselines import bicnet
from reidkit.baselines.resnet import ResNet
from reidkit.datasets import UsageError
from reidkit.training import zoo
from reidkit.training.losses import combine

SMALL = dataclasses.replace(bicnet.RECIPES["tiny"], backbone_width=8)


def awake(recipe=SMALL):
    """A model none of whose weights are zero."""
    torch.manual_seed(0)
    model = bicnet.build(recipe, num_classes=3, num_cameras=2)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return model


def test_parity_with_the_authors_code(parity, golden_folder):
    golden = parity.Golden("bicnet", golden_folder("bicnet"), 0)
    differences = golden.compare(parity.compute(golden))
    assert None not in differences.values()
    assert max(differences.values()) < parity.BOUND, differences
    assert golden.unexpected == []
    assert golden.missing == []


@pytest.mark.slow
@torch.no_grad()
def test_the_losses_of_a_step_are_the_authors(parity, golden_folder, step_parity):
    golden = parity.Golden("bicnet", golden_folder("bicnet"), 0)
    shapes = {name: tuple(shape) for name, shape, *_ in golden.meta["state_dict"]}
    shapes |= {"classifier.weight": (12, 2048), "classifier.bias": (12,)}  # of the steps' batches
    fill, labels = importlib.import_module("golden").fill, torch.tensor([0, 0, 3, 3])
    with importlib.import_module("golden").float64():
        recipe = zoo.recipe("bicnet", overrides=("pretrained=",))
        model = bicnet.build(recipe, num_classes=12, num_cameras=6)
        state = {name: torch.from_numpy(fill(name, shape, 0)).double() for name, shape in shapes.items()}
        model.load_state_dict(bicnet.convert(state))
        output = model.double().train()(step_parity.made_up_clips((4, 8), 0), torch.arange(4), labels)
        total, parts = combine(output, labels, recipe)
    assert float(total) == pytest.approx(2.2484, abs=5e-5)
    assert float(parts["diversity"]) == pytest.approx(0.0031427, abs=5e-8)


def slow_temporal_selection(module, high, low, groups, rows, columns):
    """TKS cell by cell and frame by frame, for maps that the grid divides."""
    clips, channels, frames = len(high) // groups, high.shape[1], 4 * groups
    high_out, low_out = high.clone(), low.clone()
    for b in range(clips):
        maps = []  # the clip's frames in time order
        for group in range(b * groups, (b + 1) * groups):
            maps += [high_out[group], *low_out[3 * group : 3 * group + 3]]
        cells = torch.zeros(frames, channels, rows, columns)
        for t in range(frames):
            h, w = maps[t].shape[1] // rows, maps[t].shape[2] // columns
            for r in range(rows):
                for c in range(columns):
                    cells[t, :, r, c] = maps[t][:, r * h : (r + 1) * h, c * w : (c + 1) * w].mean((1, 2))
        branches = []
        for convolution, reach in ((module.short, 1), (module.long, 2)):
            out = torch.zeros_like(cells)
            for t in range(frames):
                for tap, source in enumerate((t - reach, t, t + reach)):
                    if 0 <= source < frames:
                        out[t] += torch.einsum("oc,crw->orw", convolution.weight[:, :, tap], cells[source])
            branches.append(out)
        squeezed = module.squeeze((branches[0] + branches[1]).mean((0, 2, 3))[None])
        chosen = module.select(squeezed)[0]
        share = torch.stack([chosen[:channels], chosen[channels:]]).softmax(0)
        mixed = module.norm(sum(s[:, None, None] * branch for s, branch in zip(share, branches, strict=True)))
        for t in range(frames):  # maps are views of the clones
            h, w = maps[t].shape[1] // rows, maps[t].shape[2] // columns
            maps[t] += mixed[t].repeat_interleave(h, 1).repeat_interleave(w, 2)
    return high_out, low_out


@pytest.mark.parametrize("groups", [1, 2, 3])  # clips of 4, 8 and 12 frames
@torch.no_grad()
def test_temporal_kernel_selection_against_plain_loops(groups):
    torch.manual_seed(0)
    module = bicnet.TemporalKernelSelection(32, (2, 1)).eval()
    nn.init.normal_(module.norm.weight)
    module.select.weight *= 10  # shares that differ
    high, low = torch.randn(2 * groups, 32, 8, 4), torch.randn(2 * groups * 3, 32, 4, 2)
    expected = slow_temporal_selection(module, high, low, groups, 2, 1)
    for mine, theirs in zip(module(high, low, groups), expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_diverse_attentions_against_plain_loops():
    torch.manual_seed(0)
    module = bicnet.DiverseAttentionsOperation(16, stripes=4).eval()
    for norm in module.norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    high, low = torch.randn(3, 16, 8, 4), torch.randn(9, 16, 4, 2)
    new_high, new_low, masks = module(high, low)
    for n in range(3):
        for place in range(4):
            before = high[n] if place == 0 else low[3 * n + place - 1]
            after = new_high[n] if place == 0 else new_low[3 * n + place - 1]
            rows = before.shape[1] // 4
            stripes = [before[:, s * rows : (s + 1) * rows].mean((1, 2)) for s in range(4)]
            if place < 2:
                scores = torch.stack([stripe.mean() for stripe in stripes])
            else:
                learned = module.attentions[place - 2]
                raw = torch.stack([(learned.score.weight[0] * s).sum() + learned.score.bias[0] for s in stripes])
                scores = learned.norm((learned.mix.weight @ raw + learned.mix.bias)[None])[0]
            mask = scores.softmax(0)
            if place:
                torch.testing.assert_close(masks[place - 1][n], mask, atol=1e-5, rtol=1e-4)
            vector = module.norms[place](sum(m * s for m, s in zip(mask, stripes, strict=True))[None])[0]
            torch.testing.assert_close(after, before + vector[:, None, None], atol=1e-5, rtol=1e-4)


def test_overlap_against_the_authors_formula():
    masks = [torch.randn(3, 5).softmax(1) for _ in range(3)]
    expected = 0.0
    for a, b in ((0, 1), (0, 2), (1, 2)):
        for n in range(3):
            roots = torch.stack([masks[a][n], masks[b][n]]).sqrt()
            expected += float((roots @ roots.T - torch.eye(2)).norm()) / 4 / 9
    assert float(bicnet.attention_overlap(masks)) == pytest.approx(expected, rel=1e-5)
    assert float(bicnet.attention_overlap([masks[0]] * 3)) == pytest.approx(2**0.5 / 4, abs=1e-6)
    apart = list(torch.eye(3)[:, None])
    assert float(bicnet.attention_overlap(apart)) < 1e-5


def test_the_overlap_moves_all_attentions_but_the_first():
    masks = [torch.randn(2, 4).softmax(1).requires_grad_() for _ in range(3)]
    bicnet.attention_overlap(masks).backward()
    assert masks[0].grad is None
    both = [mask.detach().double().requires_grad_() for mask in masks[1:]]
    roots = [mask.sqrt() for mask in (masks[0].detach().double(), *both)]
    pairs = [(roots[a] * roots[b]).sum(1).mean() for a, b in ((0, 1), (0, 2), (1, 2))]
    (sum(pairs) / 3 * 2**0.5 / 4).backward()
    for mask, expected in zip(masks[1:], both, strict=True):
        torch.testing.assert_close(mask.grad.double(), expected.grad, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_training_starts_at_the_plain_network():
    torch.manual_seed(0)
    plain = ResNet(SMALL.layers, SMALL.backbone_width, SMALL.last_stride).eval()
    torch.manual_seed(0)
    model = bicnet.build(SMALL, num_classes=3, num_cameras=2).eval()
    for path in model.paths:  # all else that is added starts at nothing
        nn.init.zeros_(path.weight)
    clips = torch.randn(2, 8, 3, 128, 64)
    high, low, _ = model.branches(clips)
    torch.testing.assert_close(high, plain(clips[:, ::4].flatten(0, 1)), atol=1e-4, rtol=1e-4)
    context = plain.stem(clips[:, [1, 2, 3, 5, 6, 7]].flatten(0, 1))
    context = nn.functional.max_pool2d(context, 2)
    for stage in plain.stages:
        context = stage(context)
    torch.testing.assert_close(low, context, atol=1e-4, rtol=1e-4)
    pooled = (high.amax((2, 3)).view(2, 2, -1).mean(1) + low.amax((2, 3)).view(2, 6, -1).mean(1)) / 2
    expected = model.neck.norm(pooled)
    torch.testing.assert_close(model.embed(clips, torch.zeros(2, dtype=torch.long)), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_detail_reaches_the_context_frames_of_its_own_group():
    model = awake(dataclasses.replace(SMALL, tks=False, dao=False)).eval()
    clips = torch.randn(1, 8, 3, 128, 64)
    _, low, _ = model.branches(clips)
    changed = clips.clone()
    changed[:, 4] = 0
    _, moved, _ = model.branches(changed)
    difference = (moved - low).abs().amax((1, 2, 3))
    assert not difference[:3].any()
    assert (difference[3:] > 1e-3).all()
    # a map of its own for each of the three: with a path to the third alone, only the third differs
    for path in model.paths:
        path.weight[: 2 * path.in_channels] = 0
    _, third, _ = model.branches(clips)
    for path in model.paths:
        path.weight.zero_()
    _, none, _ = model.branches(clips)
    difference = (third - none).abs().amax((1, 2, 3))
    assert (difference > 1e-3).tolist() == [False, False, True] * 2


@pytest.mark.parametrize("variant", ["", *bicnet.VARIANTS])
def test_the_losses_of_a_step(variant):
    recipe = dataclasses.replace(SMALL, **bicnet.VARIANTS.get(variant, {}))
    model = awake(recipe)
    clips, labels = torch.randn(4, 8, 3, 128, 64), torch.tensor([0, 0, 1, 1])
    _, parts = combine(model(clips, labels, labels), labels, recipe)
    assert ("diversity" in parts) == (recipe.dao and recipe.diversity_weight > 0)
    if "diversity" in parts:
        assert 0 < float(parts["diversity"]) <= 0.01


@pytest.mark.parametrize(
    ("height", "width", "grid", "stripes"),
    [(256, 128, (4, 2), 8), (128, 64, (2, 1), 4), (384, 128, (6, 2), 12), (160, 80, (2, 1), 5), (32, 16, (1, 1), 1)],
)
@torch.no_grad()
def test_grid_and_stripes_follow_the_size(height, width, grid, stripes):
    model = awake(SMALL.changed(height=height, width=width)).eval()
    assert (model.tks.grid, model.dao.stripes) == (grid, stripes)
    assert model.embed(torch.randn(1, 8, 3, height, width), torch.zeros(1, dtype=torch.long)).shape == (1, 256)


@pytest.mark.parametrize(("key", "value"), [("frames", 6), ("test_frames", 2)])
def test_clip_lengths_that_cannot_be(key, value):
    with pytest.raises(UsageError, match=rf"{key}={value} .*multiple of 4.*--set {key}=8"):
        bicnet.build(SMALL.changed(**{key: value}), 3, 2)


def test_names_that_are_not_theirs_pass_through_convert():
    state = awake().state_dict() | {"odd.weight": torch.zeros(2)}
    converted = bicnet.convert(state)
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[name], tensor) for name, tensor in state.items())


def test_the_recipe_is_the_papers():
    recipe = zoo.recipe("bicnet")
    assert (recipe.clip.frames, recipe.train_stride) == (8, 4)
    assert (recipe.test_frames, recipe.test_sampling, recipe.test_last) == (8, "dense", "wrapped")
    assert (recipe.lr, recipe.milestones, recipe.epochs) == (3.5e-4, (40, 80, 120), 150)
    assert (recipe.triplet_distance, recipe.triplet_margin, recipe.label_smoothing) == ("cosine", 0.5, 0.0)
    assert recipe.identities * recipe.tracklets == 64
    assert recipe.diversity_weight == 0.01


@pytest.mark.slow
def test_the_loss_falls(train_tiny):
    first, last = train_tiny("bicnet")
    assert last < 0.6 * first


def test_gradients_equal_finite_differences(parity):
    """There are no figures of the authors' gradients: PyTorch's batch norm in three dimensions has a wrong one."""
    with importlib.import_module("golden").float64():
        model = awake(SMALL.changed(height=64, width=32)).train()
        for norm in model.dao.norms:
            nn.init.normal_(norm.weight)
        clips, labels = torch.randn(4, 8, 3, 64, 32), torch.tensor([0, 0, 1, 1])

        def loss():
            return combine(model(clips, labels, labels), labels, SMALL)[0]

        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        # what stands before the first attention moves it, which the loss doesn't see: a hundredth of a small term
        for prefix, weight in (("backbone", 0.01), ("paths", 0.01), ("tks", 0.01), ("dao", 1.0), ("neck", 1.0)):
            model.diversity_weight = weight
            gradients = torch.autograd.grad(loss(), parameters.values())
            chosen = [
                (p, g) for (name, p), g in zip(parameters.items(), gradients, strict=True) if name.startswith(prefix)
            ]
            ways = [torch.randn_like(p) for p, _ in chosen]
            expected = sum(float((g * way).sum()) for (_, g), way in zip(chosen, ways, strict=True))
            values, step = [], 1e-9  # so short that hardly a ReLU changes sides
            with torch.no_grad():
                for sign in (1, -2, 1):  # forward, back beyond the start, and to it
                    for (p, _), way in zip(chosen, ways, strict=True):
                        p.add_(way, alpha=sign * step)
                    values.append(float(loss()))
            assert (values[0] - values[1]) / (2 * step) == pytest.approx(expected, rel=1e-3), prefix
