"""A 2D-CNN that mixes time into its channels by decisions: use, reuse or skip (AdaFuse, section 3.2).

Shapes: B clips, K rollouts of each clip, T frames, S sites, C channels, D decisions (D = C / group size), H, W.

The CNN is walked site by site. A walk covers a *chunk* of consecutive frames: all frames of a clip (site order), or
one frame after the other (frame order, as a stream arrives); both are the code below, called with other chunks. What
a chunk leaves for the next one is its Memory. Whole clips are priced by their decisions when the walk is over; only who
must know the cost on the way has a CostWalk walk beside.

Decisions may come in K times as many rows as there are clips: rollouts i*K ... i*K + K - 1 belong to clip i. All that
runs before the first decision (the stem and the first site's convolution) then runs once a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import cast, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.common.naming import did_you_mean
from backbone.common.rows import repeat_rows
from backbone.cost.walk import CostWalk
from backbone.decision import Decision
from backbone.fusion.consensus import make_consensus
from backbone.fusion.fuse import fuse
from backbone.fusion.sites import FusibleCNN, FusibleModule, all_blocks, build_sites, choose_sites
from backbone.fusion.state import FusionState, Memory, Observation, SiteMemory, WalkResult
from backbone.fusion.temporal import TEMPORAL_MODES, Chunk

HISTORIES = ("raw", "fused")
PRECISIONS = ("fp32", "bf16")


class FusionBackbone(nn.Module):
    """A CNN with sites.

    :param cnn: an ``nn.Module``: a CNN of the registry (``backbone.cnns``), or one of your own that is a ``FusibleCNN``
    :param sites: "all", "both", "last_stage", names of stages or blocks; see ``choose_sites``
    :param history: "raw": reuse reads y_{t-1} itself (the paper); "fused": reuse reads what frame t-1 passed on, the
        form that a stream can run without ever computing a reused channel
    :param group_size: contiguous channels that share one decision
    :param temporal: how frames mix outside the sites, by its name in ``backbone/fusion/temporal``: "tsn" (not at all),
        "tsm" (two-way shift, whole clips only), "tsm-stream" (one-way), "tsm-adafuse", or one of your own
    :param consensus: "mean" of the frames' logits, or "lstm" over their features
    :param lstm_hidden: units of that LSTM
    :raises ValueError: an unknown name, a group size below 1, a CNN that does not offer what is asked
    """

    scale: Tensor
    offset: Tensor
    precision = "fp32"  # see ``set_precision``; no part of what the CNN is, nor of its file

    def __init__(
        self,
        cnn: FusibleCNN,
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
        if group_size < 1:
            raise ValueError(f"expected a group size of at least 1 channel, got {group_size}")
        self.cnn = cast(FusibleModule, cnn)  # no intersection of types
        self.options: dict[str, str | int] = {
            "history": history,
            "group_size": group_size,
            "temporal": temporal,
            "consensus": consensus,
            "lstm_hidden": lstm_hidden,
        }
        self.history, self.temporal = history, temporal
        self.temporal_mode = TEMPORAL_MODES.find(temporal)(cnn)
        mean, std = (torch.tensor(part).view(3, 1, 1) for part in (cnn.mean, cnn.std))
        self.register_buffer("scale", 1 / (255 * std), persistent=False)  # of uint8 pixels
        self.register_buffer("offset", mean / std, persistent=False)
        self.consensus = make_consensus(consensus, cnn.classifier, lstm_hidden)
        self._blocks = all_blocks(cnn)  # plain references: the modules are registered in cnn
        self.site_names = choose_sites(cnn.stages(), sites)
        self._before: list[str] = []  # blocks before the first site
        self._behind: list[list[str]] = []  # per site, the blocks between it and the next
        for name in self._blocks:
            if name in self.site_names:
                self._behind.append([])
            else:
                (self._behind[-1] if self._behind else self._before).append(name)
        self.sites, self.ledger = build_sites(
            self.cnn, self.site_names, history=history, group_size=group_size, head=self.consensus.layers()
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on CPUs and GPUs alike

    def set_precision(self, precision: str) -> FusionBackbone:
        """In what the CNN computes between its frames and its features; itself.

        Weights stay float32, and so does all else: what agents see, decisions, class scores, MACs.

        :param precision: "fp32", or "bf16" by torch's autocast
        :raises ValueError: an unknown name
        """
        if precision not in PRECISIONS:
            raise ValueError(
                f"expected precision to be one of {', '.join(PRECISIONS)}, got {precision!r}{did_you_mean(precision, PRECISIONS)}"
            )
        self.precision = precision
        return self

    def _computing(self) -> AbstractContextManager:
        """Where the CNN's own layers run."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()

    @property
    def device(self) -> torch.device:
        return self.scale.device

    def preprocess(self, frames: Tensor) -> Tensor:
        """Decoded frames (B, T, H, W, 3) uint8 -> normalised (B, T, 3, H, W) float32 on the backbone's device."""
        frames = frames.to(self.device).permute(0, 1, 4, 2, 3)  # stays channels_last, as the CNN's weights are
        return frames.float().mul_(self.scale).sub_(self.offset)

    @property
    def num_classes(self) -> int:
        return self.cnn.classifier.out_features

    @property
    def whole_clips_only(self) -> bool:
        """True if a frame's features depend on the frame after it, so that no stream can run it."""
        return self.temporal_mode.whole_clips_only

    def begin(
        self, frames: Tensor, previous: FusionState | None = None, *, last: bool = False, counted: bool = True
    ) -> FusionState:
        """Run the stem on a chunk of normalised frames (B, T, 3, H, W).

        :param previous: the finished state of the chunk before; None at a clip's first chunk
        :param last: no chunk follows: nothing is kept for one, which frees large features early
        :param counted: count the cost site by site; a walk that is not counted stays so
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
        memory = None if previous is None else previous.memory
        chunk = Chunk(frames.shape[1], None if memory is None else memory.blocks)
        carry: Tensor | None = None
        with self._computing():
            x: Tensor = self.cnn.stem(frames.flatten(0, 1))
            for name in self._before:
                x, carry = self._run(name, x, carry, chunk)
        x, carry = _clips(x, len(frames)), _clips(carry, len(frames))
        kept = Memory(blocks={} if last else chunk.kept)
        spent = None if previous is None else previous.cost
        counted = counted if previous is None else spent is not None
        cost = CostWalk.begin(self.ledger, frames, spent) if counted else None
        return FusionState(0, x, carry, last, memory, kept, cost)

    def observe(self, state: FusionState) -> Observation:
        """What the agent may see before the next site."""
        v = self.temporal_mode.observe(self.sites[state.site].name, _averages(state.x))
        cost = None if state.cost is None else state.cost.context()
        if state.previous is None:
            return Observation(state.site, v, F.pad(v, (0, 0, 1, -1)), cost)  # nothing before the first frame
        v_before = state.previous.sites[state.site].v
        rows = max(len(v), len(v_before), 0 if cost is None else len(cost.ready))
        v, v_before = repeat_rows(v, rows), repeat_rows(v_before, rows)
        return Observation(state.site, v, torch.cat([v_before.unsqueeze(1), v[:, :-1]], 1), cost)

    def advance(
        self, state: FusionState, decisions: Tensor, *, agent_macs: float = 0.0, observation: Observation | None = None
    ) -> FusionState:
        """Run the next site and all that lies between it and the one after; behind the last site, the classifier too.

        :param decisions: (R, T, D, 3) one-hot or relaxed; R = B, or B*K with K rollouts of each clip
        :param agent_macs: MACs per frame of the agent here, to be charged
        :param observation: of this state, if it was made already
        """
        site, rows = self.sites[state.site], len(decisions)
        counts = state.cost is not None or not state.last  # else nothing of the observation is asked for
        observation = observation or (self.observe(state) if counts else None)
        past = None if state.previous is None else state.previous.sites[site.index].y
        chunk = Chunk(decisions.shape[1], None if state.previous is None else state.previous.blocks)

        with self._computing():
            y = self.temporal_mode.convolve(site.name, self._blocks[site.name], state.x.flatten(0, 1), chunk)
            y = _clips(y, len(state.x))
            fused = fuse(y, site.to_channels(decisions).to(y.dtype), past, self.history)
            x = repeat_rows(state.x, rows).flatten(0, 1)
            carry = None if state.carry is None else repeat_rows(state.carry, rows).flatten(0, 1)
            x, carry = self._finish(site.name, x, fused.flatten(0, 1), carry, chunk)
            for name in self._behind[site.index]:
                x, carry = self._run(name, x, carry, chunk)
            features = self.cnn.features(x) if site.index + 1 == len(self.sites) else None

        cost, memory, logits = state.cost, state.memory, None
        if cost is not None:
            assert observation is not None
            cost = cost.advance(decisions, agent_macs=agent_macs, context=observation.cost)
        if not state.last:
            assert observation is not None
            kept = SiteMemory((y if self.history == "raw" else fused)[:, -1], observation.v[:, -1])
            memory = replace(memory, sites=(*memory.sites, kept), blocks={**memory.blocks, **chunk.kept})
        if features is not None:
            recurrent = None if state.previous is None else state.previous.recurrent
            features = _clips(_at_least_single(features), rows)
            logits, recurrent = self.consensus.scores(features, self.cnn.classifier, recurrent)
            memory = memory if state.last else replace(memory, recurrent=recurrent)
        x, carry = _clips(x, rows), _clips(carry, rows)
        return FusionState(site.index + 1, x, carry, state.last, state.previous, memory, cost, logits)

    def _run(self, name: str, x: Tensor, carry: Tensor | None, chunk: Chunk) -> tuple[Tensor, Tensor | None]:
        """A block without decisions."""
        return self._finish(name, x, self.temporal_mode.convolve(name, self._blocks[name], x, chunk), carry, chunk)

    def _finish(
        self, name: str, x: Tensor, y: Tensor, carry: Tensor | None, chunk: Chunk
    ) -> tuple[Tensor, Tensor | None]:
        """The rest of a block: its output, and what it hands on beside."""
        given = (x, y) if carry is None else (x, y, carry)
        out = self.temporal_mode.finish(name, self._blocks[name], given, chunk)
        return out if isinstance(out, tuple) else (out, None)

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
        """Walk whole clips (B, T, 3, H, W) in site order. Nothing is counted on the way.

        :param decide: from an observation to one-hot decisions (R, T, D, 3); None uses everything
        :param agent_macs: per site, MACs per frame of the agent
        """
        decide = decide or self.all_use
        state, taken = self.begin(frames, last=True, counted=False), []
        for _ in self.sites:
            observation = self.observe(state)
            taken.append(decide(observation))
            state = self.advance(state, taken[-1], observation=observation)
        return WalkResult(self.consensus(self.logits(state)), taken, self.ledger, agent_macs or ())

    def all_use(self, observation: Observation) -> Tensor:
        """The dense CNN: one-hot USE everywhere, (R, T, D, 3)."""
        shape = (*observation.v.shape[:2], self.sites[observation.site].decisions, len(Decision))
        decisions = observation.v.new_zeros(shape)
        decisions[..., Decision.USE] = 1
        return decisions


def _averages(x: Tensor) -> Tensor:
    """GAP, (..., H, W) -> (...), in float32 at least."""
    return x.mean((-2, -1), dtype=torch.float32 if x.dtype == torch.bfloat16 else None)


def _at_least_single(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.bfloat16 else x


@overload
def _clips(features: Tensor, clips: int) -> Tensor: ...
@overload
def _clips(features: None, clips: int) -> None: ...
def _clips(features: Tensor | None, clips: int) -> Tensor | None:
    """(clips * T, ...) -> (clips, T, ...)."""
    return None if features is None else features.unflatten(0, (clips, -1))
