"""PPO of stable-baselines3, its ``train`` unmodified, set up for thousands of factored decisions."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from agent.algorithms.fusion_algorithm import check_env
from agent.algorithms.rollouts import FusionRolloutBuffer, RolloutMixin
from agent.algorithms.schedules import WarmupCosine
from agent.estimators.baselines import leave_one_out
from agent.estimators.cost import check_cost_gradient, decision_costs, own_cost_advantages
from agent.policies.policy import FusionPolicy
from backbone import one_hot
from backbone.common.naming import did_you_mean
from envs.spaces import StepLayout

RATIOS = ("decision", "joint")


class FusionPPO(RolloutMixin, PPO):
    """PPO (Schulman et al., 2017) with a probability ratio per decision and leave-one-out advantages.

    The joint ratio over K decisions leaves the clip range for most samples once K is in the hundreds; each decision
    has its own ratio here. Its advantage is the clip's leave-one-out return after the step, minus its own exact cost
    above expectation: A_s - w (c(d) - E_p[c]). Under the joint ratio these costs are summed over a step's decisions.

    :param env: FusionVecEnv with rollouts_per_clip of at least 2
    :param learning_rate: of Adam, a number or a schedule
    :param n_epochs: passes over each batch of rollouts
    :param num_minibatches: updates in a pass
    :param clip_range: of each ratio
    :param ratio: "decision", or "joint" over all decisions of a step (PPO as published, for comparison)
    :param cost_gradient: "exact" credits each decision with its own expected cost, "sampled" leaves it in the return
    :param entropy_coef: weight of the entropy bonus, per decision in nats
    :param policy_kwargs: of FusionPolicy (gate)
    """

    policy: FusionPolicy

    def __init__(
        self,
        env: GymEnv,
        *,
        learning_rate: float | Schedule = WarmupCosine(1e-2),
        n_epochs: int = 2,
        num_minibatches: int = 2,
        clip_range: float = 0.2,
        ratio: str = "decision",
        cost_gradient: str = "exact",
        entropy_coef: float = 0.0,
        policy: type[FusionPolicy] = FusionPolicy,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        device: torch.device | str = "auto",
        verbose: int = 0,
        _init_setup_model: bool = True,
    ) -> None:
        if ratio not in RATIOS:
            raise ValueError(
                f"expected ratio to be one of {', '.join(RATIOS)}, got {ratio!r}{did_you_mean(ratio, RATIOS)}"
            )
        self.num_minibatches, self.ratio = num_minibatches, ratio
        self.cost_gradient = check_cost_gradient(cost_gradient)
        steps, rows, columns = 2, 2, 1  # of a model that ``load`` is about to fill
        if _init_setup_model:
            vec_env = check_env(env)
            layout: StepLayout = vec_env.get_attr("layout")[0]
            steps, rows = layout.num_steps, vec_env.num_envs * layout.num_steps
            columns = layout.step_frames * layout.decisions if ratio == "decision" else 1
        # PPO.train takes means over steps and ratios. Weights on the scale of an episode's sum, as REINFORCE has it,
        # undo that: gradients a thousand times smaller would drown in Adam's epsilon
        self.loss_scale = steps * columns
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=steps,
            batch_size=-(-rows // num_minibatches),
            n_epochs=n_epochs,
            gamma=1.0,
            gae_lambda=1.0,
            clip_range=clip_range,
            normalize_advantage=False,
            ent_coef=entropy_coef * self.loss_scale,
            vf_coef=0.0,
            max_grad_norm=float("inf"),  # GradientWatch clips, for every method alike
            rollout_buffer_class=FusionRolloutBuffer,
            rollout_buffer_kwargs={"columns": columns},
            policy_kwargs={**(policy_kwargs or {}), "joint": ratio == "joint"},
            seed=seed,
            device=device,
            verbose=verbose,
            _init_setup_model=_init_setup_model,
        )

    def _credit(self, actions: Tensor, probs: Tensor) -> None:
        buffer = self.rollout_buffer
        shared = torch.from_numpy(leave_one_out(buffer.returns, self.rollouts_per_clip))
        buffer.advantages[:] = shared.to(self.device).unsqueeze(-1)
        if self.cost_gradient == "exact":
            costs = decision_costs(self.ledger, self.layout, probs, one_hot(actions))
            own = self.policy.per_ratio(own_cost_advantages(costs, probs, actions))
            buffer.advantages += self.reward.penalty(own.reshape(buffer.advantages.shape))
        buffer.advantages *= self.loss_scale

    def loss(self) -> Tensor:
        """Of the first update on the rollouts just collected, before any ratio has left 1."""
        buffer = self.rollout_buffer
        rows, actions = self.all_rows()
        log_prob = self.policy.per_ratio(self.policy.distribution(rows).log_prob(actions))
        old, advantages = (part.flatten(0, 1) for part in (buffer.log_probs, buffer.advantages))
        return -(advantages * (log_prob - old).exp()).mean()

    def train(self) -> None:
        """The updates of stable-baselines3, then the statistics of the gates' BatchNorms."""
        rows, _ = self.all_rows()  # now: PPO.train puts the buffer in another order
        super().train()
        self.policy.update_statistics(rows)
