"""A backbone and its agent as a stream: frame by frame, and what is not asked for is not computed.

``Stream`` gives what ``FusionBackbone.begin`` and ``advance`` give in frame order, the reference: the same decisions, logits
but for rounding, and the same charged MACs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from backbone.cost.walk import CostWalk
from backbone.decision import Decision, one_hot
from backbone.fusion.backbone import FusionBackbone
from backbone.fusion.consensus import MeanConsensus, Recurrent
from backbone.fusion.state import Observation
from backbone.sparse.engines import Engine, check_engine, make_engine
from backbone.sparse.lower import lower
from backbone.sparse.program import Program

Policy = Callable[[Observation], Tensor]
"""From an observation with v and v_previous of (1, 1, C_in) to a site's integer decisions (D,).

One with an attribute ``looks = False`` is not given any features: both are empty."""

NOTHING = torch.empty(1, 1, 0)
COUNT_EVERY = 64  # frames whose MACs are counted at once


class Stream:
    """Scores frames as they come.

    :param backbone: on the CPU; it is not changed, and later changes of its weights are not seen
    :param policy: who decides; None uses everything
    :param agent_macs: per site, MACs per frame of the agent, to be charged
    :param engine: "kernels" or "torch"; None: the kernels, or torch where they cannot run, which a line then says
    :raises ValueError: a backbone that no stream can run, or an unknown engine
    """

    def __init__(
        self,
        backbone: FusionBackbone,
        policy: Policy | None = None,
        *,
        agent_macs: Sequence[float] | None = None,
        engine: str | None = None,
    ) -> None:
        if backbone.device.type != "cpu":
            raise ValueError(f"expected a backbone on the CPU, got one on {backbone.device}: move it with .cpu()")
        self.backbone, self.policy = backbone, policy
        self.agent_macs = list(agent_macs or [0.0] * len(backbone.sites))
        self.program: Program = lower(backbone)
        self._decides = self.program.decides()
        self._looks = policy is not None and getattr(policy, "looks", True)
        self._all_use = [np.full(site.decisions, int(Decision.USE)) for site in backbone.sites]
        self.engine = check_engine(engine)
        self._engine: Engine | None = None
        self._size: tuple[int, int] | None = None
        try:
            backbone.consensus.causal(torch.zeros(1, 1, backbone.num_classes))
        except NotImplementedError:
            raise ValueError(
                f"expected a consensus that knows its prediction after each frame, got "
                f"{type(backbone.consensus).__name__}, which needs the whole clip: take mean or lstm"
            ) from None
        self.reset()

    def reset(self) -> None:
        """A new video: nothing is left of the frames before, nor of their cost."""
        if self._engine is not None:
            self._engine.reset()
        self.frames = 0  # since the start
        self.logits: Tensor | None = None  # (classes,) of the last frame
        self.decisions: list[np.ndarray] = []  # per site (D,), of the last frame
        self._v = [torch.zeros(1, 1, site.in_channels) for site in self.backbone.sites]
        self._recurrent: Recurrent | None = None
        self._scores: list[Tensor] = []  # of a consensus of one's own: all frames' logits
        self._mean: Tensor | None = None
        self._uncounted: list[list[np.ndarray]] = []
        self._cost: CostWalk | None = None
        self._macs = 0.0

    @torch.no_grad()
    def step(self, frame: Tensor) -> Tensor:
        """The next frame -> what is known of the video's classes by now, scores (classes,).

        :param frame: (H, W, 3) uint8, or normalised (3, H, W) float
        :raises ValueError: a frame of another form, or of another size than those before
        """
        engine = self._prepared(frame)
        if self._looks:
            engine.start()
            self.decisions = []
            for op in self._decides:
                self.decisions.append(self._decide(op.site, op.source, engine))
                engine.advance(op.site, self.decisions[-1])
        else:
            self.decisions = [self._decide(op.site, op.source, engine) for op in self._decides]
            engine.run(self.decisions)
        scores = self._score(engine.features())
        engine.end()
        self.frames += 1
        self._uncounted.append(self.decisions)
        if len(self._uncounted) >= COUNT_EVERY:
            self._count()
        return scores

    @property
    def macs(self) -> float:
        """MACs charged for all frames since the start, the agent's own included."""
        self._count()
        return self._macs

    @property
    def runs_on(self) -> str:
        """Name of the engine that runs; before the first frame, of what was asked for."""
        return self._engine.name if self._engine is not None else self.engine or "not chosen yet"

    def _prepared(self, frame: Tensor) -> Engine:
        if frame.dtype == torch.uint8 and frame.ndim == 3 and frame.shape[-1] == 3:
            frame = self.backbone.preprocess(frame[None, None])[0, 0]
        if frame.ndim != 3 or frame.shape[0] != 3 or not frame.is_floating_point():
            raise ValueError(
                f"expected a frame (H, W, 3) of uint8 or a normalised one (3, H, W), got {frame.dtype} {tuple(frame.shape)}"
            )
        size = (frame.shape[1], frame.shape[2])
        if self._engine is None or (self.frames == 0 and size != self._size):
            self._engine, self._size = self._make_engine(size), size
        if size != self._size:
            raise ValueError(
                f"expected frames of {self._size} pixels as before, got {size} in mid-stream: resize it, or reset() first"
            )
        self._engine.begin(frame)
        return self._engine

    def _make_engine(self, size: tuple[int, int]) -> Engine:
        return make_engine(self.engine, self.program, self.backbone.sites, size, raw=self.backbone.history == "raw")

    def _decide(self, index: int, source: str, engine: Engine) -> np.ndarray:
        """Integer decisions (D,) of a site."""
        site = self.backbone.sites[index]
        if self.policy is None:
            return self._all_use[index]
        v = before = NOTHING
        if self._looks:
            v = engine.average(source).reshape(1, 1, -1)
            before, self._v[index] = self._v[index], v
        decisions = self.policy(Observation(index, v, before, None)).numpy()
        if decisions.shape != (site.decisions,):
            raise ValueError(
                f"expected a policy to give {site.decisions} decisions at site {site.name}, got {decisions.shape}"
            )
        return decisions

    def _score(self, features: Tensor) -> Tensor:
        consensus, classifier = self.backbone.consensus, self.backbone.cnn.classifier
        logits, self._recurrent = consensus.scores(features.view(1, 1, -1), classifier, self._recurrent)
        self.logits = logits[0, 0]
        if isinstance(consensus, MeanConsensus):  # in memory that does not grow
            mean = self.logits if self._mean is None else self._mean + (self.logits - self._mean) / (self.frames + 1)
            self._mean = mean
            return mean
        self._scores = [*self._scores, self.logits] if self._recurrent is None else [self.logits]
        return consensus.causal(torch.stack(self._scores).unsqueeze(0))[0, -1]

    def _count(self) -> None:
        if not self._uncounted:
            return
        frames = torch.empty(1, len(self._uncounted))
        walk = CostWalk.begin(self.backbone.ledger, frames, self._cost)
        for site, macs in enumerate(self.agent_macs):
            decisions = one_hot(torch.from_numpy(np.stack([frame[site] for frame in self._uncounted])))
            walk = walk.advance(decisions.unsqueeze(0), agent_macs=macs)
        self._cost, self._uncounted = walk, []
        self._macs += float(walk.macs.sum())
