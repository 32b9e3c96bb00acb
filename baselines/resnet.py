"""ResNet with bottleneck blocks (He et al. 2016), under torchvision's names, so that its ImageNet weights load.

    backbone = ResNet(last_stride=1)                        # ResNet-50
    load_pretrained(backbone, "resnet50-imagenet1k-v1")     # or the path of a .pth or .safetensors file
    maps = backbone(images)                                 # [N, 3, 256, 128] -> [N, 2048, 16, 8]

Video models call `stem` and the layers one by one, or replace blocks:
`backbone.layer2[1] = Wrapped(backbone.layer2[1])`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn
from torchvision.models import resnet

from ..datasets import UsageError
from ..datasets.errors import choices
from ..training import weights
from ..training.checkpoint import PICKLED, load_into, read_weights
from ..training.recipe import Recipe

RESNET50_LAYERS = (3, 4, 6, 3)
Blocks = Annotated[int, Meta(ge=1, le=64)]

# what the recipes of size tiny of all models on it have in common: from scratch, in minutes on two cores
TINY_SETTINGS = {
    "height": 128,
    "width": 64,
    "identities": 4,
    "pad": 5,
    "epoch_of": "identities",
    "composition": "cameras",
    "train_chunks": "even",
    "warmup": "linear",
    "epochs": 30,
    "schedule": "cosine",
    "warmup_epochs": 2,
    "pretrained": "",
    "precision": "fp32",
}


@dataclass(frozen=True, kw_only=True)
class ResnetRecipe(Recipe):
    """A recipe of a model on a ResNet-50 that starts from torchvision's ImageNet weights."""

    pretrained: str = "resnet50-imagenet1k-v1"
    layers: tuple[Blocks, Blocks, Blocks, Blocks] = RESNET50_LAYERS
    backbone_width: Annotated[int, Meta(ge=1, le=1024)] = 64  # channels of the stem
    last_stride: Literal[1, 2] = 1


# torchvision's releases, in the table of `training.weights`; V1 is what the compared papers started from
RELEASES = ("resnet50-imagenet1k-v1", "resnet50-imagenet1k-v2")


class Bottleneck(resnet.Bottleneck):
    """torchvision's block, whose 3x3 convolution carries the stride, with the shortcut that its sizes ask for.

    Args:
        inputs: channels that come in.
        planes: channels of the 3x3 convolution; four times as many go out.
        stride: of the 3x3 convolution and of the shortcut.
    """

    def __init__(self, inputs: int, planes: int, stride: int = 1) -> None:
        outputs = planes * self.expansion
        shortcut = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        super().__init__(inputs, planes, stride, shortcut)


class ResNet(nn.Module):
    """Feature maps of images.

    Args:
        layers: blocks in each of the four stages; (3, 4, 6, 3) is ResNet-50.
        width: channels of the stem; stage i has `width * 2**i` planes and four times as many outputs.
        last_stride: of the fourth stage; 1 keeps the map at a sixteenth of the image (Luo et al. 2019).

    Attributes:
        stage_channels: output channels of the four stages: (256, 512, 1024, 2048) at width 64.
        channels: the last of them.
    """

    def __init__(self, layers: Sequence[int] = RESNET50_LAYERS, width: int = 64, last_stride: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage_channels = tuple(width * 2**i * Bottleneck.expansion for i in range(4))
        self.channels = self.stage_channels[-1]
        inputs = width
        for stage, (blocks, stride) in enumerate(zip(layers, (1, 2, 2, last_stride), strict=True)):
            planes = width * 2**stage
            first = Bottleneck(inputs, planes, stride)
            inputs = planes * Bottleneck.expansion
            others = [Bottleneck(inputs, planes) for _ in range(blocks - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, *others))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, width, H / 4, W / 4]."""
        return self.maxpool(self.relu(self.bn1(self.conv1(images))))

    @property
    def stages(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """layer1 … layer4, for models that work between them."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, channels, H / 16, W / 16] at last stride 1."""
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        return x


def load_pretrained(backbone: ResNet, pretrained: str) -> None:
    """Fills the backbone from a named torchvision release or a file; "" leaves it as it is.

    The 1000-way classifier (`fc`) of such a file has no place here and is dropped; anything else that doesn't fit is
    an error.

    Raises:
        MissingWeights: the release is not on this machine.
        UsageError: unknown name, or the file is absent, unreadable, or of another architecture.
    """
    if not pretrained:
        return
    path = _file(pretrained)
    state = {k: v for k, v in read_weights(path).items() if not k.startswith("fc.")}
    load_into(backbone, state, source=str(path))


def _file(pretrained: str) -> Path:
    if pretrained in RELEASES:
        return weights.file_of(pretrained, "give a file with --set pretrained=PATH, or train with --from-scratch")
    if os.sep in pretrained or pretrained.endswith((".safetensors", *PICKLED)):
        return Path(pretrained)
    raise UsageError(choices(pretrained, RELEASES, "pretrained weights") + " A path is possible too.")
