"""BN-Inception (Ioffe and Szegedy, 2015), as TSN (Wang et al., 2016) and AdaFuse-Inc (Meng et al., 2021) use it.

Parameters are named as in the published checkpoints but for one dot: their "inception_3a_1x1.weight" is our
"inception_3a.1x1.weight".

Each block carries one site: its output, the concatenation of its branches. In AdaFuse's code such a site's savings at
1x1 and pool_proj, which lie between two sites, were added up; here they cost the product of the live fractions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.cnns.registry import register_backbone

STEM_CHANNELS = 192
# Output channels: 1x1; 3x3_reduce, 3x3; double_3x3_reduce, _1, _2; then the pooling and the channels of its projection.
# Blocks without 1x1 and projection halve the resolution, and hand on what they pool as it is.
BLOCKS: dict[str, tuple[int | None, tuple[int, int], tuple[int, int, int], str, int | None]] = {
    "inception_3a": (64, (64, 64), (64, 96, 96), "avg", 32),
    "inception_3b": (64, (64, 96), (64, 96, 96), "avg", 64),
    "inception_3c": (None, (128, 160), (64, 96, 96), "max", None),
    "inception_4a": (224, (64, 96), (96, 128, 128), "avg", 128),
    "inception_4b": (192, (96, 128), (96, 128, 128), "avg", 128),
    "inception_4c": (160, (128, 160), (128, 160, 160), "avg", 128),
    "inception_4d": (96, (128, 192), (160, 192, 192), "avg", 128),
    "inception_4e": (None, (128, 192), (192, 256, 256), "max", None),
    "inception_5a": (352, (192, 320), (160, 224, 224), "avg", 128),
    "inception_5b": (352, (192, 320), (192, 224, 224), "max", 128),
}


def _add_conv(module: nn.Module, name: str, in_channels: int, channels: int, kernel: int, stride: int = 1) -> None:
    """A convolution and its BatchNorm, as children of ``module``. The momentum is that of the published code."""
    module.add_module(name, nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2))
    module.add_module(f"{name}_bn", nn.BatchNorm2d(channels, eps=1e-5, momentum=0.9))


def _run_conv(module: nn.Module, name: str, x: Tensor) -> Tensor:
    return F.relu(getattr(module, f"{name}_bn")(getattr(module, name)(x)), inplace=True)


def _pooling(kind: str, stride: int) -> nn.Module:
    if kind == "avg":
        return nn.AvgPool2d(3, stride, padding=1, ceil_mode=True, count_include_pad=True)
    return nn.MaxPool2d(3, stride, padding=1 if stride == 1 else 0, ceil_mode=True)


class InceptionBlock(nn.Module):
    """Up to four branches side by side; (N, in_channels, H, W) -> (N, channels, H / stride, W / stride).

    The shift of TSM acts inside the double 3x3 branch, so that the others keep the frame's own features: the residual
    idea of TSM. It is ours: TSM's code would shift the whole input of a block, and no such weights were published.

    :param one: channels of the 1x1 branch, None for none
    :param three: channels of the 3x3 branch's convolutions
    :param double: channels of the double 3x3 branch's convolutions
    :param pool: "avg" or "max"
    :param proj: channels of the convolution behind the pooling; None: the block has stride 2, and the pooled input is
        passed through. Those channels are computed by no layer, so that using them costs nothing.
    """

    reads = ()
    exposes = True
    shifts = ("double_3x3_1",)

    def __init__(
        self,
        in_channels: int,
        one: int | None,
        three: tuple[int, int],
        double: tuple[int, int, int],
        pool: str,
        proj: int | None,
    ) -> None:
        super().__init__()
        stride = 2 if proj is None else 1
        self.branches: list[tuple[str, ...]] = []  # convolutions of each; the last one pools first
        self.writes: dict[str, tuple[int, int]] = {}
        self.channels = 0
        for names, widths in (
            (("1x1",), () if one is None else (one,)),
            (("3x3_reduce", "3x3"), three),
            (("double_3x3_reduce", "double_3x3_1", "double_3x3_2"), double),
            (("pool_proj",), () if proj is None else (proj,)),
        ):
            if not widths:
                continue
            channels = in_channels
            for name, width in zip(names, widths, strict=True):
                kernel = 1 if name == names[0] else 3
                _add_conv(self, name, channels, width, kernel, stride if name == names[-1] else 1)
                channels = width
            self.branches.append(names)
            self.writes[names[-1]] = (self.channels, self.channels + channels)
            self.channels += channels
        if proj is None:
            self.branches.append(())
            self.channels += in_channels
        self.takes = tuple(names[0] for names in self.branches if names)
        self.pool = _pooling(pool, stride)

    def convolve(self, x: Tensor, shift: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        outputs = [x] * (len(self.branches) - 1) + [self.pool(x)]
        for branch, names in enumerate(self.branches):
            for name in names:
                if shift is not None and name in self.shifts:
                    outputs[branch] = shift(outputs[branch])
                outputs[branch] = _run_conv(self, name, outputs[branch])
        return torch.cat(outputs, 1)

    def finish(self, x: Tensor, y: Tensor) -> Tensor:
        return y

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(x, self.convolve(x))


class BNInception(nn.Module):
    """BN-Inception over single frames, (N, 3, size, size) -> logits (N, num_classes).

    Frames come as RGB like everywhere in this project. The published weights expect BGR in [0, 255] less
    (104, 117, 128): ``mean`` and ``std`` give the range, the stem the order.

    :param size: input resolution that costs are counted at, pixels; a multiple of 32
    :raises ValueError: another size, at which a block's convolutions and pooling would differ in resolution
    """

    mean = (128 / 255, 117 / 255, 104 / 255)
    std = (1 / 255,) * 3

    def __init__(self, *, num_classes: int, size: int = 224) -> None:
        super().__init__()
        if size < 32 or size % 32:
            raise ValueError(f"expected the size of BN-Inception's frames to be a multiple of 32 pixels, got {size}")
        self.size = size
        _add_conv(self, "conv1_7x7_s2", 3, 64, 7, 2)
        _add_conv(self, "conv2_3x3_reduce", 64, 64, 1)
        _add_conv(self, "conv2_3x3", 64, STEM_CHANNELS, 3)
        self.stem_pool = _pooling("max", 2)
        channels = STEM_CHANNELS
        for name, widths in BLOCKS.items():
            block = InceptionBlock(channels, *widths)
            self.add_module(name, block)
            channels = block.channels
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def classifier(self) -> nn.Linear:
        return self.fc

    def stem(self, frames: Tensor) -> Tensor:
        """RGB to BGR, then an eighth of the resolution: (N, 3, size, size) -> (N, 192, size / 8, size / 8)."""
        x = self.stem_pool(_run_conv(self, "conv1_7x7_s2", frames.flip(1)))
        return self.stem_pool(_run_conv(self, "conv2_3x3", _run_conv(self, "conv2_3x3_reduce", x)))

    def stages(self) -> dict[str, dict[str, InceptionBlock]]:
        stages: dict[str, dict[str, InceptionBlock]] = {}
        for name in BLOCKS:
            stages.setdefault(name[:-1], {})[name] = getattr(self, name)
        return stages

    def features(self, x: Tensor) -> Tensor:
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.stem(frames)
        for blocks in self.stages().values():
            for block in blocks.values():
                x = block(x)
        return self.fc(self.features(x))


@register_backbone
def bn_inception(num_classes: int, size: int = 224) -> BNInception:
    """BN-Inception: 2.031754 GMACs a frame and 10.4486M parameters with 174 classes."""
    return BNInception(num_classes=num_classes, size=size)
