"""A 2D-CNN that mixes time into its channels by decisions: use, reuse or skip (AdaFuse, section 3.2).

Shapes: B clips, K rollouts of each clip, T frames, S sites, C channels, D decisions (D = C / group size), H, W.

The CNN is walked site by site. A walk covers a *chunk* of consecutive frames: all frames of a clip (site order), or
one frame after the other (frame order, as a stream arrives); both are the code below, called with other chunks. What
a chunk leaves for the next one is its Memory.

Decisions may come in K times as many rows as there are clips: rollouts i*K ... i*K + K - 1 belong to clip i. All that
runs before the first decision (the stem and the first site's convolution) then runs once a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbone.common.naming import did_you_mean
from backbone.cost.ledger import Live
from backbone.decision import Decision
from backbone.fusion.consensus import Recurrent, make_consensus
from backbone.fusion.sites import all_blocks, build_sites, choose_sites
from backbone.fusion.temporal_shift import TEMPORAL, shift_one_way, shift_two_way, shifting_blocks

HISTORIES = ("raw", "fused")
TWO_WAY = ("tsm", "tsm-adafuse")


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


class SiteMemory(NamedTuple):
    """What one site keeps of a chunk's last frame: y (R, C, H, W), v (R, C_in), ready (R, D), live channels (R,)."""

    y: Tensor
    v: Tensor
    ready: Tensor
    live: Tensor


@dataclass(frozen=True)
class Memory:
    """What a chunk leaves for the next one.

    :param sites: per site passed
    :param shifted: by block, the channels that the one-way shift carries on, (R, C/8, H, W)
    :param recurrent: an LSTM's hidden and cell state
    """

    sites: tuple[SiteMemory, ...] = ()
    shifted: Mapping[str, Tensor] = field(default_factory=dict)
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
    :param live: per site passed, channels passed on, (R, T)
    :param macs: (R, T) float64, spent in this chunk so far, the agent's own included
    :param logits: (R, T, classes) of a finished chunk
    """

    site: int
    x: Tensor
    carry: Tensor | None
    last: bool
    previous: Memory | None
    memory: Memory
    live: tuple[Live, ...]
    macs: Tensor
    logits: Tensor | None = None


@dataclass
class WalkResult:
    """A whole clip's walk: consensus logits (R, classes), macs (R,) float64, per site one-hot decisions (R, T, D, 3)."""

    logits: Tensor
    macs: Tensor
    decisions: list[Tensor] = field(default_factory=list)


