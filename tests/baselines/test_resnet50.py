"""ResNet-50 mean: shapes, the frozen bias, the mean over frames."""

import dataclasses

import torch

from reidkit.baselines import resnet50
from reidkit.training.losses import combine

SMALL = dataclasses.replace(resnet50.RECIPES["tiny"], backbone_width=8)


def test_full_size_without_weights():
    recipe = dataclasses.replace(resnet50.RECIPES["full"], pretrained="")
    model = resnet50.build(recipe, num_classes=5, num_cameras=2).eval()
    with torch.inference_mode():
        assert model.embed(torch.randn(1, 2, 3, 256, 128), torch.zeros(1, dtype=torch.long)).shape == (1, 2048)


def test_a_step_trains_everything_but_the_necks_bias():
    torch.manual_seed(0)
    model = resnet50.build(SMALL, num_classes=3, num_cameras=2)
    clips, labels = torch.randn(4, 2, 3, 64, 32), torch.tensor([0, 0, 1, 1])
    _, parts = combine(model(clips, labels, labels), labels, SMALL)
    assert set(parts) == {"id/clip", "triplet/clip"}
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["neck.norm.bias"]


def test_the_feature_is_the_mean_over_frames():
    torch.manual_seed(0)
    model = resnet50.build(SMALL, num_classes=3, num_cameras=2).eval()
    clips, cameras = torch.randn(2, 3, 3, 64, 32), torch.zeros(2, dtype=torch.long)
    with torch.inference_mode():
        frames = torch.stack([model.pool(clips[:, t : t + 1]) for t in range(3)]).mean(0)
        assert torch.allclose(model.pool(clips), frames, atol=1e-5)
        assert torch.allclose(model.embed(clips, cameras), model.embed(clips.flip(1), cameras), atol=1e-5)


def test_bare_torchvision_names_are_converted():
    model = resnet50.build(SMALL, num_classes=3, num_cameras=2)
    bare = model.backbone.state_dict() | {"fc.weight": torch.zeros(1)}
    assert set(resnet50.convert(bare)) == {n for n in model.state_dict() if n.startswith("backbone.")}
    assert resnet50.convert(model.state_dict()).keys() == model.state_dict().keys()
