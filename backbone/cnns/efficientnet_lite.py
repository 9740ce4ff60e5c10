"""EfficientNet-Lite0 (Tan and Le, 2019; its Lite variant: Google, 2020): no squeeze-and-excitation, ReLU6 for swish.

A chain of inverted residuals as MobileNetV2 is, by another table with kernels of 5 in three of its stages, and with
TensorFlow's padding and BatchNorm. Without its dropout and its stochastic depth, which act in training alone. The
published weights (``backbone/weights/published.py``) are renamed when they are read (``backbone/weights/foreign.py``).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from backbone.cnns.mobilenet_v2 import MobileNetV2, Stage
from backbone.cnns.registry import register_backbone

STAGES = (  # table 1 of the paper, whose B0 has the same
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)


class SameConv2d(nn.Conv2d):
    """A convolution under TensorFlow's padding "SAME"; (N, C_in, H, W) -> (N, C, ceil(H / stride), ceil(W / stride)).

    Just as many zeros as these windows need, half of them on each side. Where their number is odd, as with a stride of 2
    in a map of even size, the far side gets one more, and the windows lie elsewhere than Conv2d's.

    :param padding: of stride 1, where both are the same: half the kernel
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == (1, 1):
            return super().forward(x)
        sides: list[int] = []
        for length, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            zeros = max(kernel - (length % stride or stride), 0)
            sides += [zeros // 2, zeros - zeros // 2]
        return F.conv2d(F.pad(x, sides), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class EfficientNetLite0(MobileNetV2):
    """EfficientNet-Lite0 over single frames, (N, 3, size, size) -> logits (N, num_classes).

    :param size: input resolution that costs are counted at, pixels
    """

    mean, std = (127 / 255,) * 3, (128 / 255,) * 3

    def __init__(self, *, num_classes: int, size: int = 224) -> None:
        super().__init__(num_classes=num_classes, size=size, table=STAGES, conv=SameConv2d)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 1e-3, 0.01  # a momentum of 0.99, as TensorFlow counts it


@register_backbone
def efficientnet_lite0(num_classes: int, size: int = 224) -> EfficientNetLite0:
    """EfficientNet-Lite0; loads the published efficientnet-lite0 weights."""
    return EfficientNetLite0(num_classes=num_classes, size=size)
