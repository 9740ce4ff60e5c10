"""The cost of a walk: site by site as it goes on, or of whole clips at once when it is over.

Both price the same decisions by the same ledger. The first is for who must know the cost on the way (an environment
that pays for each step); the second runs in a few kernels, for who may wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from backbone.common.rows import repeat_rows
from backbone.cost.ledger import Ledger, Live, SiteContext
from backbone.decision import Decision


class Carried(NamedTuple):
    """What a site's last frame leaves for the next chunk: (R, D) which outputs stand ready, (R,) how many are live."""

    ready: Tensor
    live: Tensor


@dataclass(frozen=True)
class CostWalk:
    """What a walk has cost in a chunk of frames so far. Immutable: ``advance`` returns a new one.

    Probabilities in place of one-hot decisions give the expected cost of decisions that are independent of each other.

    :param macs: (R, T) float64, the agent's own included
    :param has_previous: (R, T) 0 at a clip's first frame, else 1
    :param previous: per site, what the chunk before has left; None in a clip's first chunk
    :param carried: per site passed, what this chunk leaves
    :param live: per site passed, channels passed on
    """

    ledger: Ledger
    macs: Tensor
    has_previous: Tensor
    previous: tuple[Carried, ...] | None
    carried: tuple[Carried, ...] = ()
    live: tuple[Live, ...] = ()

    @classmethod
    def begin(cls, ledger: Ledger, frames: Tensor, previous: CostWalk | None = None) -> CostWalk:
        """Before the first site of a chunk.

        :param frames: (B, T, ...), for how many there are, and for the device and dtype of facts about them
        :param previous: of the chunk before, finished; None at a clip's start
        """
        has_previous = frames.new_ones(frames.shape[:2])
        if previous is None:
            has_previous[:, 0] = 0
        macs = torch.zeros_like(has_previous, dtype=torch.float64)
        return cls(ledger, macs, has_previous, None if previous is None else previous.carried)

    @property
    def site(self) -> int:
        """Index of the next site."""
        return len(self.live)

    def context(self) -> SiteContext:
        """What the next site's cost depends on beside its decisions."""
        if self.previous is None:
            ready = self.has_previous.new_zeros(len(self.macs), self.ledger.decisions(self.site))
        else:
            ready = self.previous[self.site].ready
        reads = self.ledger.reads(self.site)
        context = SiteContext(ready, self.has_previous, None if reads is None else self.live[reads])
        return context.repeated(max(len(self.macs), len(ready)))

    def advance(self, decisions: Tensor, *, agent_macs: float = 0.0, context: SiteContext | None = None) -> CostWalk:
        """Pay for the next site's step.

        :param decisions: (R, T, D, 3) one-hot decisions or probabilities; R = B, or B*K with K rollouts of each clip
        :param agent_macs: MACs per frame of the agent here
        :param context: of this site, if it was made already
        """
        site, rows, ledger = self.site, len(decisions), self.ledger
        context = (context or self.context()).repeated(rows)
        alive = ledger.live(decisions, context)
        now = ledger.count(site, alive)
        macs = ledger.site_macs(site, decisions, context, now) + agent_macs
        before = now.new_zeros(rows) if self.previous is None else repeat_rows(self.previous[site].live, rows)
        live = Live(now, torch.cat([before.unsqueeze(1), now[:, :-1]], 1))
        ready = (decisions[..., Decision.USE] if ledger.history == "raw" else alive)[:, -1]
        return CostWalk(
            ledger,
            repeat_rows(self.macs, rows) + macs,
            context.has_previous,
            self.previous,
            (*self.carried, Carried(ready, now[:, -1])),
            (*self.live, live),
        )


def walk_macs(
    ledger: Ledger,
    decisions: Sequence[Tensor],
    *,
    inputs: Sequence[Tensor] | None = None,
    before: Sequence[Tensor] | None = None,
    agent_macs: Sequence[float] = (),
) -> Tensor:
    """MACs of whole clips from their decisions alone, at once: float64 (R, T, S), by frame and by site.

    A frame pays for what its decisions set off: reuse of an output that the frame before did not compute is charged
    where it is reused. It is what ``CostWalk`` adds up, exactly for one-hot decisions, and multilinear as well.

    Probabilities are of independent decisions. Where an expectation is meant given what was decided earlier, say what that
    was: ``inputs`` in site order, where a step is a site; ``before`` as well in frame order, where it is one at a frame.

    :param decisions: of every site, (R, T, D, 3) one-hot decisions or probabilities; R = B or B*K
    :param inputs: what holds at the site that a convolution reads, while ``decisions`` hold at the one that it writes
    :param before: what holds at the frame before
    :param agent_macs: per site, MACs per frame of the agent; none for an agent that costs nothing
    :raises ValueError: decisions of other sites or groups than the ledger's
    """
    use, reuse = _use_and_reuse(decisions)
    weights = ledger.weights(use.device)
    if use.shape[-1] != len(weights.live):
        raise ValueError(f"expected {len(weights.live)} decisions a frame, of all sites, got {use.shape[-1]}")
    earlier = (use, reuse) if before is None else _use_and_reuse(before)
    late = None  # reused, and computed only now: y_{t-1}
    if ledger.history == "raw":
        late = reuse * (1 - _before(earlier[0]))
        live, computed = use + reuse, use + late
    elif before is None:
        live, computed = _passed_on(use, reuse), use
    else:
        live, computed = torch.addcmul(use, reuse, _before(_passed_on(*earlier))), use
    macs = weights.fixed + live @ weights.live + computed @ weights.computed
    if len(weights.read):
        if inputs is not None:
            read = _use_and_reuse(inputs)
            live = read[0] + read[1] if ledger.history == "raw" else _passed_on(*read)
        input_live = (live @ weights.channels)[..., weights.read]
        between = (use @ weights.pairs) * input_live
        if late is not None:
            between = between + (late @ weights.pairs) * _before(input_live)
        macs = macs + between @ weights.written
    return macs + _on(use.device, tuple(agent_macs)) if len(agent_macs) else macs


@lru_cache(maxsize=16)
def _on(device: torch.device, numbers: tuple[float, ...]) -> Tensor:
    """Numbers as float64 on a device: a copy to it, made once, as one that is made inside a walk would halt it."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=torch.float64, device=device)


def _use_and_reuse(decisions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Of all sites side by side, (R, T, N) float64 each; a clip's first frame has nothing to reuse."""
    rows = max(map(len, decisions))
    repeated = [repeat_rows(chosen, rows) for chosen in decisions]
    use, reuse = (
        torch.cat([chosen[..., kind] for chosen in repeated], -1).double() for kind in (Decision.USE, Decision.REUSE)
    )
    return use, F.pad(reuse[:, 1:], (0, 0, 1, 0))


def _before(facts: Tensor) -> Tensor:
    """(R, T, ...) at frame t -> at frame t-1, zero before the first."""
    return F.pad(facts, (0, 0, 1, -1))


def _passed_on(use: Tensor, reuse: Tensor) -> Tensor:
    """What is live where reuse passes on what the frame before did, (R, T, N)."""
    live = [use[:, 0]]
    for t in range(1, use.shape[1]):
        live.append(torch.addcmul(use[:, t], reuse[:, t], live[-1]))
    return torch.stack(live, 1)
