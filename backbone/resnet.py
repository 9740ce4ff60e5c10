"""ResNets (He et al., 2016) with torchvision's parameter names, and the small one of the embedded experiment.

Each block carries one site: the output of conv1 + bn1 + relu.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.registry import register_backbone

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _downsample(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class ResidualBlock(nn.Module):
    """What both kinds share: the site behind conv1 + bn1 + relu."""

    writes = ("conv1",)
    reads = ("conv2",)
    exposes = False

    def convolve(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(x, self.convolve(x))


class BasicBlock(ResidualBlock):
    """conv 3x3, conv 3x3 and a shortcut; (N, in_channels, H, W) -> (N, width, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.channels = width
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(in_channels, width, stride)

    def finish(self, x: Tensor, y: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(y)).add_(shortcut), inplace=True)


class Bottleneck(ResidualBlock):
    """conv 1x1, conv 3x3, conv 1x1 and a shortcut; the stride sits on the 3x3, as in torchvision."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.channels = width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _downsample(in_channels, width * self.expansion, stride)

    def finish(self, x: Tensor, y: Tensor) -> Tensor:
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn3(self.conv3(y)).add_(shortcut), inplace=True)


class ResNet(nn.Module):
    """A ResNet over single frames, (N, 3, size, size) -> logits (N, num_classes).

    :param block: BasicBlock or Bottleneck
    :param depths: blocks per stage
    :param widths: channels of each stage's sites
    :param size: input resolution that costs are counted at, pixels
    :param small: the embedded experiment's stem (3x3, stride 2, no max-pooling) in place of ImageNet's
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        widths: Sequence[int] = (64, 128, 256, 512),
        *,
        num_classes: int,
        size: int = 224,
        small: bool = False,
    ) -> None:
        super().__init__()
        self.size = size
        self.mean, self.std = ((0.5,) * 3, (0.25,) * 3) if small else (IMAGENET_MEAN, IMAGENET_STD)
        kernel = 3 if small else 7
        self.conv1 = nn.Conv2d(3, widths[0], kernel, 2, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        channels = widths[0]
        self.num_stages = len(depths)
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            blocks = []
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(block(channels, width, stride))
                channels = width * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def named_blocks(self) -> list[tuple[str, nn.Module]]:
        """The residual blocks in the order in which they run, by name ("layer1.0")."""
        stages = [f"layer{stage + 1}" for stage in range(self.num_stages)]
        return [(f"{stage}.{name}", block) for stage in stages for name, block in getattr(self, stage).named_children()]

    def stem(self, frames: Tensor) -> Tensor:
        return self.maxpool(F.relu(self.bn1(self.conv1(frames)), inplace=True))

    def head(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))

    def forward(self, frames: Tensor) -> Tensor:
        x = self.stem(frames)
        for _, block in self.named_blocks():
            x = block(x)
        return self.head(x)


@register_backbone
def resnet_small(num_classes: int, size: int = 32) -> ResNet:
    """Widths 16/32/64, one BasicBlock a stage: 3.126 MMACs a frame and 77,912 parameters with 8 classes."""
    return ResNet(BasicBlock, (1, 1, 1), (16, 32, 64), num_classes=num_classes, size=size, small=True)


@register_backbone
def resnet18(num_classes: int, size: int = 224) -> ResNet:
    """ResNet-18; loads torchvision's resnet18 weights."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes=num_classes, size=size)


@register_backbone
def resnet34(num_classes: int, size: int = 224) -> ResNet:
    """ResNet-34; loads torchvision's resnet34 weights."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes=num_classes, size=size)


@register_backbone
def resnet50(num_classes: int, size: int = 224) -> ResNet:
    """ResNet-50; loads torchvision's resnet50 weights."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes=num_classes, size=size)
