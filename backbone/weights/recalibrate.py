"""BatchNorm statistics of the features that a policy really leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from backbone.fusion.backbone import FusionBackbone, Observation


@torch.no_grad()
def recalibrate(
    backbone: FusionBackbone, batches: Iterable[Tensor], decide: Callable[[Observation], Tensor]
) -> FusionBackbone:
    """Estimate the statistics of the CNN's BatchNorms anew, in place, as plain means over batches.

    Behind a site they depend on the decisions: a CNN trained under sampled ones (in AdaFuse too) meets others under the
    greedy policy. Weights stay as they are. In each pass the norms read the batch's own statistics, so that a layer's
    are estimated behind layers whose norms already fit.

    :param batches: normalised frames (B, T, 3, H, W) each; large batches estimate better
    :param decide: the policy, from an observation to one-hot decisions (B, T, D, 3)
    :returns: the backbone, in eval mode
    :raises ValueError: no BatchNorm in the CNN, or no batch
    """
    norms = [module for module in backbone.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise ValueError(
            "expected a CNN with BatchNorms to recalibrate, got one without: it has none, or they are folded away"
        )
    momenta = [norm.momentum for norm in norms]
    backbone.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    try:
        for frames in batches:
            backbone(frames, decide)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
            norm.eval()
    if not norms[0].num_batches_tracked:
        raise ValueError("expected at least one batch of clips to recalibrate on, got none")
    return backbone
