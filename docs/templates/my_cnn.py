# my_cnn.py
from torch import nn

from backbone import register_backbone


class Block(nn.Module):
    """Two convolutions beside a shortcut; the agent decides on the channels between them."""

    channels, shifts, exposes = 32, (), False  # of y, which is not what the block puts out
    takes, writes, reads = ("first",), ("first",), ("second",)  # layers that read x, compute y, read y as decided on

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 32, 3, padding=1), nn.Conv2d(32, 16, 3, padding=1)

    def convolve(self, x, shift=None):
        return self.first(x).relu()

    def finish(self, x, y):
        return x + self.second(y)

    def forward(self, x):
        return self.finish(x, self.convolve(x))


@register_backbone
class MyCNN(nn.Sequential):
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, num_classes, size=32):
        super().__init__()  # which runs its parts in this order
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU())
        self.blocks = nn.Sequential(Block(), Block(), Block())
        self.features = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(16, num_classes)
        self.size = size

    def stages(self):
        return {"blocks": {f"blocks.{i}": block for i, block in enumerate(self.blocks)}}
