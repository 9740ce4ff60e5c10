"""B clips in one call of the backbone: the native batched environment of Gymnasium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from backbone import FusionBackbone
from envs.clips import ClipSource
from envs.clips.loader import Loader
from envs.clips.sampler import ClipSampler
from envs.episodes import Outcome
from envs.fusion_env import make_episodes


class FusionVectorEnv(gym.vector.VectorEnv):
    """N FusionEnv in lockstep, one call of the CNN for all of them; row i plays clip i // rollouts_per_clip.

    All episodes have the same length, so that they begin and end together. What happens at their end is
    ``autoreset_mode``, a ``gymnasium.vector.AutoresetMode`` or its value:

    - SAME_STEP: the last step's observation is the first of the next episodes; the last step's own facts stand in
      ``info["final_obs"]`` and ``info["final_info"]``.
    - NEXT_STEP: the last step shows its own observation (zeros) and ``info["clip"]``; the step after it ignores its
      actions and returns the first observation of the next episodes with rewards of 0.
    - DISABLED: the same last step; then ``reset()`` begins the next episodes. Gymnasium's
      ``options={"reset_mask": mask}`` must name every row, as rows in lockstep cannot begin at different times.

    :param num_envs: N, rows; a multiple of rollouts_per_clip
    :param rollouts_per_clip: K, rollouts of the same clip side by side; what they share is computed once
    :param workers: processes that read clips ahead; 0 reads them when they are needed
    :param render_mode: only None; FusionEnv renders
    :param train, backbone, clips, weights, order, reward, cost_weight, agent_macs: as in FusionEnv
    :raises ValueError: arguments that do not fit each other, or an unknown name
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (an instance has its own)

    def __init__(
        self,
        num_envs: int = 1,
        backbone: FusionBackbone | None = None,
        clips: ClipSource | None = None,
        *,
        rollouts_per_clip: int = 1,
        weights: str | Path | None = None,
        order: str = "frame",
        reward: str = "correctness",
        cost_weight: float = 1.0,
        agent_macs: list[float] | None = None,
        train: bool = True,
        workers: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1 or num_envs % max(rollouts_per_clip, 1):
            raise ValueError(
                f"expected num_envs to be a positive multiple of rollouts_per_clip = {rollouts_per_clip}, got {num_envs}"
            )
        if render_mode is not None:
            raise ValueError(
                f"expected render_mode None for the vector environment, got {render_mode!r}: render FusionEnv"
            )
        self.episodes = make_episodes(
            backbone,
            clips,
            weights,
            order=order,
            reward=reward,
            cost_weight=cost_weight,
            agent_macs=agent_macs,
            rollouts_per_clip=rollouts_per_clip,
        )
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs = num_envs
        self.train = train
        self.layout = self.episodes.layout
        self.single_observation_space = self.layout.observation_space
        self.single_action_space = self.layout.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = None
        self._over = False  # have the episodes ended, and does NEXT_STEP owe the next ones?
        self._sampler = ClipSampler(len(self.episodes.clips), seed=-1, shuffle=train)  # until the first reset
        num_clips, pin_memory = num_envs // rollouts_per_clip, self.episodes.backbone.device.type == "cuda"
        self._loader = Loader(
            self.episodes.clips, self._sampler, num_clips, train=train, workers=workers, pin_memory=pin_memory
        )

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes in all rows: observations (N, O), and info with ``action_mask``.

        :param seed: of the order of clips; of a list, as Gymnasium gives one for each row, the first
        :param options: nothing, or a "reset_mask" of all rows
        :raises ValueError: a mask that leaves rows out, or options["clip"]
        """
        if isinstance(seed, list | tuple | np.ndarray):
            seed = None if seed[0] is None else int(seed[0])
        options = options or {}
        if "clip" in options:
            raise ValueError("expected no options['clip'], as rows play different clips: name one to FusionEnv")
        if "reset_mask" in options:
            self._check_mask(options["reset_mask"])
        super().reset(seed=seed)
        if seed is not None or self._sampler.seed < 0:
            self._sampler.seed, self._sampler.position = int(self.np_random.integers(2**31)), 0
        return self._start(), self._info()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Actions (N, F * D) -> observations (N, O), rewards (N,), terminated (N,), truncated (N,), info."""
        never = np.zeros(self.num_envs, bool)
        if self._over and self.autoreset_mode is AutoresetMode.NEXT_STEP:
            return self._start(), np.zeros(self.num_envs), never.copy(), never, self._info()
        observations, rewards, outcome = self.episodes.step(np.asarray(actions))
        self._over = outcome is not None
        rewards, over = rewards.astype(np.float64), np.full(self.num_envs, self._over)
        if outcome is None:
            return observations, rewards, over, never, self._info()
        present = np.ones(self.num_envs, bool)
        clip = {"clip": self._facts(outcome), "_clip": present}
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            return observations, rewards, over, never, {**self._info(), **clip}
        final_obs = np.empty(self.num_envs, object)
        final_obs[:] = list(observations)
        final = {"final_obs": final_obs, "_final_obs": present, "final_info": clip, "_final_info": present}
        return self._start(), rewards, over, never, {**self._info(), **final}

    def action_masks(self) -> np.ndarray:
        """(N, F * D * 3) bool."""
        return self.episodes.action_masks(self.num_envs)

    def close_extras(self, **kwargs: Any) -> None:
        self._loader.close()

    def _start(self) -> np.ndarray:
        self._over = False
        return self.episodes.begin(next(self._loader))

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self.action_masks(), "_action_mask": np.ones(self.num_envs, bool)}

    def _facts(self, outcome: Outcome) -> dict[str, np.ndarray]:
        """The outcome in Gymnasium's form: each array beside the mask of the rows that have it."""
        facts = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__}
        return {**facts, **{f"_{name}": np.ones(self.num_envs, bool) for name in facts}}

    def _check_mask(self, mask: np.ndarray) -> None:
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            came = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
            raise ValueError(f"expected options['reset_mask'] to be bool of shape ({self.num_envs},), got {came}")
        if not mask.all():
            raise ValueError(
                f"expected options['reset_mask'] to name all {self.num_envs} rows, as they play in lockstep and end "
                f"together, got {int(mask.sum())} of them: reset all at once"
            )
