"""The environment's BatchNorm statistics, kept those of the agent's own decisions while it learns."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from agent.algorithms.rollouts import RolloutMixin
from agent.callbacks.between_rollouts import BetweenRollouts
from agent.statistics import CLIPS, estimate
from backbone import FusionBackbone
from backbone.weights.fold import fold_again
from backbone.weights.recalibrate import norms, read_statistics, write_statistics
from envs.clips import ClipSource
from envs.clips.sampler import ClipSampler

EVERY = 128  # rollouts
BATCH = 32  # clips
MOMENTUM = 0.25  # the last four batches weigh two thirds


class FollowStatistics(BetweenRollouts):
    """An exponential mean over batches of clips that the agent plays by the way, with sampled decisions, as in training.

    Between two updates the CNN is the same for all rollouts: an episode remains one of a decision process, whoever plays
    beside it. Which clips come next depends on the rollouts played alone, so that a resumed run goes on as it would have.

    :param source: the CNN with its BatchNorms, whose statistics are kept up to date
    :param played: what the environment runs: the same folded (``fold_batchnorm``), or the same itself
    :param clips: training clips
    """

    def __init__(self, source: FusionBackbone, played: FusionBackbone, clips: ClipSource, *, seed: int = 0) -> None:
        super().__init__()
        self.source, self.played, self.clips, self.seed = source, played, clips, seed
        self.at: int | None = None  # rollouts at the last update

    @property
    def statistics(self) -> dict[str, Tensor]:
        """To be kept in a checkpoint."""
        return read_statistics(self.source)

    def take_up(self, statistics: dict[str, Tensor], rollouts: int) -> None:
        """Go on from a checkpoint.

        :param rollouts: that had been played
        """
        write_statistics(self.source, statistics)
        fold_again(self.played, self.source)
        self.at = rollouts

    def act(self) -> None:
        if not norms(self.source):
            return
        rollouts = self.rollouts
        if self.at is None:
            self._estimate(min(CLIPS, len(self.clips)), None)
        elif rollouts // EVERY > self.at // EVERY:
            self._estimate(BATCH, MOMENTUM)
        else:
            return
        self.at = rollouts
        fold_again(self.played, self.source)
        if isinstance(self.model, RolloutMixin):  # the next clips were begun with the statistics of before
            self.model._last_obs = np.stack(self.training_env.env_method("begin_again"))

    def _estimate(self, count: int, momentum: float | None) -> None:
        sampler = ClipSampler(len(self.clips), seed=self.seed)
        sampler.position = self.rollouts // EVERY * BATCH
        estimate(
            self.model,
            self.source,
            self.clips,
            sampler.take(count)[0],
            selection="sampled",
            order=self.layout.order,
            seed=self.rollouts,
            momentum=momentum,
        )
