"""Rollouts of whole episodes, and what REINFORCE and PPO make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agent.algorithms.fusion_algorithm import FusionAlgorithm, check_env, env_of
from agent.estimators.baselines import returns_after
from agent.estimators.cost import step_cost
from agent.policies.policy import FusionPolicy
from backbone import one_hot
from envs import FusionVecEnv
from envs.spaces import Rows, StepLayout


class FusionRolloutBuffer(RolloutBuffer):
    """A RolloutBuffer with log-probabilities and advantages per decision, (S, N, F * D).

    stable-baselines3's own ``PPO.train`` runs on it unmodified: everything in its loss broadcasts. Advantages are
    put in by the algorithm once the rollouts are whole.

    :param layout: of the observations
    :param columns: in place of F * D: 1 keeps the log-probability of all decisions of a step together
    """

    observations: Tensor  # type: ignore[assignment]  # arrays in the class above
    actions: Tensor  # type: ignore[assignment]
    log_probs: Tensor  # type: ignore[assignment]
    advantages: Tensor  # type: ignore[assignment]

    def __init__(self, *args: Any, layout: StepLayout, columns: int | None = None, **kwargs: Any) -> None:
        self.layout, self.columns = layout, columns
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Empty. What is large stands on the device; what a number a row says stands on the host, as episodes' ends do."""
        whole = (self.buffer_size, self.n_envs)
        columns = self.columns or self.action_dim
        self.observations = self._zeros(*whole, *self.obs_shape)
        self.actions = self._zeros(*whole, self.action_dim, dtype=torch.int64)
        self.log_probs, self.advantages = self._zeros(*whole, columns), self._zeros(*whole, columns)
        self.step_values = self._zeros(*whole)
        self.rewards, self.returns, self.values, self.episode_starts = (np.zeros(whole, np.float32) for _ in range(4))
        self.generator_ready, self.pos, self.full = False, 0, False

    def _zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def put(self, observations: Tensor, actions: Tensor, values: Tensor, log_probs: Tensor) -> None:
        """The next step; its rewards come with ``end``."""
        self.observations[self.pos], self.actions[self.pos] = observations, actions
        self.step_values[self.pos], self.log_probs[self.pos] = values.flatten(), log_probs
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def end(self, rewards: np.ndarray) -> None:
        """The rewards of all steps, (S, N)."""
        self.rewards[:], self.episode_starts[0] = rewards, 1
        self.values[:] = self.step_values.cpu().numpy()

    def add(
        self,
        obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        episode_start: np.ndarray,
        value: Tensor,
        log_prob: Tensor,
    ) -> None:
        """The next step as stable-baselines3 tells it."""
        self.rewards[self.pos], self.episode_starts[self.pos] = reward, episode_start
        self.values[self.pos] = value.flatten().cpu().numpy()
        self.put(self.to_torch(obs), self.to_torch(action), value, log_prob)

    def compute_returns_and_advantage(self, last_values: Tensor, dones: np.ndarray) -> None:
        """Left to the algorithm: episodes are whole, nothing is bootstrapped."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> RolloutBufferSamples:
        rows = self._on_device(batch_inds)
        sites = (
            batch_inds % self.buffer_size % len(self.layout.sites)
        )  # rows are those of one row of the batch after the other
        here = {site.index: self._on_device(np.flatnonzero(sites == site.index)) for site in self.layout.sites}
        observations: Any = self.layout.unpack(self.observations[rows], here)
        return RolloutBufferSamples(
            observations,
            self.actions[rows],
            self._on_device(self.values[batch_inds].flatten()),
            self.log_probs[rows],
            self.advantages[rows],
            self._on_device(self.returns[batch_inds].flatten()),
        )

    def _on_device(self, array: np.ndarray) -> Tensor:
        """A small array of the host's, without halting the device."""
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)


