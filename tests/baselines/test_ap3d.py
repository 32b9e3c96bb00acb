"""AP3D: parity with the authors' code, its modules against plain loops, and what trains."""

import dataclasses

import pytest
import torch
from torch import nn

from reidkit.baselines import ap3d, ap3d_nl
from reidkit.baselines.resnet import ResNet
from reidkit.training import zoo
from reidkit.training.losses import combine

SMALL = dataclasses.replace(ap3d.RECIPES["tiny"], backbone_width=8)
SMALL_NL = dataclasses.replace(ap3d_nl.RECIPES["tiny"], backbone_width=8)


def awake(recipe):
    """A model none of whose weights are zero."""
    torch.manual_seed(0)
    model = ap3d.build(recipe, num_classes=3, num_cameras=2)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("name", ["ap3d", pytest.param("ap3d_nl", marks=pytest.mark.slow)])
def test_parity_with_the_authors_code(parity, golden_folder, name):
    golden = parity.Golden(name, golden_folder(name), 0)
    differences = golden.compare(parity.compute(golden))
    assert None not in differences.values()
    assert max(differences.values()) < parity.BOUNDS.get(name, parity.BOUND), differences
    assert golden.unexpected == []
    assert golden.missing == []


def slow_alignment(module, x, contrastive):
    """APM pixel by pixel: [B, T, P, C] -> [B, T, 2, P, C]."""
    batch, frames, places, channels = x.shape
    out = []
    for b in range(batch):
        for t in range(frames):
            for side in (t - 1, t + 1):
                inside = 0 <= side < frames
                for i in range(places):
                    if not inside:
                        out.append(torch.zeros(channels, dtype=x.dtype))
                        continue
                    mine = module.semantic_mapping.weight @ x[b, t, i]
                    scores = []
                    for j in range(places):
                        other = module.semantic_mapping.weight @ x[b, side, j]
                        scores.append(4.0 * (mine @ other) / (mine.norm() * other.norm()))
                    weights = torch.stack(scores).exp()
                    pixel = sum(w * x[b, side, j] for j, w in enumerate(weights)) / weights.sum()
                    if contrastive:
                        same = module.x_mapping.weight @ x[b, t, i].detach()
                        same = same * (module.n_mapping.weight @ pixel.detach())
                        pixel = pixel * torch.sigmoid(module.contrastive_att.weight[0] @ same)
                    out.append(pixel)
    return torch.stack(out).view(batch, frames, 2, places, channels)


@pytest.mark.parametrize("contrastive", [True, False])
@pytest.mark.parametrize("frames", [1, 3])  # a single frame has no neighbour at all
def test_alignment_against_plain_loops(contrastive, frames):
    torch.manual_seed(0)
    module = ap3d.AppearancePreservingModule(32, dataclasses.replace(SMALL, contrastive=contrastive))
    module.double()
    x = torch.randn(2, frames, 6, 32, dtype=torch.float64, requires_grad=True)
    fast, slow = module(x), slow_alignment(module, x, contrastive)
    torch.testing.assert_close(fast, slow)
    if frames == 1:
        assert not fast.any()
        return
    weights = torch.randn_like(fast)
    mine, other = (torch.autograd.grad((y * weights).sum(), [x, *module.parameters()]) for y in (fast, slow))
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b)


def test_without_alignment_the_neighbours_are_the_frames_themselves():
    module = ap3d.AppearancePreservingModule(4, dataclasses.replace(SMALL, align=False))
    x = torch.randn(2, 3, 5, 4)
    before, after = module(x).unbind(2)
    assert torch.equal(before[:, 1:], x[:, :-1])
    assert torch.equal(after[:, :-1], x[:, 1:])
    assert not before[:, 0].any()
    assert not after[:, -1].any()
    assert not list(module.parameters())


def test_the_convolution_over_time_is_a_3d_convolution_with_stride_3():
    torch.manual_seed(0)
    spatial = nn.Conv2d(32, 32, 3, stride=2, padding=1, bias=False)
    module = ap3d.ApP3dC(spatial, SMALL).eval()
    kernel = torch.randn(32, 32, 3, 1, 1)
    converted = ap3d.convert({"layer2.0.conv2.temporal_conv3d.weight": kernel})
    module.temporal_conv.weight.data = converted["backbone.layer2.0.conv2.temporal_conv.weight"]
    x = torch.randn(2 * 3, 32, 8, 4)
    s = spatial(x).unflatten(0, (2, 3))  # [B, T, C, H, W]
    aligned = module.apm(s.permute(0, 1, 3, 4, 2).flatten(2, 3)).transpose(3, 4).unflatten(4, (4, 2))
    volume = []
    for t in range(3):
        volume += [aligned[:, t, 0], s[:, t], aligned[:, t, 1]]
    expected = s + nn.functional.conv3d(torch.stack(volume, dim=2), kernel, stride=(3, 1, 1)).transpose(1, 2)
    torch.testing.assert_close(module(x, 3), expected.flatten(0, 1), atol=1e-5, rtol=1e-4)


