"""REINFORCE with the baselines of the field, and the cost of each step differentiated exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor
from torch.nn import functional as F

from agent.advantages import leave_one_out
from agent.cost import step_cost
from agent.policy import FusionPolicy
from agent.rollouts import FusionRolloutBuffer, RolloutMixin
from agent.schedules import WarmupCosine
from envs.layout import Rows

BASELINES = ("none", "moving_average", "self_critical", "leave_one_out", "value")
MOVING_AVERAGE = 0.95


class REINFORCE(RolloutMixin):
    """REINFORCE (Williams, 1992), one update on each batch of whole episodes.

    The loss of an episode is sum_s [ -A_s sum_d log p(a_sd) + w E_p[c_s] ]: A_s credits the return after step s
    (the outcome and the cost of later steps) above a baseline, and the step's own expected cost c_s is
    differentiated exactly.

    :param env: FusionVecEnv; each batch of rollouts is one episode of every row
    :param learning_rate: of Adam, a number or a schedule
    :param baseline: subtracted from the return. "none"; "moving_average" of each step's return over batches;
        "self_critical", the greedy rollout of the same clip (Rennie et al., 2017), for which the first of each clip's
        rollouts is spent; "leave_one_out", the mean of the clip's other rollouts (Kool et al., 2019); "value", a critic
    :param entropy_coef: weight of the entropy bonus, per decision in nats
    :param policy_kwargs: of FusionPolicy (gate)
    """

    def __init__(
        self,
        env: GymEnv,
        *,
        learning_rate: float | Schedule = WarmupCosine(1e-2),
        baseline: str = "leave_one_out",
        entropy_coef: float = 0.0,
        policy: type[FusionPolicy] = FusionPolicy,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        device: torch.device | str = "auto",
        verbose: int = 0,
        _init_setup_model: bool = True,
    ) -> None:
        if baseline not in BASELINES:
            raise ValueError(f"expected a baseline among {', '.join(BASELINES)}; got {baseline!r}")
        self.baseline, self.entropy_coef = baseline, entropy_coef
        self.average_returns: np.ndarray | None = None
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=1,  # set to an episode's length
            gamma=1.0,
            gae_lambda=1.0,
            ent_coef=entropy_coef,
            vf_coef=0.5,
            max_grad_norm=float("inf"),  # GradientWatch clips, for every method alike
            use_sde=False,
            sde_sample_freq=-1,
            rollout_buffer_class=FusionRolloutBuffer,
            policy_kwargs={**(policy_kwargs or {}), "critic": baseline == "value"},
            seed=seed,
            device=device,
            verbose=verbose,
            _init_setup_model=_init_setup_model,
        )

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.baseline in ("self_critical", "leave_one_out") and self.rollouts_per_clip < 2:
            raise ValueError(
                f"expected rollouts_per_clip of at least 2 for baseline {self.baseline!r}, got {self.rollouts_per_clip}"
            )
        if self.baseline == "self_critical":
            greedy = torch.arange(self.n_envs, device=self.device) % self.rollouts_per_clip == 0
            self.policy.greedy_rows = greedy

    def _credit(self, rows: Rows, actions: Tensor, probs: Tensor) -> None:
        buffer = self.rollout_buffer
        returns, k = buffer.returns, self.rollouts_per_clip
        if self.baseline == "none":
            advantages = returns
        elif self.baseline == "leave_one_out":
            advantages = leave_one_out(returns, k)
        elif self.baseline == "value":
            advantages = returns - buffer.values
        elif self.baseline == "self_critical":
            clips = returns.reshape(len(returns), -1, k)
            advantages = (clips - clips[..., :1]).reshape(returns.shape)  # the greedy rollouts' own are zero
        else:
            batch = returns.mean(1)
            before = batch if self.average_returns is None else self.average_returns
            advantages = returns - before[:, None]
            self.average_returns = MOVING_AVERAGE * before + (1 - MOVING_AVERAGE) * batch
        buffer.advantages[:] = advantages[..., None]

    def train(self) -> None:
        """One gradient step on the rollouts just collected."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        buffer = self.rollout_buffer
        rows, actions = self.all_rows()
        distribution = self.policy.distribution(rows)
        log_prob = distribution.log_prob(actions)
        advantages = torch.as_tensor(buffer.advantages, device=self.device).flatten(0, 1)
        sampled = self._sampled_rows()
        episodes = int(sampled.sum()) / self.n_steps
        policy_loss = -(advantages * log_prob)[sampled].sum() / episodes
        expected = step_cost(self.ledger, self.layout, rows, distribution.probs)
        cost_loss = self.cost_weight * expected[sampled].sum().to(policy_loss.dtype) / episodes
        entropy = distribution.entropy()[sampled].sum() / episodes
        loss = policy_loss + cost_loss - self.entropy_coef * entropy
        if self.baseline == "value":
            observations = torch.as_tensor(buffer.observations, device=self.device).flatten(0, 1)
            returns = torch.as_tensor(buffer.returns, device=self.device).flatten()
            value_loss = F.mse_loss(self.policy.predict_values(observations).flatten(), returns)
            loss = loss + self.vf_coef * value_loss
            self.logger.record("train/value_loss", value_loss.item())
        self.policy.optimizer.zero_grad()
        loss.backward()
        self.policy.optimizer.step()
        self.policy.update_statistics(rows)
        self._n_updates += 1
        self.logger.record("train/loss", loss.item())
        self.logger.record("train/advantage_sd", float(advantages.std()))

    def _sampled_rows(self) -> Tensor:
        """(S * N,) bool: all rows, but for the self-critical baseline's greedy rollouts."""
        greedy = self.policy.greedy_rows
        if greedy is None:
            return torch.ones(self.n_steps * self.n_envs, dtype=torch.bool, device=self.device)
        return ~greedy.repeat(self.n_steps)

    def extra_state(self) -> dict[str, Any]:
        average = self.average_returns
        return {
            "baseline": self.baseline,
            "average_returns": None if average is None else [float(value) for value in average],
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        if state["baseline"] != self.baseline:
            raise ValueError(f"expected a checkpoint of baseline {self.baseline!r}, got one of {state['baseline']!r}")
        average = state["average_returns"]
        self.average_returns = None if average is None else np.array(average, np.float32)
