"""A 2D-CNN that mixes time into its channels by decisions: use, reuse or skip (AdaFuse, section 3.2).

Shapes: B clips, K rollouts of each clip, T frames, S sites, C channels, D decisions (D = C / group size), H, W.

The CNN is walked site by site. A walk covers a *chunk* of consecutive frames: all frames of a clip (site order), or
one frame after the other (frame order, as a stream arrives); both are the code below, called with other chunks. What
a chunk leaves for the next one is each site's memory of its last frame.

Decisions may come in K times as many rows as there are clips: rollouts i*K ... i*K + K - 1 belong to clip i. All that
runs before the first decision (the stem and the first site's convolution) then runs once a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbone.decision import Decision
from backbone.flops import Live
from backbone.sites import build_sites, choose_sites

HISTORIES = ("raw", "fused")


class Observation(NamedTuple):
    """What an agent may look at before it decides on a site; R = B or B*K rows.

    :param site: index of the site
    :param v: (R, T, C_in) GAP of the convolution's input at frame t
    :param v_previous: (R, T, C_in) the same at frame t-1, zero at a clip's first frame
    :param ready: (R, D) at the chunk's first frame: does the previous output stand ready, so that reuse costs nothing?
    :param has_previous: (R, T) 0 at a clip's first frame, else 1
    :param input_live: how many channels are live in the site that this one's convolution reads, if it reads one
    """

    site: int
    v: Tensor
    v_previous: Tensor
    ready: Tensor
    has_previous: Tensor
    input_live: Live | None


class Memory(NamedTuple):
    """What one site keeps of a chunk's last frame: y (R, C, H, W), v (R, C_in), ready (R, D), live channels (R,)."""

    y: Tensor
    v: Tensor
    ready: Tensor
    live: Tensor


@dataclass(frozen=True)
class FusionState:
    """Where a walk stands. Immutable: ``advance`` returns a new one.

    :param site: index of the next site; S when the chunk is done
    :param x: (R, T, C_in, H, W) features that enter the next site's convolution
    :param first: is this the clip's first chunk?
    :param last: is it the clip's last, so that it need not leave any memory?
    :param previous: per site, the memory of the chunk before; empty in the first chunk
    :param memory: per site passed, the memory that this chunk leaves
    :param live: per site passed, channels passed on, (R, T)
    :param macs: (R, T) float64, spent in this chunk so far, the agent's own included
    """

    site: int
    x: Tensor
    first: bool
    last: bool
    previous: tuple[Memory, ...]
    memory: tuple[Memory, ...]
    live: tuple[Live, ...]
    macs: Tensor


@dataclass
class WalkResult:
    """A whole clip's walk: consensus logits (R, classes), macs (R,) float64, per site one-hot decisions (R, T, D, 3)."""

    logits: Tensor
    macs: Tensor
    decisions: list[Tensor] = field(default_factory=list)


