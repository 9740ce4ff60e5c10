"""Temporal shift (TSM, Lin et al., ICCV 2019): a share of the channels comes from the neighbouring frames, for free."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from backbone.common.rows import repeat_rows
from backbone.fusion.sites import Block, FusibleCNN, all_blocks
from backbone.fusion.temporal.mode import Chunk, TemporalMode, register_temporal

FOLD_DIV = 8  # 1/8 of the channels in each direction, as in the paper


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


@register_temporal
class TSM(TemporalMode):
    """Two-way shift of each residual branch's input; needs whole clips."""

    name = "tsm"
    whole_clips_only = True
    takes_tsm_weights = True
    sparse = True

    def __init__(self, cnn: FusibleCNN) -> None:
        self.shifted = shifting_blocks(cnn.stages(), sparse=self.sparse)
        if not self.shifted:
            raise ValueError(f"expected a CNN with blocks that can be shifted for temporal={self.name!r}, got none")

    def convolve(self, name: str, block: Block, x: Tensor, chunk: Chunk) -> Tensor:
        return block.convolve(x, self.shift(name, chunk)) if name in self.shifted else block.convolve(x)

    def shift(self, name: str, chunk: Chunk) -> Callable[[Tensor], Tensor]:
        """The shift of a block's features (N, C, H, W), N = clips * T."""
        return lambda x: shift_two_way(x.unflatten(0, (-1, chunk.frames))).flatten(0, 1)


@register_temporal
class TSMStream(TSM):
    """One-way shift, from the past only; for streams."""

    name = "tsm-stream"
    whole_clips_only = False
    takes_tsm_weights = False

    def shift(self, name: str, chunk: Chunk) -> Callable[[Tensor], Tensor]:
        def one_way(x: Tensor) -> Tensor:
            x = x.unflatten(0, (-1, chunk.frames))
            past = None if chunk.past is None else repeat_rows(chunk.past[name], len(x))
            x, chunk.kept[name] = shift_one_way(x, past)
            return x.flatten(0, 1)

        return one_way


@register_temporal
class TSMAdaFuse(TSM):
    """Two-way shift of the downsample path and of the gate's input too, as in AdaFuse's code."""

    name = "tsm-adafuse"
    takes_tsm_weights = False
    sparse = False

    def __init__(self, cnn: FusibleCNN) -> None:
        super().__init__(cnn)
        blocks = all_blocks(cnn)
        if unfit := sorted(name for name in self.shifted if not hasattr(blocks[name], "shortcut")):
            raise ValueError(
                f'expected blocks of a ResNet for temporal="{self.name}", got others ({unfit[0]}): take "tsm"'
            )

    def observe(self, name: str, v: Tensor) -> Tensor:
        return shift_two_way(v) if name in self.shifted else v

    def finish(
        self, name: str, block: Block, given: tuple[Tensor, ...], chunk: Chunk
    ) -> Tensor | tuple[Tensor, Tensor]:
        if name not in self.shifted:
            return block.finish(*given)
        return block.finish(*given, shift=self.shift(name, chunk))
