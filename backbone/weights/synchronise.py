"""BatchNorms that read a batch's statistics over all ranks, on any device: PyTorch's own SyncBatchNorm needs CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from backbone.common import ranks


@contextmanager
def synchronised(*modules: nn.Module) -> Iterator[None]:
    """While this lasts, BatchNorms in training read, and keep, the statistics of all ranks' rows together."""
    found = [norm for module in modules for norm in module.modules() if isinstance(norm, _BatchNorm)]
    if ranks.dividing() == 1 or not found:
        yield
        return
    for norm in found:
        norm.forward = partial(_forward, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in found:
            del norm.forward


def _forward(norm: _BatchNorm, features: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, features)
    axes = [0, *range(2, features.dim())]
    shape = [1, -1, *[1] * (features.dim() - 2)]
    rows = features.new_tensor(float(features.numel() // features.shape[1]))
    total = ranks.reduce(rows.clone())
    mean = _Sum.apply(features.sum(axes)) / total
    centred = features - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / total  # of what is centred: no digits are lost to a large mean
    if norm.track_running_stats:
        _keep(norm, mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
    scaled = centred * (variance + norm.eps).rsqrt().view(shape)
    return scaled * norm.weight.view(shape) + norm.bias.view(shape) if norm.affine else scaled


class _Sum(torch.autograd.Function):
    """Over all ranks; each has a part in every rank's loss, so that gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return ranks.reduce(part.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return ranks.reduce(gradient.clone(memory_format=torch.contiguous_format))


@torch.no_grad()
def _keep(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """As a BatchNorm does by itself: a running mean of its momentum, or the plain mean of all batches."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    weight = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    for kept, found in ((norm.running_mean, mean), (norm.running_var, variance)):
        assert kept is not None
        kept.lerp_(found.to(kept.dtype), weight)