class FusionBackbone(nn.Module):
    """A CNN with sites.

    :param cnn: a CNN of the registry (``backbone.registry``), or one of your own
    :param sites: "all", "last_stage", or names of blocks
    :param history: "raw": reuse reads y_{t-1} itself (the paper); "fused": reuse reads what frame t-1 passed on, the
        form that a stream can run without ever computing a reused channel
    :param group_size: contiguous channels that share one decision
    :raises ValueError: an unknown name or a group size below 1
    """

    def __init__(
        self, cnn: nn.Module, *, sites: str | Sequence[str] = "all", history: str = "raw", group_size: int = 1
    ) -> None:
        super().__init__()
        if history not in HISTORIES:
            raise ValueError(f"expected history to be one of {', '.join(HISTORIES)}, got {history!r}")
        if group_size < 1:
            raise ValueError(f"expected a group size of at least 1 channel, got {group_size}")
        self.cnn = cnn
        self.history = history
        self.group_size = group_size
        mean, std = (torch.tensor(part).view(3, 1, 1) for part in (cnn.mean, cnn.std))
        self.register_buffer("scale", 1 / (255 * std), persistent=False)  # of uint8 pixels
        self.register_buffer("shift", mean / std, persistent=False)
        self._blocks = dict(cnn.named_blocks())  # plain references: the modules are registered in cnn
        self.site_names = choose_sites(list(self._blocks), sites)
        self._before: list[str] = []  # blocks before the first site
        self._behind: list[list[str]] = []  # per site, the blocks between it and the next
        for name in self._blocks:
            if name in self.site_names:
                self._behind.append([])
            else:
                (self._behind[-1] if self._behind else self._before).append(name)
        self.sites, self.ledger = build_sites(
            cnn, self._blocks, self.site_names, history=history, group_size=group_size
        )

    @property
    def device(self) -> torch.device:
        return self.scale.device

    def preprocess(self, frames: Tensor) -> Tensor:
        """Decoded frames (B, T, H, W, 3) uint8 -> normalised (B, T, 3, H, W) float32 on the backbone's device."""
        frames = frames.to(self.device).permute(0, 1, 4, 2, 3).contiguous()
        return frames.float().mul_(self.scale).sub_(self.shift)

    def begin(self, frames: Tensor, previous: FusionState | None = None, *, last: bool = False) -> FusionState:
        """Run the stem on a chunk of normalised frames (B, T, 3, H, W).

        :param previous: the finished state of the chunk before; None at a clip's first chunk
        :param last: no chunk follows: nothing is kept for one, which frees large features early
        """
        if previous is not None and previous.site != len(self.sites):
            raise ValueError(f"expected the previous chunk to be finished, it stands before site {previous.site}")
        if previous is not None and previous.last:
            raise ValueError("expected a chunk that another may follow, the previous one was begun as the clip's last")
        x = self.cnn.stem(frames.flatten(0, 1))
        for name in self._before:
            x = self._blocks[name](x)
        macs = torch.zeros(frames.shape[:2], dtype=torch.float64, device=frames.device)
        memory = () if previous is None else previous.memory
        return FusionState(0, x.unflatten(0, frames.shape[:2]), previous is None, last, memory, (), (), macs)

    def observe(self, state: FusionState) -> Observation:
        """What the agent may see before the next site."""
        site = self.sites[state.site]
        v = state.x.mean((-2, -1))
        has_previous = v.new_ones(v.shape[:2])
        if state.first:
            has_previous[:, 0] = 0
            v_before, ready = v.new_zeros(v[:, 0].shape), v.new_zeros(len(v), site.decisions)
        else:
            memory = state.previous[state.site]
            v_before, ready = memory.v, memory.ready
        rows = max(len(v), len(ready))
        v, v_before, has_previous = (_rows(part, rows) for part in (v, v_before, has_previous))
        v_previous = torch.cat([v_before.unsqueeze(1), v[:, :-1]], 1)
        reads = self.ledger.reads(state.site)
        input_live = None if reads is None else state.live[reads]
        return Observation(state.site, v, v_previous, _rows(ready, rows), has_previous, input_live)

    def advance(
        self, state: FusionState, decisions: Tensor, *, agent_macs: float = 0.0, observation: Observation | None = None
    ) -> FusionState:
        """Run the next site and all that lies between it and the one after.

        :param decisions: (R, T, D, 3) one-hot or relaxed; R = B, or B*K with K rollouts of each clip
        :param agent_macs: MACs per frame of the agent's own gate here, to be charged
        :param observation: of this state, if it was made already
        """
        site = self.sites[state.site]
        block = self._blocks[site.name]
        observation = observation or self.observe(state)
        x, rows = state.x, len(decisions)
        y = block.convolve(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        channelwise = site.to_channels(decisions)
        memory_y = None if state.first else state.previous[site.index].y
        fused = _fuse(y, channelwise, memory_y, self.history)
        x = block.finish(_rows(x, rows).flatten(0, 1), fused.flatten(0, 1))
        for name in self._behind[site.index]:
            x = self._blocks[name](x)

        ready = _rows(observation.ready, rows)
        has_previous = _rows(observation.has_previous, rows)
        ready_channels = site.to_channels(ready.unsqueeze(-1)).squeeze(-1)
        input_live = observation.input_live
        if input_live is not None:
            input_live = Live(*(_rows(part, rows) for part in input_live))
        live_channels = self.ledger.live(channelwise, ready_channels, has_previous)
        macs = _rows(state.macs, rows) + self.ledger.site_macs(
            site.index, channelwise, ready_channels, has_previous, input_live, agent_macs, live_channels
        )
        live = live_channels.sum(-1)
        live_before = state.previous[site.index].live if not state.first else live.new_zeros(1)
        live = Live(live, torch.cat([_rows(live_before, rows).unsqueeze(1), live[:, :-1]], 1))
        memory = ()
        if not state.last:
            ready = channelwise[:, -1, :, Decision.USE] if self.history == "raw" else live_channels[:, -1]
            kept_y = (y if self.history == "raw" else fused)[:, -1]
            # the channels of a group are alike: the first stands for the decision
            memory = (Memory(kept_y, observation.v[:, -1], ready[:, :: site.group_size], live.now[:, -1]),)
        return replace(
            state,
            site=state.site + 1,
            x=x.unflatten(0, (rows, -1)),
            memory=(*state.memory, *memory),
            live=(*state.live, live),
            macs=macs,
        )

    def logits(self, state: FusionState) -> Tensor:
        """Class scores per frame of a finished chunk: (R, T, classes)."""
        if state.site != len(self.sites):
            raise ValueError(f"expected all {len(self.sites)} sites to be walked, got a state before site {state.site}")
        return self.cnn.head(state.x.flatten(0, 1)).unflatten(0, state.x.shape[:2])

    @staticmethod
    def consensus(logits: Tensor) -> Tensor:
        """Per-frame logits (R, T, classes) -> the clip's (R, classes): TSN's average consensus."""
        return logits.mean(1)

    def forward(
        self,
        frames: Tensor,
        decide: Callable[[Observation], Tensor] | None = None,
        *,
        agent_macs: Sequence[float] | None = None,
    ) -> WalkResult:
        """Walk whole clips (B, T, 3, H, W) in site order.

        :param decide: from an observation to one-hot decisions (R, T, D, 3); None uses everything
        :param agent_macs: per site, MACs per frame of the agent's own gate
        """
        decide = decide or self.all_use
        state, taken = self.begin(frames, last=True), []
        for site in self.sites:
            observation = self.observe(state)
            taken.append(decide(observation))
            spent = 0.0 if agent_macs is None else agent_macs[site.index]
            state = self.advance(state, taken[-1], agent_macs=spent, observation=observation)
        return WalkResult(self.consensus(self.logits(state)), state.macs.sum(1), taken)

    def all_use(self, observation: Observation) -> Tensor:
        """The dense CNN: one-hot USE everywhere, (R, T, D, 3)."""
        shape = (*observation.v.shape[:2], self.sites[observation.site].decisions, len(Decision))
        decisions = observation.v.new_zeros(shape)
        decisions[..., Decision.USE] = 1
        return decisions


def _rows(tensor: Tensor, rows: int) -> Tensor:
    """Repeat each row so that there are ``rows`` of them; a single row or an equal number passes through."""
    return tensor if len(tensor) == rows else tensor.repeat_interleave(rows // len(tensor), 0)


def _fuse(y: Tensor, decisions: Tensor, memory: Tensor | None, history: str) -> Tensor:
    """Fuse y (B, T, C, H, W) with its past (AdaFuse, equation 2): use * y_t + reuse * history_{t-1}.

    :param decisions: (R, T, C, 3), R = B or B*K
    :param memory: (R or B, C, H, W) history before the first of these frames; None at a clip's start: zero
    :returns: (R, T, C, H, W)
    """
    use, reuse = (decisions[..., kind, None, None] for kind in (Decision.USE, Decision.REUSE))
    if history == "fused":
        y, fused = _rows(y, len(decisions)), []
        previous = None if memory is None else _rows(memory, len(decisions))
        for t in range(y.shape[1]):
            now = y[:, t] * use[:, t]
            previous = now if previous is None else torch.addcmul(now, previous, reuse[:, t])
            fused.append(previous)
        return torch.stack(fused, 1)
    # y is the same in all rollouts of a clip: broadcast it over them, (B, K, T, C, H, W)
    use, reuse, y = use.unflatten(0, (len(y), -1)), reuse.unflatten(0, (len(y), -1)), y.unsqueeze(1)
    fused = y * use
    fused[:, :, 1:].addcmul_(y[:, :, :-1], reuse[:, :, 1:])
    if memory is not None:
        fused[:, :, 0].addcmul_(memory.unflatten(0, (len(y), -1)), reuse[:, :, 0])
    return fused.flatten(0, 1)
