"""PPO of stable-baselines3, its ``train`` unmodified, set up for thousands of factored decisions."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from agent.advantages import leave_one_out
from agent.cost import decision_costs, own_cost_advantages
from agent.fusion_algorithm import check_env
from agent.policy import FusionPolicy
from agent.rollouts import FusionRolloutBuffer, RolloutMixin
from agent.schedules import WarmupCosine
from envs.layout import Rows


class FusionPPO(RolloutMixin, PPO):
    """PPO (Schulman et al., 2017) with a probability ratio per decision and leave-one-out advantages.

    The joint ratio over K decisions leaves the clip range for most samples once K is in the hundreds; each decision
    has its own ratio here. Its advantage is the clip's leave-one-out return after the step, minus its own exact cost
    above expectation: A_s - w (c(d) - E_p[c]).

    :param env: FusionVecEnv with rollouts_per_clip of at least 2
    :param learning_rate: of Adam, a number or a schedule
    :param n_epochs: passes over each batch of rollouts
    :param num_minibatches: updates in a pass
    :param clip_range: of each decision's ratio
    :param entropy_coef: weight of the entropy bonus, per decision in nats
    :param policy_kwargs: of FusionPolicy (gate)
    """

    def __init__(
        self,
        env: GymEnv,
        *,
        learning_rate: float | Schedule = WarmupCosine(1e-2),
        n_epochs: int = 2,
        num_minibatches: int = 2,
        clip_range: float = 0.2,
        entropy_coef: float = 0.0,
        policy: type[FusionPolicy] = FusionPolicy,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        device: torch.device | str = "auto",
        verbose: int = 0,
        _init_setup_model: bool = True,
    ) -> None:
        self.num_minibatches = num_minibatches
        if _init_setup_model:
            check_env(env)
        steps = env.get_attr("layout")[0].num_steps if _init_setup_model else 2
        rows = env.num_envs * steps if _init_setup_model else 2
        # PPO.train takes means over steps and decisions. Weights on the scale of an episode's sum, as REINFORCE has it,
        # undo that: gradients a thousand times smaller would drown in Adam's epsilon
        self.loss_scale = steps * env.action_space.shape[0] if _init_setup_model else 1
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
            policy_kwargs=policy_kwargs,
            seed=seed,
            device=device,
            verbose=verbose,
            _init_setup_model=_init_setup_model,
        )

    def _credit(self, rows: Rows, actions: Tensor, probs: Tensor) -> None:
        buffer = self.rollout_buffer
        buffer.advantages[:] = leave_one_out(buffer.returns, self.rollouts_per_clip)[..., None]
        costs = decision_costs(self.ledger, self.layout, rows, probs)
        own = own_cost_advantages(costs, probs, actions)
        buffer.advantages += self.cost_weight * own.reshape(buffer.advantages.shape).cpu().numpy()
        buffer.advantages *= self.loss_scale

    def train(self) -> None:
        """The updates of stable-baselines3, then the statistics of the gates' BatchNorms."""
        rows, _ = self.all_rows()  # now: PPO.train puts the buffer in another order
        super().train()
        self.policy.update_statistics(rows)
