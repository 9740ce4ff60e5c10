"""Learners that take whole clips, and go through the CNN themselves in place of playing episodes."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from torch import Tensor

from agent.algorithms.fusion_algorithm import FusionAlgorithm, check_env, env_of
from agent.algorithms.schedules import WarmupCosine
from agent.policies.policy import FusionPolicy
from backbone import FusionBackbone
from envs.episodes import Episodes


class WholeClips(FusionAlgorithm, BaseAlgorithm):
    """Takes backbone and clips from the same environment as the policy gradients, in the same order, and maximises
    the same reward. A clip's pass counts as one episode.

    :param env: FusionVecEnv with order="site", rollouts_per_clip=1 and a reward that has a derivative
    :param learning_rate: of Adam, a number or a schedule
    :param policy_kwargs: of FusionPolicy (gate)
    """

    policy_class: type[FusionPolicy]

    def __init__(
        self,
        env: GymEnv,
        *,
        learning_rate: float | Schedule = WarmupCosine(1e-2),
        policy: type[FusionPolicy] = FusionPolicy,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        device: torch.device | str = "auto",
        verbose: int = 0,
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            policy_kwargs=policy_kwargs,
            seed=seed,
            device=device,
            verbose=verbose,
            support_multi_env=True,
        )
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.env is not None:
            check_env(self.env, order="site")
            rollouts = self.env.get_attr("rollouts_per_clip")[0]
            if rollouts != 1:
                raise ValueError(f"expected rollouts_per_clip 1 for {type(self).__name__}, got {rollouts}")
            if not self.reward.has_derivative(self.backbone.num_classes):
                outcome = self.reward.outcome
                raise ValueError(
                    f"expected reward log_prob, or another with a derivative, for {type(self).__name__}, got {outcome}: "
                    f"{outcome} has no derivative"
                )
        super()._setup_model()

    def _build_policy(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        ).to(self.device)

    @property
    def episodes(self) -> Episodes:
        """The environment's own, which know the clips' dense MACs and the agent's own."""
        return env_of(self).get_attr("episodes")[0]

    @property
    def backbone(self) -> FusionBackbone:
        """The environment's CNN."""
        return self.episodes.backbone

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> WholeClips:
        """Train until ``total_timesteps`` environment steps are matched: S for each clip."""
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name or type(self).__name__, progress_bar
        )
        callback.on_training_start(locals(), globals())
        iteration = 0
        while self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            frames, labels = self.take_clips()
            self.num_timesteps += len(frames) * self.layout.num_steps
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            self._update_learning_rate(self.policy.optimizer)
            self.policy.set_training_mode(True)
            self.step(self.loss(frames, labels))
            callback.update_locals(locals())
            callback.on_rollout_end()
            iteration += 1
            if iteration % log_interval == 0:
                self.dump_logs(iteration)
            if not callback.on_step():
                break
        callback.on_training_end()
        self.gradient_watch.check()
        return self

    def take_clips(self) -> tuple[Tensor, Tensor]:
        """The next batch: normalised frames (B, T, 3, H, W) and labels (B,)."""
        return env_of(self).env_method("take_clips", indices=[0])[0]

    def sample_loss(self) -> Tensor:
        return self.loss(*self.take_clips())

    def loss(self, frames: Tensor, labels: Tensor) -> Tensor:
        """Of normalised frames (B, T, 3, H, W) and labels (B,); its gradient is the estimate."""
        raise NotImplementedError