class FusionBackbone(nn.Module):
    """A CNN with sites.

    :param cnn: a CNN of the registry (``backbone.registry``), or one of your own
    :param sites: "all", "both", "last_stage", names of stages or blocks; see ``choose_sites``
    :param history: "raw": reuse reads y_{t-1} itself (the paper); "fused": reuse reads what frame t-1 passed on, the
        form that a stream can run without ever computing a reused channel
    :param group_size: contiguous channels that share one decision
    :param temporal: "tsn", "tsm" (two-way shift, whole clips only), "tsm-stream" (one-way) or "tsm-adafuse"; see
        ``backbone/fusion/temporal_shift.py``
    :param consensus: "mean" of the frames' logits, or "lstm" over their features
    :param lstm_hidden: units of that LSTM
    :raises ValueError: an unknown name, a group size below 1, a CNN that does not offer what is asked
    """

    def __init__(
        self,
        cnn: nn.Module,
        *,
        sites: str | Sequence[str] = "all",
        history: str = "raw",
        group_size: int = 1,
        temporal: str = "tsn",
        consensus: str = "mean",
        lstm_hidden: int = 512,
    ) -> None:
        super().__init__()
        if history not in HISTORIES:
            raise ValueError(
                f"expected history to be one of {', '.join(HISTORIES)}, got {history!r}{did_you_mean(history, HISTORIES)}"
            )
        if temporal not in TEMPORAL:
            raise ValueError(
                f"expected temporal to be one of {', '.join(TEMPORAL)}, got {temporal!r}{did_you_mean(temporal, TEMPORAL)}"
            )
        if group_size < 1:
            raise ValueError(f"expected a group size of at least 1 channel, got {group_size}")
        self.cnn = cnn
        self.options = {
            "history": history,
            "group_size": group_size,
            "temporal": temporal,
            "consensus": consensus,
            "lstm_hidden": lstm_hidden,
        }
        self.history, self.temporal = history, temporal
        mean, std = (torch.tensor(part).view(3, 1, 1) for part in (cnn.mean, cnn.std))
        self.register_buffer("scale", 1 / (255 * std), persistent=False)  # of uint8 pixels
        self.register_buffer("offset", mean / std, persistent=False)
        self.consensus = make_consensus(consensus, cnn.classifier, lstm_hidden)
        self._blocks = all_blocks(cnn)  # plain references: the modules are registered in cnn
        self._shifted = set() if temporal == "tsn" else shifting_blocks(cnn.stages(), sparse=temporal != "tsm-adafuse")
        if temporal != "tsn" and not self._shifted:
            raise ValueError(f"expected a CNN with blocks that can be shifted for temporal={temporal!r}, got none")
        unfit = sorted(name for name in self._shifted if not hasattr(self._blocks[name], "shortcut"))
        if temporal == "tsm-adafuse" and unfit:
            raise ValueError(
                f'expected blocks of a ResNet for temporal="tsm-adafuse", got others ({unfit[0]}): take "tsm"'
            )
        self.site_names = choose_sites(cnn.stages(), sites)
        self._before: list[str] = []  # blocks before the first site
        self._behind: list[list[str]] = []  # per site, the blocks between it and the next
        for name in self._blocks:
            if name in self.site_names:
                self._behind.append([])
            else:
                (self._behind[-1] if self._behind else self._before).append(name)
        self.sites, self.ledger = build_sites(
            cnn, self.site_names, history=history, group_size=group_size, head=self.consensus.layers()
        )

    @property
    def device(self) -> torch.device:
        return self.scale.device

    def preprocess(self, frames: Tensor) -> Tensor:
        """Decoded frames (B, T, H, W, 3) uint8 -> normalised (B, T, 3, H, W) float32 on the backbone's device."""
        frames = frames.to(self.device).permute(0, 1, 4, 2, 3).contiguous()
        return frames.float().mul_(self.scale).sub_(self.offset)

    @property
    def num_classes(self) -> int:
        return self.cnn.classifier.out_features

    @property
    def whole_clips_only(self) -> bool:
        """True if a frame's features depend on the frame after it, so that no stream can run it."""
        return self.temporal in TWO_WAY

    def begin(self, frames: Tensor, previous: FusionState | None = None, *, last: bool = False) -> FusionState:
        """Run the stem on a chunk of normalised frames (B, T, 3, H, W).

        :param previous: the finished state of the chunk before; None at a clip's first chunk
        :param last: no chunk follows: nothing is kept for one, which frees large features early
        :raises ValueError: the previous chunk is not finished, or chunks are not possible
        """
        if previous is not None and previous.site != len(self.sites):
            raise ValueError(f"expected the previous chunk to be finished, it stands before site {previous.site}")
        if previous is not None and previous.last:
            raise ValueError("expected a chunk that another may follow, the previous one was begun as the clip's last")
        if previous is not None and self.whole_clips_only:
            raise ValueError(
                f'expected whole clips, as temporal="{self.temporal}" looks at the next frame, got a second chunk: '
                'play in order="site", or take temporal="tsm-stream"'
            )
        x, carry = self.cnn.stem(frames.flatten(0, 1)), None
        before = None if previous is None else previous.memory
        shifted: dict[str, Tensor] = {}
        for name in self._before:
            x, carry = self._run(name, x, carry, frames.shape[1], before, shifted)
        macs = torch.zeros(frames.shape[:2], dtype=torch.float64, device=frames.device)
        x, carry = _clips(x, len(frames)), _clips(carry, len(frames))
        return FusionState(0, x, carry, last, before, Memory(shifted={} if last else shifted), (), macs)

    def observe(self, state: FusionState) -> Observation:
        """What the agent may see before the next site."""
        site = self.sites[state.site]
        v = state.x.mean((-2, -1))
        if self.temporal == "tsm-adafuse" and site.name in self._shifted:
            v = shift_two_way(v)
        has_previous = v.new_ones(v.shape[:2])
        if state.previous is None:
            has_previous[:, 0] = 0
            v_before, ready = v.new_zeros(v[:, 0].shape), v.new_zeros(len(v), site.decisions)
        else:
            memory = state.previous.sites[state.site]
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
        """Run the next site and all that lies between it and the one after; behind the last site, the classifier too.

        :param decisions: (R, T, D, 3) one-hot or relaxed; R = B, or B*K with K rollouts of each clip
        :param agent_macs: MACs per frame of the agent's own gate here, to be charged
        :param observation: of this state, if it was made already
        """
        site = self.sites[state.site]
        observation = observation or self.observe(state)
        rows, frames, shifted = len(decisions), decisions.shape[1], {}
        channelwise = site.to_channels(decisions)

        y = _clips(self._convolve(site.name, state.x.flatten(0, 1), frames, state.previous, shifted), len(state.x))
        past = None if state.previous is None else state.previous.sites[site.index]
        fused = _fuse(y, channelwise, None if past is None else past.y, self.history)
        x, carry = (None if part is None else _rows(part, rows).flatten(0, 1) for part in (state.x, state.carry))
        x, carry = self._finish(site.name, x, fused.flatten(0, 1), carry, frames)
        for name in self._behind[site.index]:
            x, carry = self._run(name, x, carry, frames, state.previous, shifted)

        macs, live, ready = self._charge(state, channelwise, observation, agent_macs)
        memory = state.memory
        if not state.last:
            kept_y = (y if self.history == "raw" else fused)[:, -1]
            # the channels of a group are alike: the first stands for the decision
            kept = SiteMemory(kept_y, observation.v[:, -1], ready[:, :: site.group_size], live.now[:, -1])
            memory = replace(memory, sites=(*memory.sites, kept), shifted={**memory.shifted, **shifted})
        logits = None
        if site.index + 1 == len(self.sites):
            recurrent = None if state.previous is None else state.previous.recurrent
            features = _clips(self.cnn.features(x), rows)
            logits, recurrent = self.consensus.scores(features, self.cnn.classifier, recurrent)
            memory = memory if state.last else replace(memory, recurrent=recurrent)
        x, carry = _clips(x, rows), _clips(carry, rows)
        return FusionState(
            state.site + 1, x, carry, state.last, state.previous, memory, (*state.live, live), macs, logits
        )

    def _charge(
        self, state: FusionState, decisions: Tensor, observation: Observation, agent_macs: float
    ) -> tuple[Tensor, Live, Tensor]:
        """Cost of a site's step: macs so far (R, T), its live channels, and (R, C) what then stands ready."""
        site, rows = self.sites[state.site], len(decisions)
        ready = site.to_channels(_rows(observation.ready, rows).unsqueeze(-1)).squeeze(-1)
        has_previous = _rows(observation.has_previous, rows)
        input_live = observation.input_live
        if input_live is not None:
            input_live = Live(*(_rows(part, rows) for part in input_live))
        live_channels = self.ledger.live(decisions, ready, has_previous)
        macs = self.ledger.site_macs(site.index, decisions, ready, has_previous, input_live, agent_macs, live_channels)
        live = live_channels.sum(-1)
        before = live.new_zeros(1) if state.previous is None else state.previous.sites[site.index].live
        live = Live(live, torch.cat([_rows(before, rows).unsqueeze(1), live[:, :-1]], 1))
        ready = decisions[:, -1, :, Decision.USE] if self.history == "raw" else live_channels[:, -1]
        return _rows(state.macs, rows) + macs, live, ready

    def _convolve(self, name: str, x: Tensor, frames: int, before: Memory | None, shifted: dict[str, Tensor]) -> Tensor:
        """A block's y from its input (N, C, H, W), under the temporal shift where it is on."""
        block = self._blocks[name]
        if name not in self._shifted:
            return block.convolve(x)
        if self.whole_clips_only:
            return block.convolve(x, _two_way(frames))

        def one_way(features: Tensor) -> Tensor:
            features = features.unflatten(0, (-1, frames))
            past = None if before is None else _rows(before.shifted[name], len(features))
            features, shifted[name] = shift_one_way(features, past)
            return features.flatten(0, 1)

        return block.convolve(x, one_way)

    def _finish(
        self, name: str, x: Tensor, y: Tensor, carry: Tensor | None, frames: int
    ) -> tuple[Tensor, Tensor | None]:
        """The rest of a block: its output, and what it hands on beside."""
        further = {"shift": _two_way(frames)} if self.temporal == "tsm-adafuse" and name in self._shifted else {}
        out = self._blocks[name].finish(x, y, *(() if carry is None else (carry,)), **further)
        return out if isinstance(out, tuple) else (out, None)

    def _run(
        self,
        name: str,
        x: Tensor,
        carry: Tensor | None,
        frames: int,
        before: Memory | None,
        shifted: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        """A block without decisions."""
        return self._finish(name, x, self._convolve(name, x, frames, before, shifted), carry, frames)

    def logits(self, state: FusionState) -> Tensor:
        """Class scores per frame of a finished chunk: (R, T, classes)."""
        if state.logits is None:
            raise ValueError(f"expected all {len(self.sites)} sites to be walked, got a state before site {state.site}")
        return state.logits

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


def _two_way(frames: int) -> Callable[[Tensor], Tensor]:
    """The two-way shift of features (N, C, H, W), N being clips * frames."""
    return lambda features: shift_two_way(features.unflatten(0, (-1, frames))).flatten(0, 1)


def _clips(features: Tensor | None, clips: int) -> Tensor | None:
    """(clips * T, ...) -> (clips, T, ...)."""
    return None if features is None else features.unflatten(0, (clips, -1))


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
