"""A frozen CNN without its BatchNorms: they are folded into the convolutions before them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
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
    folded = copy.deepcopy(backbone).eval()
    for _, norm_name, conv, norm in list(_pairs(folded)):
        fused = fuse_conv_bn_eval(conv, norm)
        conv.weight, conv.bias = fused.weight, fused.bias
        folded.cnn.set_submodule(norm_name, nn.Identity())
    return folded if _agree(folded, backbone) else backbone


@torch.no_grad()
def fold_again(folded: FusionBackbone, backbone: FusionBackbone) -> None:
    """Bring what ``fold_batchnorm`` made of a backbone up to date with that backbone's statistics, in place."""
    if folded is backbone:
        return
    for conv_name, _, conv, norm in _pairs(backbone):
        folded.cnn.get_submodule(conv_name).load_state_dict(fuse_conv_bn_eval(conv, norm).state_dict())


def _pairs(backbone: FusionBackbone) -> Iterator[tuple[str, str, nn.Conv2d, nn.BatchNorm2d]]:
    """Every convolution with the BatchNorm right behind it: both names in the CNN, and both modules."""
    for path, module in backbone.cnn.named_modules():
        for (conv_name, conv), (norm_name, norm) in pairwise(module.named_children()):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                prefix = f"{path}." if path else ""
                yield prefix + conv_name, prefix + norm_name, conv, norm


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
