"""Temporal shift (TSM, Lin et al., ICCV 2019): a share of the channels comes from the neighbouring frames, for free."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from backbone.fusion.sites import Block

FOLD_DIV = 8  # 1/8 of the channels in each direction, as in the paper
TEMPORAL = {
    "tsn": "no mixing of frames outside the sites",
    "tsm": "two-way shift of each residual branch's input; needs whole clips",
    "tsm-stream": "one-way shift, from the past only; for streams",
    "tsm-adafuse": "two-way shift of the downsample path and of the gate's input too, as in AdaFuse's code",
}


def shift_two_way(x: Tensor) -> Tensor:
    """(B, T, C, ...) -> the same: the first C/8 channels from frame t+1, the next C/8 from t-1, zero at the ends."""
    fold = x.shape[2] // FOLD_DIV
    shifted = x.clone()
    shifted[:, :-1, :fold] = x[:, 1:, :fold]
    shifted[:, -1, :fold] = 0
    shifted[:, 1:, fold : 2 * fold] = x[:, :-1, fold : 2 * fold]
    shifted[:, 0, fold : 2 * fold] = 0
    return shifted


def shift_one_way(x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """(B, T, C, ...) -> the same: the first C/8 channels from frame t-1; and what the next frame will need.

    :param before: (B, C/8, ...) of the frame before these; None at a clip's start: zero
    """
    fold = x.shape[2] // FOLD_DIV
    shifted = x.clone()
    shifted[:, 1:, :fold] = x[:, :-1, :fold]
    shifted[:, 0, :fold] = 0 if before is None else before
    return shifted, x[:, -1, :fold]


def shifting_blocks(stages: Mapping[str, Mapping[str, Block]], *, sparse: bool = True) -> set[str]:
    """Names of the blocks that are shifted: all that name a layer for it.

    :param sparse: where the third stage has 23 blocks or more (ResNet-101), only the first, third, ... of each stage,
        as in the code of TSM's authors; AdaFuse's has no such exception
    """
    modules = [[name for name, block in blocks.items() if isinstance(block, nn.Module)] for blocks in stages.values()]
    every = 2 if sparse and len(modules) > 2 and len(modules[2]) >= 23 else 1
    chosen = {name for inside in modules for name in inside[::every]}
    return {name for blocks in stages.values() for name, block in blocks.items() if name in chosen and block.shifts}
