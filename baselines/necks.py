"""What stands between a model's vectors and the losses, and biases that no loss sees.

    self.neck = BnNeck(2048, num_classes)
    logits = self.neck(vectors)              # [B, D] -> [B, Y]
    test_feature = self.neck.norm(vectors)   # [B, D]

A `BnNeck` gives scores, and the triplet sees the vectors in front of it; a `FeatureNeck` gives the feature and scores.
"""

from torch import Tensor, nn


class BnNeck(nn.Module):
    """Batch norm whose bias stays zero, then a linear classifier without bias (Luo et al. 2019, §3.5)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(channels, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, features: Tensor) -> Tensor:
        """[B, D] -> [B, Y]."""
        return self.classifier(self.norm(features))


class FeatureNeck(nn.Module):
    """Batch norm with gain and bias; what it gives is the feature: ranked, seen by the triplet, and classified."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.classifier = nn.Linear(channels, num_classes)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """[B, D] -> feature [B, D], scores [B, Y]."""
        features = self.norm(vectors)
        return features, self.classifier(features)


def hold_bias(*layers: nn.Module) -> None:
    """Makes the biases of the layers buffers: they are loaded and saved by their names, but not trained.

    For a bias that is taken out again before any loss: by a batch norm or a softmax behind it, or because it moves the
    vectors of all clips alike. Its gradient is zero in exact arithmetic, and what rounding leaves of it would move the
    bias at random. In test it counts as a checkpoint has it.
    """
    for layer in layers:
        bias = layer.bias.detach()
        del layer.bias
        layer.register_buffer("bias", bias)
