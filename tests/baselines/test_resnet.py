"""The backbone beside torchvision's, and its weights."""

import pytest
import torch
import torchvision

from reidkit.baselines.resnet import ResNet, load_pretrained
from reidkit.datasets import UsageError
from reidkit.datasets.errors import MissingWeights


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    model = torchvision.models.resnet50(weights=None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # running statistics that matter
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model


def test_the_same_names_shapes_and_maps_as_torchvision(reference, tmp_path):
    torch.save(reference.state_dict(), tmp_path / "resnet50.pth")
    ours = ResNet().eval()
    assert set(ours.state_dict()) == {k for k in reference.state_dict() if not k.startswith("fc.")}
    load_pretrained(ours, str(tmp_path / "resnet50.pth"))
    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        theirs = torch.nn.Sequential(*list(reference.children())[:-2])(images)
        assert torch.allclose(ours(images), theirs, atol=1e-5)


def test_last_stride_one_doubles_the_map_with_the_same_weights(reference):
    ours = ResNet(last_stride=1)
    ours.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")})
    with torch.inference_mode():
        assert ours.eval()(torch.randn(1, 3, 256, 128)).shape == (1, 2048, 16, 8)
    assert ours.stage_channels == (256, 512, 1024, 2048)


def test_narrow_versions():
    small = ResNet(layers=(1, 1, 1, 1), width=8, last_stride=1)
    assert small.channels == 256
    assert small(torch.randn(2, 3, 128, 64)).shape == (2, 256, 8, 4)


def test_weights_of_another_width_are_refused(tmp_path):
    torch.save(ResNet(layers=(1, 1, 1, 1), width=8).state_dict(), tmp_path / "small.pth")
    with pytest.raises(
        UsageError, match=r"'conv1.weight' .* has shape \[8, 3, 7, 7\] where the model has \[16, 3, 7, 7\]"
    ):
        load_pretrained(ResNet(layers=(1, 1, 1, 1), width=16), str(tmp_path / "small.pth"))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_absent_weights_say_how_to_get_them(tmp_path, monkeypatch, version):
    monkeypatch.setenv("REIDKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = f"resnet50-imagenet1k-{version}"
    with pytest.raises(
        MissingWeights, match=rf"`reidkit weights get {name}`.*pretrained=PATH.*--from-scratch"
    ) as caught:
        load_pretrained(ResNet(layers=(1, 1, 1, 1), width=8), name)
    assert caught.value.names == (name,)


def test_a_name_that_is_neither_release_nor_path():
    with pytest.raises(UsageError, match=r"Did you mean 'resnet50-imagenet1k-v.* A path is possible"):
        load_pretrained(ResNet(layers=(1, 1, 1, 1), width=8), "resnet50-imagenet1k")
    with pytest.raises(UsageError, match=r"no weights at 'absent\.pth'"):
        load_pretrained(ResNet(layers=(1, 1, 1, 1), width=8), "absent.pth")
