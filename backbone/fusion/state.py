"""Where a walk stands, what it remembers, what an agent may see of it, and how it ends.

Shapes: B clips, K rollouts of each clip, R = B or B*K rows, T frames of a chunk, C channels, D decisions, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from backbone.cost.ledger import Ledger, SiteContext
from backbone.cost.walk import CostWalk, walk_macs
from backbone.fusion.consensus import Recurrent


class Observation(NamedTuple):
    """What an agent may look at before it decides on a site.

    :param site: index of the site
    :param v: (R, T, C_in) GAP of the convolution's input at frame t
    :param v_previous: (R, T, C_in) the same at frame t-1, zero at a clip's first frame
    :param cost: what the cost of the decisions will depend on beside them; None in a walk that counts nothing
    """

    site: int
    v: Tensor
    v_previous: Tensor
    cost: SiteContext | None

    @property
    def context(self) -> SiteContext:
        """``cost``, of a walk that counts it.

        :raises ValueError: a walk that counts nothing
        """
        if self.cost is None:
            raise ValueError(
                "expected a walk that counts its cost, got one without: its observations tell nothing of it"
            )
        return self.cost


class SiteMemory(NamedTuple):
    """What one site keeps of a chunk's last frame: y (R, C, H, W), v (R, C_in)."""

    y: Tensor
    v: Tensor


@dataclass(frozen=True)
class Memory:
    """What a chunk leaves for the next one.

    :param sites: per site passed
    :param blocks: by block, what the temporal mode carries on
    :param recurrent: an LSTM's hidden and cell state
    """

    sites: tuple[SiteMemory, ...] = ()
    blocks: Mapping[str, Tensor] = field(default_factory=dict)
    recurrent: Recurrent | None = None


@dataclass(frozen=True)
class FusionState:
    """Where a walk stands. Immutable: ``advance`` returns a new one.

    :param site: index of the next site; S when the chunk is done
    :param x: (R, T, C_in, H, W) features that enter the next site's block
    :param carry: (R, T, C', H', W') a shortcut that the block before hands to the next one, or None
    :param last: is this the clip's last chunk, so that it need not leave any memory?
    :param previous: what the chunk before has left; None in a clip's first chunk
    :param memory: what this chunk leaves
    :param cost: what the chunk has cost so far; None in a walk that counts nothing
    :param logits: (R, T, classes) of a finished chunk
    """

    site: int
    x: Tensor
    carry: Tensor | None
    last: bool
    previous: Memory | None
    memory: Memory
    cost: CostWalk | None
    logits: Tensor | None = None

    @property
    def macs(self) -> Tensor:
        """(R, T) float64, spent in this chunk so far, the agent's own included.

        :raises ValueError: a walk that counts nothing
        """
        if self.cost is None:
            raise ValueError("expected a walk that counts its cost, got one without: it has no MACs")
        return self.cost.macs


@dataclass
class WalkResult:
    """Where a walk of whole clips has led.

    :param logits: (R, classes), the consensus
    :param decisions: per site, one-hot or relaxed (R, T, D, 3)
    :param ledger: that prices them
    :param agent_macs: per site, MACs per frame of the agent
    """

    logits: Tensor
    decisions: list[Tensor]
    ledger: Ledger
    agent_macs: Sequence[float] = ()

    @cached_property
    def macs(self) -> Tensor:
        """(R,) float64, counted when it is first asked for: the walk itself counts nothing."""
        return walk_macs(self.ledger, self.decisions, agent_macs=self.agent_macs).sum((1, 2))
