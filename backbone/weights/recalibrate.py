"""BatchNorm statistics of the features that a policy really leaves behind.

Behind a site they depend on the decisions. A deep CNN in eval mode does not fail because channels are missing; it fails because
its running statistics are those of other decisions. Yu and Huang (2019, "Universally slimmable networks", section 3.3) met the
same between widths of one network, and estimate the statistics of each anew once training is over; here each policy has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from backbone.fusion.backbone import FusionBackbone, Observation

STATISTICS = ("running_mean", "running_var")


@torch.no_grad()
def recalibrate(
    backbone: FusionBackbone, batches: Iterable[Tensor], decide: Callable[[Observation], Tensor] | None
) -> FusionBackbone:
    """Estimate the statistics of the CNN's BatchNorms anew, in place, as plain means over batches.

    Weights stay as they are.

    :param batches: normalised frames (B, T, 3, H, W) each; large batches estimate better
    :param decide: the policy, from an observation to one-hot decisions (B, T, D, 3); None uses everything
    :returns: the backbone, in eval mode
    :raises ValueError: no BatchNorm in the CNN, or no batch
    """
    with estimating(backbone):
        for frames in batches:
            backbone(frames, decide)
    if not norms(backbone)[0].num_batches_tracked:
        raise ValueError("expected at least one batch of clips to recalibrate on, got none")
    return backbone


@contextmanager
def estimating(backbone: FusionBackbone, momentum: float | None = None) -> Iterator[FusionBackbone]:
    """While this lasts, whatever the backbone runs goes into its statistics; then it is in eval mode again.

    The norms read each batch's own statistics meanwhile, so that a layer's are estimated behind layers whose norms
    already fit.

    :param momentum: share of its statistics that each batch replaces; None begins anew, and takes the plain mean of all
    :raises ValueError: no BatchNorm in the CNN
    """
    found = norms(backbone)
    if not found:
        raise ValueError(
            "expected a CNN with BatchNorms to recalibrate, got one without: it has none, or they are folded away"
        )
    momenta = [norm.momentum for norm in found]
    backbone.eval()
    for norm in found:
        if momentum is None:
            norm.reset_running_stats()
        norm.momentum = momentum
        norm.train()
    try:
        yield backbone
    finally:
        for norm, before in zip(found, momenta):
            norm.momentum = before
            norm.eval()


def norms(backbone: FusionBackbone) -> list[_BatchNorm]:
    """The BatchNorms of its CNN, none where they are folded away."""
    return [module for module in backbone.modules() if isinstance(module, _BatchNorm)]


def read_statistics(backbone: FusionBackbone) -> dict[str, Tensor]:
    """A copy of the statistics of every BatchNorm, by the names of a state dict."""
    return {name: tensor.clone() for name, tensor in _statistics(backbone)}


def write_statistics(backbone: FusionBackbone, statistics: Mapping[str, Tensor]) -> FusionBackbone:
    """Put statistics in place that ``read_statistics`` gave.

    :returns: the backbone
    :raises ValueError: they are another CNN's
    """
    own = dict(_statistics(backbone))
    if own.keys() != statistics.keys() or any(own[name].shape != statistics[name].shape for name in own):
        raise ValueError(
            f"expected statistics of this CNN's {len(own)} BatchNorm tensors, got {len(statistics)} of another: use those "
            "of the same architecture"
        )
    for name, tensor in own.items():
        tensor.copy_(statistics[name])
    return backbone


def _statistics(backbone: FusionBackbone) -> Iterator[tuple[str, Tensor]]:
    for path, module in backbone.named_modules():
        if isinstance(module, _BatchNorm):
            for name in STATISTICS:
                yield f"{path}.{name}", getattr(module, name)
