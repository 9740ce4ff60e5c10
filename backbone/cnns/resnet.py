"""ResNets (He et al., 2016) with torchvision's parameter names, and the small one of the embedded experiment.

Each block carries a site behind conv1 + bn1 + relu, as in AdaFuse; a Bottleneck can carry a second behind its 3x3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.cnns.registry import register_backbone
from backbone.fusion.sites import Block

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Shift = Callable[[Tensor], Tensor]


def _downsample(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class ResidualBlock(nn.Module):
    """What both kinds share: the site behind conv1 + bn1 + relu, and the shortcut."""

    takes = ("conv1",)
    writes = ("conv1",)
    shifts = ("conv1",)
    has_shortcut = True

    conv1: nn.Conv2d
    bn1: nn.Module
    downsample: nn.Sequential | None

    def convolve(self, x: Tensor, shift: Shift | None = None) -> Tensor:
        return F.relu(self.bn1(self.conv1(x if shift is None else shift(x))), inplace=True)

    def shortcut(self, x: Tensor, shift: Shift | None = None) -> Tensor:
        """x itself, or x fitted to the block's output.

        :param shift: of the fitted input, as AdaFuse's code has it; TSM shifts the residual branch alone
        """
        if self.downsample is None:
            return x
        return self.downsample(x if shift is None else shift(x))


class BasicBlock(ResidualBlock):
    """conv 3x3, conv 3x3 and a shortcut; (N, in_channels, H, W) -> (N, width, H / stride, W / stride)."""

    expansion = 1
    reads = ("conv2",)
    exposes = False

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.channels = width
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(in_channels, width, stride)

    def blocks(self, name: str) -> dict[str, Block]:
        """The sites that this module can carry."""
        return {name: self}

    def finish(self, x: Tensor, y: Tensor, shift: Shift | None = None) -> Tensor:
        return F.relu(self.bn2(self.conv2(y)).add_(self.shortcut(x, shift)), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(x, self.convolve(x))


class Bottleneck(ResidualBlock):
    """conv 1x1, conv 3x3, conv 1x1 and a shortcut; the stride sits on the 3x3, as in torchvision.

    Walked in two parts, each with a possible site: this one up to conv1, which hands on the shortcut, and the second.
    """

    expansion = 4
    reads = ()
    exposes = True

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
        self.second = SecondSite(self)

    def blocks(self, name: str) -> dict[str, Block]:
        """The sites that this module can carry."""
        return {name: self, f"{name}.conv2": self.second}

    def finish(self, x: Tensor, y: Tensor, shift: Shift | None = None) -> tuple[Tensor, Tensor]:
        return y, self.shortcut(x, shift)

    def forward(self, x: Tensor) -> Tensor:
        y, shortcut = self.finish(x, self.convolve(x))
        return self.second.finish(y, self.second.convolve(y), shortcut)


class SecondSite:
    """The rest of a Bottleneck: the optional site behind conv2 + bn2 + relu, then conv3 and the shortcut."""

    takes = ("conv2",)
    writes = ("conv2",)
    reads = ("conv3",)
    shifts = ()
    exposes = False
    has_shortcut = True

    def __init__(self, block: Bottleneck) -> None:
        self.block = block
        self.channels = block.channels

    def convolve(self, x: Tensor) -> Tensor:
        return F.relu(self.block.bn2(self.block.conv2(x)), inplace=True)

    def finish(self, x: Tensor, y: Tensor, shortcut: Tensor) -> Tensor:
        return F.relu(self.block.bn3(self.block.conv3(y)).add_(shortcut), inplace=True)


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
        self.depths = tuple(depths)
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

    @property
    def classifier(self) -> nn.Linear:
        return self.fc

    def stages(self) -> dict[str, dict[str, Block]]:
        """{"layer1": {"layer1.0": block, ...}, ...}; behind each Bottleneck its second site, "layer1.0.conv2"."""
        stages: dict[str, dict[str, Block]] = {}
        for stage in (f"layer{number + 1}" for number in range(len(self.depths))):
            inside = [block.blocks(f"{stage}.{name}") for name, block in getattr(self, stage).named_children()]
            stages[stage] = {name: block for blocks in inside for name, block in blocks.items()}
        return stages

    def stem(self, frames: Tensor) -> Tensor:
        return self.maxpool(F.relu(self.bn1(self.conv1(frames)), inplace=True))

    def features(self, x: Tensor) -> Tensor:
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.stem(frames)
        for stage in range(len(self.depths)):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(self.features(x))


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


@register_backbone
def resnet101(num_classes: int, size: int = 224) -> ResNet:
    """ResNet-101; loads torchvision's resnet101 weights."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes=num_classes, size=size)
