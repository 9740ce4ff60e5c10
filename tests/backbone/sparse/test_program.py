"""Sizes of maps are those of PyTorch's own operations."""

import pytest
import torch
from torch.nn import functional as F

from backbone.cnns.efficientnet_lite import SameConv2d
from backbone.sparse.program import Conv, Pool


@pytest.mark.parametrize("length", range(4, 13))
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2), (7, 2)])
def test_convolutions(length: int, kernel: int, stride: int) -> None:
    weight, x = torch.zeros(1, 1, kernel, kernel), torch.zeros(1, 1, length, length)
    given = ("", "", "", 0, weight, torch.zeros(1), stride)
    behind = (False, "none", None, None, None)
    padded = Conv(*given, kernel // 2, *behind)
    assert padded.length(length) == F.conv2d(x, weight, None, stride, kernel // 2).shape[-1]
    same = Conv(*given, None, *behind)
    assert same.length(length) == SameConv2d(1, 1, kernel, stride, kernel // 2)(x).shape[-1]


@pytest.mark.parametrize("length", range(4, 13))
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (3, 2, 0), (2, 2, 0)])
def test_poolings(length: int, ceil: bool, kernel: int, stride: int, padding: int) -> None:
    pool = Pool("max", "", "", 0, 1, kernel, stride, padding, ceil, None)
    x = torch.zeros(1, 1, length, length)
    assert pool.length(length) == F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil).shape[-1]
