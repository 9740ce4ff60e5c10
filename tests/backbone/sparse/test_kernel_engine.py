"""What the kernels do not know goes to PyTorch."""

import pytest
import torch
from fusion_cases import PlainCNN, random_frames
from torch import nn

from backbone import FusionBackbone
from backbone.sparse import Stream
from backbone.sparse.build import Missing


class Narrowing(PlainCNN):
    """Its first convolution sees no zeros beside the frame, so that its map is smaller than half of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, self.first.out_channels, 3, stride=2)


def test_a_map_that_shrinks_by_more_than_the_stride(capsys):
    torch.manual_seed(0)
    backbone, frame = FusionBackbone(Narrowing().eval()), random_frames(1)[0, 0]
    with pytest.raises(Missing, match="no convolution that makes a map smaller than its stride does, got first"):
        Stream(backbone, engine="kernels").step(frame)
    scores = Stream(backbone).step(frame)
    assert "which is slower: they know no convolution" in capsys.readouterr().err
    torch.testing.assert_close(scores, backbone.cnn(frame[None])[0], rtol=1e-5, atol=1e-6)