class RolloutMixin(FusionAlgorithm, OnPolicyAlgorithm):
    """Collects exactly one episode of every row, then asks ``_credit`` for advantages and logs the rollouts.

    On a FusionVecEnv itself nothing leaves the device until the rollouts are whole, and nothing is counted before. Where a
    wrapper stands between, the loop is stable-baselines3's own, through NumPy. Both fill the same buffer with the same;
    whoever plays without training calls ``envs/rollout.py``.
    """

    policy: FusionPolicy
    rollout_buffer: FusionRolloutBuffer
    cost_gradient: str  # "exact": each step's own expected cost is differentiated, and is in no return

    def _setup_model(self) -> None:
        if self.env is not None:
            check_env(self.env)
            layout: StepLayout = self.env.get_attr("layout")[0]
            self.rollouts_per_clip = self.env.get_attr("rollouts_per_clip")[0]
            self.n_steps = layout.num_steps
            self.rollout_buffer_kwargs = {**self.rollout_buffer_kwargs, "layout": layout}
        super()._setup_model()

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        if isinstance(env, FusionVecEnv):
            whole = self._play(env, callback)
        else:
            whole = super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        if not whole:
            return False
        buffer = self.rollout_buffer
        rows, actions = self.all_rows()
        with torch.no_grad():
            distribution = self.policy.distribution(rows)
            decisions = one_hot(actions)
            paid = step_cost(self.ledger, self.layout, decisions, decisions).reshape(buffer.rewards.shape)
        own_cost = self.reward.penalty(paid.cpu().numpy()) * (self.cost_gradient == "exact")
        buffer.returns = returns_after(buffer.rewards, own_cost).astype(np.float32)
        self._credit(actions, distribution.probs)
        self._log(decisions, distribution.entropy())
        return True

    def _play(self, env: FusionVecEnv, callback: BaseCallback) -> bool:
        """One episode of every row into the buffer; False where a callback has stopped it."""
        buffer = self.rollout_buffer
        self.policy.set_training_mode(False)
        buffer.reset()
        callback.on_rollout_start()
        if env.under_way:
            env.episodes.restart()  # stopped amid the rollouts before
        if not self.policy.critic:  # which looks at the cost, as gates do not
            env.episodes.stop_counting()
        infos: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        dones = np.zeros(env.num_envs, bool)
        for step in range(self.n_steps):
            with torch.no_grad():
                observations = env.observe()
                actions, values, log_probs = self.policy(observations, site=step % len(self.layout.sites))
            env.advance(actions)
            buffer.put(observations, actions, values, log_probs)
            if buffer.full:
                rewards, outcome = env.finish()
                buffer.end(rewards)
                infos, dones = [{"clip": facts} for facts in outcome.per_episode()], ~dones
                self._last_obs, self._last_episode_starts = env.observe(), dones  # type: ignore[assignment]
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
        callback.on_rollout_end()
        return True

    def learn(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as stable-baselines3 does; :raises ValueError: a gradient that is not finite."""
        super().learn(*args, **kwargs)
        self.gradient_watch.check()
        return self

    def sample_loss(self) -> Tensor:
        self.collect_rollouts(env_of(self), self.callback, self.rollout_buffer, self.n_steps)
        return self.loss()

    def loss(self) -> Tensor:
        """Of the rollouts just collected; its gradient is the estimate."""
        raise NotImplementedError

    def all_rows(self) -> tuple[Rows, Tensor]:
        """Every step of the rollouts just collected, (S * N rows in time order): observations apart, actions."""
        observations = self.rollout_buffer.observations.flatten(0, 1)
        here = self.layout.rows_by_site(len(observations), observations.device)
        return self.layout.unpack(observations, here), self.rollout_buffer.actions.flatten(0, 1)

    def _credit(self, actions: Tensor, probs: Tensor) -> None:
        """Write ``rollout_buffer.advantages`` from its returns (S, N)."""
        raise NotImplementedError

    @property
    def sampled(self) -> np.ndarray:
        """(N,) bool: rollouts whose decisions were sampled; all, but for the self-critical baseline's greedy ones."""
        greedy = self.policy.greedy_rows
        return np.ones(self.n_envs, bool) if greedy is None else np.arange(self.n_envs) % self.rollouts_per_clip != 0

    def _log(self, decisions: Tensor, entropy: Tensor) -> None:
        sampled = self.sampled
        clips = [info["clip"] for info, kept in zip(self.last_infos, sampled) if kept]
        chosen, entropies = self.layout.by_site(decisions), self.layout.by_site(entropy)
        if not sampled.all():
            kept = torch.from_numpy(np.flatnonzero(sampled)).to(entropy.device)
            chosen, entropies = ([part[kept] for part in parts] for parts in (chosen, entropies))
        self.log_rollouts(
            reward=self.rollout_buffer.rewards.sum(0)[sampled],
            correct=[clip["correct"] for clip in clips],
            macs_ratio=[clip["macs_ratio"] for clip in clips],
            entropy=torch.cat([part.flatten() for part in entropies]).mean(),
            shares=torch.stack([part.mean((0, 1, 2)) for part in chosen]),
        )

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: np.ndarray | None = None) -> None:
        super()._update_info_buffer(infos, dones)
        self.last_infos = infos

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "last_infos"]
