"""MobileNetV2 (Sandler et al., 2018) at width 1.0 with torchvision's parameter names; without its dropout.

This file is the example to follow for a backbone of your own. What a CNN and its blocks must offer stands in
``backbone/fusion/sites.py`` (``FusibleCNN`` and ``Block``); here it is offered top to bottom: a block that stops at its site,
a CNN as a chain of such blocks, a registered constructor.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from torch import Tensor, nn
from torch.nn import functional as F

from backbone.cnns.registry import register_backbone
from backbone.cnns.resnet import IMAGENET_MEAN, IMAGENET_STD

STAGES = (  # table 2 of the paper: expansion, output channels, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32
LAST_CHANNELS = 1280


def _conv_norm_relu(in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1; (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    The site stands behind the depthwise convolution's ReLU6: y is what the projection reads. Channel i of y needs
    channel i of the expansion and of the depthwise convolution only, so both *write* y, and a channel that is not
    computed saves its part of both. The site cannot stand behind the expansion: a skipped channel must reach the
    convolution that reads it as zero, and the depthwise convolution's BatchNorm and ReLU6 would make a constant of it.

    :param expansion: width of y in multiples of in_channels; 1 leaves the expansion out
    """

    exposes = False

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.channels = width = expansion * in_channels
        self.has_shortcut = stride == 1 and in_channels == out_channels
        expand = [_conv_norm_relu(in_channels, width, 1)] if expansion > 1 else []
        depthwise = _conv_norm_relu(width, width, 3, stride, groups=width)
        project = nn.Conv2d(width, out_channels, 1, bias=False)
        self.conv = nn.Sequential(*expand, depthwise, project, nn.BatchNorm2d(out_channels))

        self.writes = ("conv.0.0", "conv.1.0") if expand else ("conv.0.0",)
        self.takes = ("conv.0.0",)
        self.reads = ("conv.2",) if expand else ("conv.1",)
        self.shifts = self.takes if expand and self.has_shortcut else ()  # as TSM (Lin et al., 2019) places its shifts

    def convolve(self, x: Tensor, shift: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return self.conv[:-2](x if shift is None else shift(x))

    def finish(self, x: Tensor, y: Tensor) -> Tensor:
        projected = self.conv[-2:](y)
        return x + projected if self.has_shortcut else projected

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(x, self.convolve(x))


class Features(nn.Sequential):
    """Stem, blocks and last convolution, numbered in one row by torchvision; a call runs what is behind the blocks."""

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self[-1](x), 1).flatten(1)


class MobileNetV2(nn.Module):
    """MobileNetV2 over single frames, (N, 3, size, size) -> logits (N, num_classes).

    ``features(x)`` pools the last block's output, (N, 320, H, W) -> (N, 1280). ``classifier`` is torchvision's
    ``classifier.1``.

    :param size: input resolution that costs are counted at, pixels
    """

    mean, std = IMAGENET_MEAN, IMAGENET_STD

    def __init__(self, *, num_classes: int, size: int = 224) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = [_conv_norm_relu(3, STEM_CHANNELS, 3, stride=2)]
        channels = STEM_CHANNELS
        for expansion, out_channels, depth, first_stride in STAGES:
            for position in range(depth):
                stride = first_stride if position == 0 else 1
                layers.append(InvertedResidual(channels, out_channels, stride, expansion))
                channels = out_channels
        self.features = Features(*layers, _conv_norm_relu(channels, LAST_CHANNELS, 1))
        self.classifier = nn.Linear(LAST_CHANNELS, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, frames: Tensor) -> Tensor:
        return self.features[0](frames)

    def stages(self) -> dict[str, dict[str, InvertedResidual]]:
        """The rows of the paper's table, "stage1" to "stage7"; blocks are named as modules, "features.1" and so on."""
        children = self.features.named_children()
        blocks = ((f"features.{name}", block) for name, block in children if isinstance(block, InvertedResidual))
        return {f"stage{row}": dict(islice(blocks, depth)) for row, (_, _, depth, _) in enumerate(STAGES, start=1)}

    def forward(self, frames: Tensor) -> Tensor:
        x = self.stem(frames)
        for blocks in self.stages().values():
            for block in blocks.values():
                x = block(x)
        return self.classifier(self.features(x))


@register_backbone
def mobilenet_v2(num_classes: int, size: int = 224) -> MobileNetV2:
    """MobileNetV2 at width 1.0; loads torchvision's mobilenet_v2 weights."""
    return MobileNetV2(num_classes=num_classes, size=size)
