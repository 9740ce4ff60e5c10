"""Rollouts of whole episodes, and what REINFORCE and PPO make of them."""

from __future__ import annotations

from collections.abc import Generator
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
from backbone.common import ranks
from envs.spaces import Rows


class FusionRolloutBuffer(RolloutBuffer):
    """A RolloutBuffer with log-probabilities and advantages per decision, (S, N, F * D).

    stable-baselines3's own ``PPO.train`` runs on it unmodified: everything in its loss broadcasts. Advantages are
    put in by the algorithm once the rollouts are whole.

    :param columns: in place of F * D: 1 keeps the log-probability of all decisions of a step together
    """

    def __init__(self, *args: Any, columns: int | None = None, **kwargs: Any) -> None:
        self.columns, self.weight = columns, 1.0
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        super().reset()
        self.log_probs = np.zeros((self.buffer_size, self.n_envs, self.columns or self.action_dim), np.float32)
        self.advantages = np.zeros_like(self.log_probs)

    def compute_returns_and_advantage(self, last_values: Tensor, dones: np.ndarray) -> None:
        """Left to the algorithm: episodes are whole, nothing is bootstrapped."""

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches in random order; of those of all ranks, this one's rows in each, however many, see ``weight``."""
        many = ranks.dividing()
        if many == 1:
            yield from super().get(batch_size)
            return
        own = self.buffer_size * self.n_envs
        size = -(-many * own // -(-own // (batch_size or own)))
        order = np.random.permutation(many * own)  # noqa: NPY002 (as stable-baselines3 draws it)
        self._flatten()
        for start in range(0, many * own, size):
            rows = order[start : start + size]
            mine = rows[rows // own == ranks.rank()] - ranks.rank() * own
            self.weight = many * len(mine) / len(rows)
            yield self._get_samples(mine if len(mine) else order[:1] % own)  # one that weighs nothing, in place of none
        self.weight = 1.0

    def _flatten(self) -> None:
        """As ``RolloutBuffer.get`` does first: (S, N, ...) -> (N * S, ...)."""
        if not self.generator_ready:
            for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> RolloutBufferSamples:
        data = (
            self.observations[batch_inds],
            self.actions[batch_inds].astype(np.float32, copy=False),
            self.values[batch_inds].flatten(),
            self.log_probs[batch_inds],
            self.advantages[batch_inds],
            self.returns[batch_inds].flatten(),
        )
        return RolloutBufferSamples(*map(self.to_torch, data))


class RolloutMixin(FusionAlgorithm, OnPolicyAlgorithm):
    """Collects exactly one episode of every row, then asks ``_credit`` for advantages and logs the rollouts.

    The loop is stable-baselines3's own ``collect_rollouts``, with its buffer and callbacks; whoever plays without
    training calls ``envs/rollout.py``. Both step the same ``Episodes``.
    """

    policy: FusionPolicy
    cost_gradient: str  # "exact": each step's own expected cost is differentiated, and is in no return

    def _setup_model(self) -> None:
        if self.env is not None:
            check_env(self.env)
            self.rollouts_per_clip = self.env.get_attr("rollouts_per_clip")[0]
            self.n_steps = self.env.get_attr("layout")[0].num_steps
        super()._setup_model()

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        if not super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps):
            return False
        self.num_timesteps += (
            (ranks.dividing() - 1) * self.n_envs * n_rollout_steps
        )  # which the other ranks have played
        buffer = self.rollout_buffer
        rows, actions = self.all_rows()
        with torch.no_grad():
            distribution = self.policy.distribution(rows)
            decisions = one_hot(actions)
            paid = step_cost(self.ledger, self.layout, rows, decisions).reshape(buffer.rewards.shape)
        own_cost = self.reward.penalty(paid.cpu().numpy()) * (self.cost_gradient == "exact")
        buffer.returns = returns_after(buffer.rewards, own_cost).astype(np.float32)
        self._credit(rows, actions, distribution.probs)
        mask = self.policy.decision_mask[rows.site]
        self._log(decisions, distribution.entropy(), mask, rows)
        return True

    @property
    def row_weight(self) -> float:
        return self.rollout_buffer.weight  # type: ignore[attr-defined]  # a FusionRolloutBuffer

    def sample_loss(self) -> Tensor:
        self.collect_rollouts(env_of(self), self.callback, self.rollout_buffer, self.n_steps)
        return self.loss()

    def loss(self) -> Tensor:
        """Of the rollouts just collected; its gradient is the estimate."""
        raise NotImplementedError

    def all_rows(self) -> tuple[Rows, Tensor]:
        """Every step of the rollouts just collected, (S * N rows in time order): observations apart, actions."""
        buffer = self.rollout_buffer
        observations = torch.as_tensor(buffer.observations, device=self.device).flatten(0, 1)
        return self.layout.unpack(observations), torch.as_tensor(buffer.actions, device=self.device).flatten(0, 1)

    def _credit(self, rows: Rows, actions: Tensor, probs: Tensor) -> None:
        """Write ``rollout_buffer.advantages`` from its returns (S, N)."""
        raise NotImplementedError

    def _log(self, decisions: Tensor, entropy: Tensor, mask: Tensor, rows: Rows) -> None:
        greedy = self.policy.greedy_rows
        sampled = torch.ones(self.n_envs, dtype=torch.bool) if greedy is None else ~greedy.cpu()
        clips = [info["clip"] for info, kept in zip(self.last_infos, sampled.tolist()) if kept]
        mask = mask & sampled.to(mask.device).repeat(self.n_steps).unsqueeze(1)
        shares = []
        for site in self.layout.sites:
            here = rows.site == site.index
            shares.append(decisions[here][mask[here]].mean(0).cpu().numpy())
        self.log_rollouts(
            reward=self.rollout_buffer.rewards.sum(0)[sampled.numpy()],
            correct=[clip["correct"] for clip in clips],
            macs_ratio=[clip["macs_ratio"] for clip in clips],
            entropy=float(entropy[mask].mean()),
            shares=shares,
        )

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: np.ndarray | None = None) -> None:
        super()._update_info_buffer(infos, dones)
        self.last_infos = infos

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "last_infos"]
