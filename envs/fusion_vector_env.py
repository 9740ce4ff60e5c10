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
from envs.fusion_env import FusionEnv, make_episodes


class FusionVectorEnv(gym.vector.VectorEnv):
    """Many FusionEnv in lockstep, on one core or one GPU; all episodes have the same length.

    Autoreset is SAME_STEP: the last step's observation is the first of the next episode, the outcome stands in
    ``info["final_info"]``. Row i plays clip i // rollouts_per_clip of the batch.

    :param num_envs: N, rows; a multiple of rollouts_per_clip
    :param rollouts_per_clip: K, rollouts of the same clip side by side; what they share is computed once
    :param workers: processes that read clips ahead; 0 reads them when they are needed
    :param train, backbone, clips, weights, order, reward, cost_weight, agent_macs: as in FusionEnv
    """

    metadata = {**FusionEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

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
        self.num_envs = num_envs
        self.train = train
        self.layout = self.episodes.layout
        self.single_observation_space = self.layout.observation_space
        self.single_action_space = self.layout.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = None
        self._sampler = ClipSampler(len(self.episodes.clips), seed=-1, shuffle=train)  # until the first reset
        num_clips, pin_memory = num_envs // rollouts_per_clip, self.episodes.backbone.device.type == "cuda"
        self._loader = Loader(
            self.episodes.clips, self._sampler, num_clips, train=train, workers=workers, pin_memory=pin_memory
        )

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if isinstance(seed, list | tuple | np.ndarray):
            seed = None if seed[0] is None else int(seed[0])
        if "clip" in (options or {}):
            raise ValueError("expected no options['clip'], as rows play different clips: name one to FusionEnv")
        super().reset(seed=seed)
        if seed is not None or self._sampler.seed < 0:
            self._sampler.seed, self._sampler.position = int(self.np_random.integers(2**31)), 0
        return self._start(), self._info()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        observations, rewards, outcome = self.episodes.step(np.asarray(actions))
        over = np.full(self.num_envs, outcome is not None)
        final: dict[str, Any] = {}
        if outcome is not None:
            observations = self._start()
            final = self._final(outcome)
        return observations, rewards.astype(np.float64), over, np.zeros(self.num_envs, bool), {**self._info(), **final}

    def action_masks(self) -> np.ndarray:
        """(N, F * D * 3) bool."""
        return self.episodes.action_masks(self.num_envs)

    def _start(self) -> np.ndarray:
        return self.episodes.begin(next(self._loader))

    def close_extras(self, **kwargs: Any) -> None:
        self._loader.close()

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self.action_masks(), "_action_mask": np.ones(self.num_envs, bool)}

    def _final(self, outcome: Outcome) -> dict[str, Any]:
        """Gymnasium's form of what SAME_STEP autoreset leaves behind: dicts of arrays with presence masks."""
        present = np.ones(self.num_envs, bool)
        final_obs = np.empty(self.num_envs, object)
        for row in range(self.num_envs):
            final_obs[row] = np.zeros(self.single_observation_space.shape, np.float32)
        facts = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__}
        clip = {**facts, **{f"_{name}": present for name in facts}}
        final_info = {"clip": clip, "_clip": present}
        return {"final_obs": final_obs, "_final_obs": present, "final_info": final_info, "_final_info": present}
