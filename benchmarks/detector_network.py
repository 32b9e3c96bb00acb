"""The shipped detector's network, its assignment of boxes to cells, and its losses.

    network = Network(folder)
    dense, sparse = network(images)                  # [B, 3, H, W] in 0..1 -> raw [B, 5, cells] of the two heads
    loss = detection_loss(dense, sparse, people, visible, height, width)

The features are Ultralytics' YOLO11 in a narrow cut. Two heads stand on strides 8, 16 and 32 (Wang et al., 2024, arXiv
2405.14458): the dense one learns from several cells a person, the sparse one from a single cell, so that its output
needs hardly any suppression. Cells are assigned to people by the alignment score^0.5 * overlap^6 (TOOD, Feng et al.,
2021, arXiv 2108.07755).
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

MODEL = """nc: 1
scales:
  n: [0.50, 0.125, 512]
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 2, C3k2, [256, False, 0.25]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 2, C3k2, [512, False, 0.25]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [-1, 2, C3k2, [512, True]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [-1, 2, C3k2, [512, True]]
  - [-1, 1, SPPF, [512, 5]]
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 6], 1, Concat, [1]]
  - [-1, 2, C3k2, [512, False]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 4], 1, Concat, [1]]
  - [-1, 2, C3k2, [256, False]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [[-1, 12], 1, Concat, [1]]
  - [-1, 2, C3k2, [512, False]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [[-1, 9], 1, Concat, [1]]
  - [-1, 2, C3k2, [512, True]]
  - [[15, 18, 21], 1, Detect, [nc]]
"""
STRIDES = (8, 16, 32)
LEAST_VISIBLE = 0.2  # people covered more than this are neither found nor missed
CELLS_DENSE, CELLS_SPARSE = 10, 1  # cells that learn one person, in each head
BOX_WEIGHT = 5.0
IGNORE_OVERLAP = 0.5  # boxes that lie so on somebody hardly visible are no mistake


def convolution(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
        nn.SiLU(inplace=True),
    )


class Head(nn.Module):
    """Raw [B, 5, cells] from the features of the three strides: distances to the four sides, then the score."""

    def __init__(self, channels: tuple[int, ...], width: int):
        super().__init__()
        self.towers = nn.ModuleList(
            nn.Sequential(
                convolution(c, width, 3), convolution(width, width, 3, groups=width), convolution(width, width)
            )
            for c in channels
        )
        self.last = nn.ModuleList(nn.Conv2d(width, 5, 1) for _ in channels)
        for layer in self.last:
            nn.init.normal_(layer.weight, std=0.01)
            layer.bias.data = torch.tensor([1.0, 1.6, 1.0, 1.6, -5.0])

    def forward(self, levels: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(
            [last(tower(x)).flatten(2) for tower, last, x in zip(self.towers, self.last, levels, strict=True)], 2
        )


class Network(nn.Module):
    """Layers 0 to 21 of YOLO11 in a narrow cut, which give features at strides 8, 16 and 32, and both heads."""

    def __init__(self, folder: Path):
        super().__init__()
        from ultralytics.nn.tasks import DetectionModel

        text = folder / "yolo11n-narrow.yaml"
        text.write_text(MODEL)
        built = DetectionModel(str(text), verbose=False)
        self.layers, self.outputs = built.model[:-1], built.model[-1].f
        channels = (32, 64, 64)
        self.dense, self.sparse = Head(channels, 48), Head(channels, 48)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """[B, C, H / stride, W / stride] of the three strides."""
        made, last = [], images
        for layer in self.layers:
            if isinstance(layer.f, list):
                last = [last if at == -1 else made[at] for at in layer.f]
            last = layer(last)
            made.append(last)
        return [made[at] for at in self.outputs]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        levels = self.features(images)
        # The sparse head only reads: its single cells would pull the features apart.
        return self.dense(levels), self.sparse([level.detach() for level in levels])

    @torch.no_grad()
    def start_from(self, exported: Path, images: torch.Tensor) -> None:
        """Takes the features of an earlier export of this cut, whose normalisations were folded into its convolutions.

        `images` [B, 3, H, W] tell each normalisation the mean and the spread that it has to undo.
        """
        import onnx

        graph = onnx.load(str(exported)).graph
        values = {i.name: torch.from_numpy(onnx.numpy_helper.to_array(i).copy()) for i in graph.initializer}
        # "/layers.6/m.0/m/m.1/cv1/conv/Conv" in files of ours, "/model.6/…" in those of Ultralytics: "6.m.0.m.1.cv1"
        convolutions = [n for n in graph.node if n.op_type == "Conv" and n.name.endswith("/conv/Conv")]
        named = {
            n.name.partition(".")[2].removesuffix("/conv/Conv").replace("/m/", "/").replace("/", "."): n.input
            for n in convolutions
        }
        hooks = []
        for name, block in self.layers.named_modules():
            if not isinstance(block, type(self.layers[0])):
                continue
            _, weight, bias = named[name]
            block.conv.weight.copy_(values[weight])

            def settle(norm, inputs, bias=values[bias]):
                spread, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(spread)
                norm.weight.copy_((spread + norm.eps).sqrt())
                norm.bias.copy_(bias + mean)

            hooks.append(block.bn.register_forward_pre_hook(settle))
        self.eval()
        self.features(images)
        for hook in hooks:
            hook.remove()


def cells(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres [cells, 2] in pixels and strides [cells] of all three levels, row by row."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((len(centres[-1]),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def decode(raw: torch.Tensor, centres: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
    """Corners [B, cells, 4] in pixels: the distances are exponents, in strides."""
    reach = raw[:, :4].clamp(-4, 4).exp().transpose(1, 2) * strides[:, None]
    return torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], -1)


def overlap(a: torch.Tensor, b: torch.Tensor, *, complete: bool = False) -> torch.Tensor:
    """Intersection over union of boxes [..., 4]; `complete`: CIoU (Zheng et al., 2020, arXiv 1911.08287)."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    iou = inside / (size_a.prod(-1) + size_b.prod(-1) - inside + 1e-6)
    if not complete:
        return iou
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    angle_a, angle_b = (torch.atan(s[..., 0] / (s[..., 1] + 1e-6)) for s in (size_a, size_b))
    shape = 0.4053 * (angle_a - angle_b) ** 2  # 4 / pi^2
    with torch.no_grad():
        share = shape / (1 - iou + shape + 1e-6)
    return iou - apart / ((hull**2).sum(-1) + 1e-6) - share * shape


@torch.no_grad()
def assign(
    scores: torch.Tensor,
    boxes: torch.Tensor,
    centres: torch.Tensor,
    strides: torch.Tensor,
    people: torch.Tensor,
    wanted: torch.Tensor,
    k: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which person each cell learns, and how sure it shall be.

    Args:
        scores: [B, cells] in 0..1. boxes: [B, cells, 4].
        people: [B, M, 4] corners; wanted: bool [B, M], False for padding and for people that are no target.
        k: cells a person.

    Returns:
        [B, cells] index into M, -1 for none; [B, cells] target score, the alignment scaled so that a person's best cell
        shall reach its best overlap.
    """
    # somebody narrower than the cells' distance has no centre inside: then the cells nearby count
    middle, half = (people[..., :2] + people[..., 2:]) / 2, (people[..., 2:] - people[..., :2]) / 2
    reach = torch.maximum(half[:, :, None], 0.75 * strides[:, None])
    able = ((centres - middle[:, :, None]).abs() < reach).all(-1) & wanted[..., None]
    iou = overlap(people[:, :, None], boxes[:, None]) * able
    alignment = scores[:, None].clamp(min=1e-9).sqrt() * (iou * iou * iou) ** 2 + 1e-9 * able
    best = alignment.topk(k, -1)[1]
    chosen = torch.zeros_like(able).scatter_(-1, best, True) & able
    owner = torch.where(chosen, iou, iou.new_tensor(-1.0)).max(1)
    index = torch.where(owner[0] >= 0, owner[1], -1)
    own = torch.zeros_like(able).scatter_(1, index.clamp(min=0)[:, None], (index >= 0)[:, None])
    alignment = alignment * own
    top = alignment.amax(-1, keepdim=True)
    reach = (iou * own).amax(-1, keepdim=True)
    return index, (alignment / (top + 1e-12) * reach).amax(1)


def head_loss(
    raw: torch.Tensor,
    centres: torch.Tensor,
    strides: torch.Tensor,
    people: torch.Tensor,
    visible: torch.Tensor,
    k: int,
) -> torch.Tensor:
    """Score and box loss of one head; people [B, M, 4] with visibility [B, M], below 0 for padding."""
    boxes = decode(raw, centres, strides)
    logits = raw[:, 4]
    index, target = assign(logits.sigmoid(), boxes.detach(), centres, strides, people, visible >= LEAST_VISIBLE, k)
    learns = index >= 0
    weight = torch.ones_like(target)
    hardly = (visible >= 0) & (visible < LEAST_VISIBLE)
    if hardly.any():
        on = (overlap(people[:, :, None], boxes.detach()[:, None]) * hardly[..., None]).amax(1) > IGNORE_OVERLAP
        weight[on & ~learns] = 0
    total = target.sum().clamp(min=1.0)
    score = functional.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum") / total
    mine = people.gather(1, index.clamp(min=0)[..., None].expand(-1, -1, 4))[learns]
    box = ((1 - overlap(boxes[learns], mine, complete=True)) * target[learns]).sum() / total
    return score + BOX_WEIGHT * box


def detection_loss(
    dense: torch.Tensor, sparse: torch.Tensor, people: torch.Tensor, visible: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """The sum over both heads."""
    centres, strides = cells(height, width)
    return head_loss(dense, centres, strides, people, visible, CELLS_DENSE) + head_loss(
        sparse, centres, strides, people, visible, CELLS_SPARSE
    )


class Exported(nn.Module):
    """What the file holds: [B, 3, H, W] -> [B, 5, cells] centre x, centre y, width, height in pixels, score."""

    def __init__(self, network: Network, sparse: bool):
        super().__init__()
        self.network, self.sparse = network, sparse

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        levels = self.network.features(images)
        raw = (self.network.sparse if self.sparse else self.network.dense)(levels)
        parts, start = [], 0
        for stride, level in zip(STRIDES, levels, strict=True):
            count = level.shape[2] * level.shape[3]
            part = raw[:, :, start : start + count]
            start += count
            x = (torch.arange(level.shape[3], dtype=torch.float32) + 0.5) * stride
            y = (torch.arange(level.shape[2], dtype=torch.float32) + 0.5) * stride
            grid = torch.stack(
                [x[None].expand(level.shape[2], -1).flatten(), y[:, None].expand(-1, level.shape[3]).flatten()]
            )
            reach = part[:, :4].clamp(-4, 4).exp() * stride
            low, high = grid - reach[:, :2], grid + reach[:, 2:]
            parts.append(torch.cat([(low + high) / 2, high - low, part[:, 4:].sigmoid()], 1))
        return torch.cat(parts, 2)
