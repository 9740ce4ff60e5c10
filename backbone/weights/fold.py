"""A frozen CNN without its BatchNorms: they are folded into the convolutions before them."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backbone.fusion.backbone import FusionBackbone

TOLERANCE = 1e-3  # of logits, relative to their spread: far above rounding, far below any real difference


def fold_batchnorm(backbone: FusionBackbone) -> FusionBackbone:
    """A copy for running, not for training: same sites, same MACs, logits equal but for rounding.

    A BatchNorm2d that is registered right behind a Conv2d is taken to run right behind it, as in ResNets. If the
    folded CNN then disagrees with the given one, the given one is returned as it is.
    """
    folded_backbone = copy.deepcopy(backbone).eval()
    for module in list(folded_backbone.cnn.modules()):
        for (_, conv), (name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                folded = fuse_conv_bn_eval(conv, norm)
                conv.weight, conv.bias = folded.weight, folded.bias
                setattr(module, name, nn.Identity())
    return folded_backbone if _agree(folded_backbone, backbone) else backbone


@torch.no_grad()
def _agree(folded: FusionBackbone, backbone: FusionBackbone) -> bool:
    size, device = backbone.cnn.size, backbone.device
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 3, size, size, generator=generator).to(device)
    training = backbone.training
    expected = backbone.eval().cnn(frames)
    backbone.train(training)
    scale = expected.abs().max().clamp_min(1e-6)
    return bool(((folded.cnn(frames) - expected).abs() <= TOLERANCE * scale).all())
