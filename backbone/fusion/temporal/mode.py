"""What a temporal mode is: how features of neighbouring frames mix outside the sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from backbone.common.registry import Registry
from backbone.fusion.sites import Block, FusibleCNN

TEMPORAL_MODES: Registry[type[TemporalMode]] = Registry("temporal mode")


@dataclass
class Chunk:
    """Consecutive frames of some clips, on their way through the blocks.

    :param frames: T
    :param past: by block, what the mode kept of the chunk before; None in a clip's first chunk
    :param kept: by block, what the mode keeps for the next chunk; it fills this
    """

    frames: int
    past: Mapping[str, Tensor] | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)


class TemporalMode:
    """No mixing of frames outside the sites; other modes say what they do otherwise.

    A mode adds no convolution or linear layer: the ledger would not know its cost.

    :param cnn: whose blocks will run in this mode
    :raises ValueError: a CNN that cannot
    """

    name: str  # the ``temporal`` of a FusionBackbone
    whole_clips_only = False  # a frame's features depend on the frame after it, so that no stream can run it
    takes_tsm_weights = False  # TSM's checkpoints were trained in it

    def __init__(self, cnn: FusibleCNN) -> None:
        return

    def observe(self, name: str, v: Tensor) -> Tensor:
        """What an agent sees of a block's input, (R, T, C_in), from its averages (R, T, C_in)."""
        return v

    def convolve(self, name: str, block: Block, x: Tensor, chunk: Chunk) -> Tensor:
        """A block's y, (N, C, H', W'), from its input (N, C_in, H, W); N = clips * T."""
        return block.convolve(x)

    def finish(
        self, name: str, block: Block, given: tuple[Tensor, ...], chunk: Chunk
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The rest of a block.

        :param given: its input, the fused y, and the shortcut that the block before has handed on, if it has
        """
        return block.finish(*given)


def register_temporal(mode: type[TemporalMode]) -> type[TemporalMode]:
    """Record a mode under its ``name``.

    :raises ValueError: the name is taken
    """
    return TEMPORAL_MODES.register(mode, mode.name)


@register_temporal
class TSN(TemporalMode):
    """Frames meet in the sites and in the consensus alone (TSN, Wang et al., ECCV 2016)."""

    name = "tsn"
