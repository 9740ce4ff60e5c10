"""REINFORCE with the baselines of the field, and the cost of each step differentiated exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor
from torch.nn import functional as F

from agent.algorithms.rollouts import FusionRolloutBuffer, RolloutMixin
from agent.algorithms.schedules import WarmupCosine
from agent.estimators.baselines import Baseline, find_baseline
from agent.estimators.cost import check_cost_gradient, step_cost
from agent.policies.policy import FusionPolicy
from backbone import one_hot


class REINFORCE(RolloutMixin):
    """REINFORCE (Williams, 1992), one update on each batch of whole episodes.

    The loss of an episode is sum_s [ -A_s sum_d log p(a_sd) + w E_p[c_s] ]: A_s credits the return after step s
    (the outcome and the cost of later steps) above a baseline, and the step's own expected cost c_s is
    differentiated exactly.

    :param env: FusionVecEnv; each batch of rollouts is one episode of every row
    :param learning_rate: of Adam, a number or a schedule
    :param baseline: subtracted from the return; see ``agent/estimators/baselines.py``
    :param cost_gradient: "exact" differentiates each step's own expected cost, "sampled" leaves it in the return
    :param entropy_coef: weight of the entropy bonus, per decision in nats
    :param policy_kwargs: of FusionPolicy (gate)
    """

    baseline: Baseline

    def __init__(
        self,
        env: GymEnv,
        *,
        learning_rate: float | Schedule = WarmupCosine(1e-2),
        baseline: str = "leave_one_out",
        cost_gradient: str = "exact",
        entropy_coef: float = 0.0,
        policy: type[FusionPolicy] = FusionPolicy,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        device: torch.device | str = "auto",
        verbose: int = 0,
        _init_setup_model: bool = True,
    ) -> None:
        self.baseline_kind, self.entropy_coef = find_baseline(baseline), entropy_coef
        self.cost_gradient = check_cost_gradient(cost_gradient)
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
            policy_kwargs={**(policy_kwargs or {}), "critic": self.baseline_kind.learns_value},
            seed=seed,
            device=device,
            verbose=verbose,
            _init_setup_model=_init_setup_model,
        )

    def _setup_model(self) -> None:
        super()._setup_model()
        if not hasattr(self, "baseline"):  # else stable-baselines3's load has brought it
            self.baseline = self.baseline_kind(self.rollouts_per_clip)
        if self.baseline.plays_greedily:
            greedy = torch.arange(self.n_envs, device=self.device) % self.rollouts_per_clip == 0
            self.policy.greedy_rows = greedy

    def _credit(self, actions: Tensor, probs: Tensor) -> None:
        buffer = self.rollout_buffer
        advantages = np.asarray(self.baseline.advantages(buffer.returns, buffer.values), np.float32)
        buffer.advantages[:] = torch.from_numpy(advantages).to(self.device).unsqueeze(-1)

    def loss(self) -> Tensor:
        """Of the rollouts just collected; its gradient is the estimate."""
        buffer = self.rollout_buffer
        rows, actions = self.all_rows()
        distribution = self.policy.distribution(rows)
        log_prob = distribution.log_prob(actions)
        advantages = buffer.advantages.flatten(0, 1)
        episodes = int(self.sampled.sum())
        loss = -self._of_sampled(advantages * log_prob).sum() / episodes
        if self.cost_gradient == "exact":
            expected = step_cost(self.ledger, self.layout, distribution.probs, one_hot(actions))
            loss = loss + self.reward.penalty(self._of_sampled(expected).sum().to(loss.dtype)) / episodes
        if self.entropy_coef:
            loss = loss - self.entropy_coef * self._of_sampled(distribution.entropy()).sum() / episodes
        if self.baseline.learns_value:
            observations = buffer.observations.flatten(0, 1)
            returns = torch.as_tensor(buffer.returns, device=self.device).flatten()
            value_loss = F.mse_loss(self.policy.predict_values(observations).flatten(), returns)
            loss = loss + self.vf_coef * value_loss
            self.record_later("record", ["train/value_loss"], value_loss)
        self.record_later("record", ["train/advantage_sd"], advantages.std())
        return loss

    def train(self) -> None:
        """One gradient step on the rollouts just collected."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        self.step(self.loss())
        self.policy.update_statistics(self.all_rows()[0])
        self._n_updates += 1

    def _of_sampled(self, rows: Tensor) -> Tensor:
        """(S * N, ...): zero in the self-critical baseline's greedy rollouts."""
        greedy = self.policy.greedy_rows
        if greedy is None:
            return rows
        return rows.masked_fill(greedy.repeat(self.n_steps).view(-1, *[1] * (rows.dim() - 1)), 0)

    def extra_state(self) -> dict[str, Any]:
        return {**super().extra_state(), "baseline": self.baseline.name, **self.baseline.state_dict()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        super().load_extra_state(state)
        if state["baseline"] != self.baseline.name:
            raise ValueError(
                f"expected a checkpoint of baseline {self.baseline.name!r}, got one of {state['baseline']!r}"
            )
        self.baseline.load_state_dict(state)
