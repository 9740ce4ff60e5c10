"""The differentiable baseline of the paper, behind the interface of stable-baselines3."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from torch import Tensor

from agent.distribution import log_softmax
from agent.fusion_algorithm import FusionAlgorithm, check_env
from agent.policy import FusionPolicy
from agent.relaxations import Relaxation, straight_through_gumbel
from agent.schedules import Linear, WarmupCosine
from backbone import FusionBackbone, Observation
from envs.reward import log_probability


class GumbelSoftmax(FusionAlgorithm, BaseAlgorithm):
    """Straight-through Gumbel-softmax through the CNN (Jang et al., 2017; AdaFuse, section 3.3).

    Takes backbone and clips from the same environment as the policy gradients, in the same order, and maximises the
    same reward (with the log-probability of the true class as outcome) by its derivative in place of rollouts. A
    clip's pass counts as one episode.

    :param env: FusionVecEnv with order="site"
    :param learning_rate: of Adam, a number or a schedule
    :param temperature: of the softmax, a number or a schedule
    :param relaxation: (logits, temperature) -> one-hot decisions with a gradient
    :param policy_kwargs: of FusionPolicy (gate)
    """

    def __init__(
        self,
        env: GymEnv,
        *,
        learning_rate: float | Schedule = WarmupCosine(1e-2),
        temperature: float | Schedule = Linear(1.0, 0.5),
        relaxation: Relaxation = straight_through_gumbel,
        policy: type[FusionPolicy] = FusionPolicy,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        device: torch.device | str = "auto",
        verbose: int = 0,
        _init_setup_model: bool = True,
    ) -> None:
        self.temperature, self.relaxation = temperature, relaxation
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
            self.rollouts_per_clip = self.env.get_attr("rollouts_per_clip")[0]
            if self.rollouts_per_clip != 1:
                raise ValueError(f"expected rollouts_per_clip 1 for a relaxation, got {self.rollouts_per_clip}")
        super()._setup_model()

    def _build_policy(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        ).to(self.device)

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "GumbelSoftmax",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> GumbelSoftmax:
        """Train until ``total_timesteps`` environment steps are matched: S for each clip."""
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(locals(), globals())
        iteration = 0
        while self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            frames, labels = self.env.env_method("take_clips", indices=[0])[0]
            self.num_timesteps += len(frames) * self.layout.num_steps
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            self.train(frames, labels)
            callback.update_locals(locals())
            callback.on_rollout_end()
            iteration += 1
            if iteration % log_interval == 0:
                self.dump_logs(iteration)
            if not callback.on_step():
                break
        callback.on_training_end()
        return self

    def train(self, frames: Tensor, labels: Tensor) -> None:
        """One gradient step on normalised frames (B, T, 3, H, W) and labels (B,)."""
        episodes = self.env.get_attr("episodes")[0]
        backbone: FusionBackbone = episodes.backbone
        self.policy.set_training_mode(True)
        self.policy.gates.train()  # BatchNorms read the batch's statistics, as in AdaFuse
        self._update_learning_rate(self.policy.optimizer)
        temperature = self.temperature
        if callable(temperature):
            temperature = temperature(self._current_progress_remaining)
        entropies = []

        def decide(observation: Observation) -> Tensor:
            logits = self.policy.gates(observation.site, observation.v, observation.v_previous)
            log_probs = log_softmax(logits.detach())
            entropies.append(-(log_probs.exp() * log_probs).sum(-1).flatten())
            return self.relaxation(logits, temperature)

        result = backbone(frames, decide, agent_macs=episodes.agent_macs)
        self.policy.gates.eval()
        outcome = log_probability(result.logits, labels)
        macs_ratio = result.macs / episodes.clip_dense_macs
        reward = outcome - self.cost_weight * macs_ratio.to(outcome.dtype)
        loss = -reward.mean()
        self.policy.optimizer.zero_grad()
        loss.backward()
        self.policy.optimizer.step()
        self.logger.record("train/temperature", float(temperature))
        self.logger.record("train/loss", loss.item())
        self.log_rollouts(
            reward=reward.detach().cpu().numpy(),
            correct=(result.logits.argmax(-1) == labels).float().cpu().numpy(),
            macs_ratio=macs_ratio.detach().cpu().numpy(),
            entropy=float(torch.cat(entropies).mean()),
            shares=[chosen.detach().mean((0, 1, 2)).cpu().numpy() for chosen in result.decisions],
        )
