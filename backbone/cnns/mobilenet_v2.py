"""MobileNetV2 (Sandler et al., 2018) at width 1.0 with torchvision's parameter names; without its dropout.

This file is the example to follow for a backbone of your own. What a CNN and its blocks must offer stands in
``backbone/fusion/sites.py`` (``FusibleCNN`` and ``Block``); here it is offered top to bottom: a block that stops at its site,
a CNN as a chain of such blocks, a registered constructor. Its chain serves other tables too (``efficientnet_lite.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from backbone.cnns.registry import register_backbone
from backbone.cnns.resnet import IMAGENET_MEAN, IMAGENET_STD


class Stage(NamedTuple):
    """A row of the paper's table: blocks of one width, of which the first has the stride."""

    expansion: int
    channels: int
    depth: int
    stride: int
    kernel: int = 3


STAGES = (  # table 2 of the paper
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
STEM_CHANNELS = 32
LAST_CHANNELS = 1280

Conv = type[nn.Conv2d]


def _conv_norm_relu(
    in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1, conv: Conv = nn.Conv2d
) -> nn.Sequential:
    layer = conv(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise kxk, project 1x1; (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    The site stands behind the depthwise convolution's ReLU6: y is what the projection reads. Channel i of y needs
    channel i of the expansion and of the depthwise convolution only, so both *write* y, and a channel that is not
    computed saves its part of both. The site cannot stand behind the expansion: a skipped channel must reach the
    convolution that reads it as zero, and the depthwise convolution's BatchNorm and ReLU6 would make a constant of it.

    :param expansion: width of y in multiples of in_channels; 1 leaves the expansion out
    :param kernel: k, odd
    :param conv: kind of the depthwise convolution, for another padding than Conv2d's
    """

    exposes = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expansion: int,
        kernel: int = 3,
        conv: Conv = nn.Conv2d,
    ) -> None:
        super().__init__()
        self.channels = width = expansion * in_channels
        self.has_shortcut = stride == 1 and in_channels == out_channels
        expand = [_conv_norm_relu(in_channels, width, 1)] if expansion > 1 else []
        depthwise = _conv_norm_relu(width, width, kernel, stride, groups=width, conv=conv)
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
    :param table: its blocks; STAGES by default
    :param conv: kind of the convolutions that may have a stride
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __init__(
        self, *, num_classes: int, size: int = 224, table: Sequence[Stage] | None = None, conv: Conv = nn.Conv2d
    ) -> None:
        super().__init__()
        self.size = size
        self.table = STAGES if table is None else tuple(table)
        layers: list[nn.Module] = [_conv_norm_relu(3, STEM_CHANNELS, 3, stride=2, conv=conv)]
        channels = STEM_CHANNELS
        for expansion, out_channels, depth, first_stride, kernel in self.table:
            for position in range(depth):
                stride = first_stride if position == 0 else 1
                layers.append(InvertedResidual(channels, out_channels, stride, expansion, kernel, conv))
                channels = out_channels
        self.features = Features(*layers, _conv_norm_relu(channels, LAST_CHANNELS, 1))
        self.classifier = nn.Linear(LAST_CHANNELS, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, frames: Tensor) -> Tensor:
        return self.features[0](frames)

    def stages(self) -> dict[str, dict[str, InvertedResidual]]:
        """The rows of the table, "stage1" to "stage7"; blocks are named as modules, "features.1" and so on."""
        children = self.features.named_children()
        blocks = ((f"features.{name}", block) for name, block in children if isinstance(block, InvertedResidual))
        return {f"stage{row}": dict(islice(blocks, stage.depth)) for row, stage in enumerate(self.table, start=1)}

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
