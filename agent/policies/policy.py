"""The gates inside stable-baselines3's policy interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agent.policies.distribution import FactoredCategorical
from agent.policies.gate import GateNetwork, GateOptions
from backbone import Decision, Observation
from envs.spaces import Rows, StepLayout

MOMENTUM = 0.1  # weight of the latest batch in running statistics, as in every BatchNorm of PyTorch


class FusionPolicy(ActorCriticPolicy):
    """GateNetwork as actor; log-probabilities and entropies are per decision, (R, M) with M = F * D.

    :param layout: of the environment's observations and actions
    :param gate: of GateNetwork
    :param critic: learn a state value as well (the "value" baseline)
    :param joint: log-probabilities and entropies are summed over a step's decisions, M = 1 (PPO's joint ratio)
    """

    decision_mask: Tensor
    value_net: nn.Module | None  # type: ignore[assignment]  # always a Linear in the class above

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        use_sde: bool = False,
        *,
        layout: StepLayout,
        gate: GateOptions = GateOptions(),
        critic: bool = False,
        joint: bool = False,
        **kwargs: Any,
    ) -> None:
        self.layout, self.gate, self.critic, self.joint = layout, gate, critic, joint
        super().__init__(observation_space, action_space, lr_schedule, use_sde=use_sde, ortho_init=False, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.gates = GateNetwork(self.layout.sites, self.gate).eval()
        self.value_net = None
        if self.critic:
            (width,) = self.layout.observation_space.shape
            self.value_net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 1))
        self.register_buffer("decision_mask", self.layout.decision_mask(), persistent=False)
        # rows that play greedily although actions are sampled: the self-critical baseline's own rollouts
        self.greedy_rows: Tensor | None = None
        options: dict[str, Any] = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **options)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"layout": self.layout, "gate": self.gate, "critic": self.critic, "joint": self.joint}
        parameters = super()._get_constructor_parameters()
        del parameters["ortho_init"]
        return {**parameters, **own}

    def train(self, mode: bool = True) -> FusionPolicy:
        """Training mode for all but the gates.

        Their BatchNorms keep to the running statistics in a policy gradient's update too: batch statistics would be
        those of a minibatch, and its probabilities not those that were played.
        """
        super().train(mode)
        self.gates.eval()
        return self

    @torch.no_grad()
    def update_statistics(self, seen: Rows | Iterable[Observation]) -> None:
        """Move the running statistics of the gates' BatchNorms, if they have any, towards those of what was seen.

        For gradients of the expected reward, after the update and so with its weights: their probabilities are those
        of running statistics. A relaxation has no need of it: its pass reads batch statistics, as in AdaFuse, and moves
        the running ones by the way.

        :param seen: observations, which may stand at different sites, or the backbone's own, site by site
        """
        norms = [module for module in self.gates.modules() if isinstance(module, nn.BatchNorm1d)]
        if not norms:
            return
        for norm in norms:  # the mean of all batches at first: those of a fresh BatchNorm, 0 and 1, stand for nothing
            norm.momentum = max(MOMENTUM, 1 / (int(norm.num_batches_tracked or 0) + 1))
        self.gates.train()
        if isinstance(seen, Rows):
            self.distribution(seen)
        else:
            for observation in seen:
                self.gates(observation.site, observation.v, observation.v_previous)
        self.gates.eval()

    @property
    def agent_macs(self) -> list[int]:
        """Per site, MACs per frame of the agent itself."""
        return self.gates.macs

    def distribution(self, rows: Rows) -> FactoredCategorical:
        """Of observations that may stand at different sites."""
        layout = self.layout
        shape = (len(rows.site), layout.step_frames, layout.decisions, len(Decision))
        logits = rows.v.new_zeros(shape)
        for site in layout.sites:
            here = rows.at(site.index)
            v, v_previous = (part[here][..., : site.in_channels] for part in (rows.v, rows.v_previous))
            if len(v):
                logits[here, :, : site.decisions] = self.gates(site.index, v, v_previous)
        return FactoredCategorical().proba_distribution(logits.flatten(1, 2), self.decision_mask[rows.site])

    def get_distribution(self, obs: Tensor | Rows) -> FactoredCategorical:  # type: ignore[override]  # never a dict
        return self.distribution(obs if isinstance(obs, Rows) else self.layout.unpack(obs))

    def predict_values(self, obs: Tensor | Rows) -> Tensor:  # type: ignore[override]  # never a dict
        """(R, 1): the critic's value, or zero where there is none."""
        if isinstance(obs, Rows):
            if self.value_net is not None:
                raise ValueError("expected flat observations for the critic, got them taken apart")
            return obs.v.new_zeros(len(obs.v), 1)
        return self.value_net(obs) if self.value_net is not None else obs.new_zeros(len(obs), 1)

    def per_ratio(self, per_decision: Tensor) -> Tensor:
        """(R, F * D) -> (R, M): summed over a step's decisions where they share a ratio."""
        return per_decision.sum(1, keepdim=True) if self.joint else per_decision

    def forward(
        self, obs: Tensor, deterministic: bool = False, site: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (R, F * D), values (R, 1), log-probabilities (R, M).

        :param site: where all rows stand, if the caller knows
        """
        known = None if site is None else {site: slice(None)}
        distribution = self.distribution(self.layout.unpack(obs, known))
        actions = distribution.get_actions(deterministic=deterministic)
        if self.greedy_rows is not None:
            actions = torch.where(self.greedy_rows.unsqueeze(1), distribution.mode(), actions)
        return actions, self.predict_values(obs), self.per_ratio(distribution.log_prob(actions))

    def evaluate_actions(self, obs: Tensor | Rows, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]  # never a dict
        """Values (R, 1), log-probabilities (R, M) and entropies (R, M) of actions taken."""
        distribution = self.get_distribution(obs)
        log_prob, entropy = distribution.log_prob(actions), distribution.entropy()
        return self.predict_values(obs), self.per_ratio(log_prob), self.per_ratio(entropy)