def test_non_local_against_plain_loops():
    torch.manual_seed(0)
    block = ap3d.NonLocal(8).eval()
    nn.init.normal_(block.out[1].weight)
    x = torch.randn(2 * 2, 8, 4, 2)
    theta, phi, g = block.theta(x), block.pool(block.phi(x)), block.pool(block.g(x))
    expected = x.clone()
    for b in range(2):
        clip = (2 * b, 2 * b + 1)
        keys = [phi[n, :, h, w] for n in clip for h in range(2) for w in range(1)]
        values = torch.stack([g[n, :, h, w] for n in clip for h in range(2) for w in range(1)])
        for n in clip:
            for h in range(4):
                for w in range(2):
                    weights = torch.stack([theta[n, :, h, w] @ key for key in keys]).softmax(0)
                    expected[n, :, h, w] += block.out((weights @ values)[None, :, None, None])[0, :, 0, 0]
    torch.testing.assert_close(block(x, 2), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("recipe", [SMALL, SMALL_NL], ids=["ap3d", "ap3d_nl"])
def test_training_starts_at_the_plain_network(recipe):
    torch.manual_seed(0)
    plain = ResNet(recipe.layers, recipe.backbone_width, recipe.last_stride).eval()
    torch.manual_seed(0)
    model = ap3d.build(recipe, num_classes=3, num_cameras=2).eval()
    clips = torch.randn(2, 3, 3, 64, 32)
    with torch.inference_mode():
        expected = plain(clips.flatten(0, 1)).amax((2, 3)).view(2, 3, -1)
        torch.testing.assert_close(model.frame_features(clips), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "recipe",
    [SMALL, SMALL_NL, *(dataclasses.replace(SMALL, **v) for v in ap3d.VARIANTS.values())],
    ids=["ap3d", "ap3d_nl", *ap3d.VARIANTS],
)
def test_the_losses_of_a_step(recipe):
    model = awake(recipe)
    clips, labels = torch.randn(4, 3, 3, 64, 32), torch.tensor([0, 0, 1, 1])
    _, parts = combine(model(clips, labels, labels), labels, recipe)
    assert set(parts) == {"id/clip", "triplet/clip"}


def test_the_frames_around_it_change_a_frames_feature():
    model = awake(SMALL).eval()
    clips = torch.randn(1, 4, 3, 64, 32)
    with torch.inference_mode():
        whole = model.frame_features(clips)
        changed = clips.clone()
        changed[:, 3] = 0
        moved = (model.frame_features(changed) - whole).abs().amax((0, 2))
        # two AP-P3D-C in a row reach two frames
        assert moved[0] < 1e-6 < min(moved[1:])
        single = torch.stack([model.frame_features(clips[:, t : t + 1])[:, 0] for t in range(4)], dim=1)
        assert (single - whole).abs().max() > 1e-3


def test_a_clips_feature_is_the_mean_over_its_frames_normalised():
    model = awake(SMALL).eval()
    clips = torch.randn(2, 3, 3, 64, 32)
    with torch.inference_mode():
        frames = model.frame_features(clips)
        mean = (frames[:, 0] + frames[:, 1] + frames[:, 2]) / 3
        expected = model.neck.norm(mean)
        torch.testing.assert_close(model.embed(clips, torch.zeros(2, dtype=torch.long)), expected)
        output = model(clips, torch.zeros(2, dtype=torch.long), torch.tensor([0, 1]))
        torch.testing.assert_close(output.features["clip"], expected)
        torch.testing.assert_close(output.logits["clip"], model.neck.classifier(expected))


def test_names_that_are_not_theirs_pass_through_convert():
    state = awake(SMALL_NL).state_dict() | {"odd.weight": torch.zeros(2)}
    converted = ap3d.convert(state)
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[name], tensor) for name, tensor in state.items())


def test_recipes_are_the_papers():
    for name, non_local in (("ap3d", False), ("ap3d_nl", True)):
        recipe = zoo.recipe(name)
        assert (recipe.clip.frames, recipe.train_stride) == (4, 8)
        assert (recipe.test_frames, recipe.test_sampling, recipe.test_last) == (32, "dense", "short")
        assert (recipe.lr, recipe.weight_decay, recipe.milestones, recipe.epochs) == (3e-4, 5e-4, (60, 120, 180), 240)
        assert (recipe.triplet_distance, recipe.triplet_margin, recipe.label_smoothing) == ("cosine", 0.3, 0.0)
        assert recipe.identities * recipe.tracklets == 32
        assert recipe.non_local is non_local


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ap3d", "ap3d_nl"])
def test_the_loss_falls(train_tiny, name):
    first, last = train_tiny(name)
    assert last < 0.6 * first
