"""The gates inside stable-baselines3's policy interface."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agent.distribution import FactoredCategorical
from agent.gate import HIDDEN, GateNetwork
from backbone import Decision
from envs.layout import Layout, Rows


class FusionPolicy(ActorCriticPolicy):
    """GateNetwork as actor; log-probabilities and entropies are per decision, (R, F * D).

    :param layout: of the environment's observations and actions
    :param hidden, static: as in GateNetwork
    :param critic: learn a state value as well (the "value" baseline)
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        use_sde: bool = False,
        *,
        layout: Layout,
        hidden: int = HIDDEN,
        static: bool = False,
        critic: bool = False,
        **kwargs: Any,
    ) -> None:
        self.layout, self.hidden, self.static, self.critic = layout, hidden, static, critic
        super().__init__(observation_space, action_space, lr_schedule, use_sde=use_sde, ortho_init=False, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.gates = GateNetwork(self.layout.sites, hidden=self.hidden, static=self.static)
        self.value_net = None
        if self.critic:
            width = self.observation_space.shape[0]
            self.value_net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 1))
        self.register_buffer("decision_mask", self.layout.decision_mask(), persistent=False)
        # rows that play greedily although actions are sampled: the self-critical baseline's own rollouts
        self.greedy_rows: Tensor | None = None
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"layout": self.layout, "hidden": self.hidden, "static": self.static, "critic": self.critic}
        parameters = super()._get_constructor_parameters()
        del parameters["ortho_init"]
        return {**parameters, **own}

    @property
    def gate_macs(self) -> list[int]:
        """Per site, MACs per frame of the agent itself."""
        return self.gates.macs

    def distribution(self, rows: Rows) -> FactoredCategorical:
        """Of observations that may stand at different sites."""
        layout = self.layout
        shape = (len(rows.site), layout.step_frames, layout.decisions, len(Decision))
        logits = rows.v.new_zeros(shape)
        for site in layout.sites:
            here = (rows.site == site.index).nonzero().squeeze(1)
            if len(here):
                v, v_previous = (part[here][..., : site.in_channels] for part in (rows.v, rows.v_previous))
                logits[here, :, : site.decisions] = self.gates(site.index, v, v_previous)
        return FactoredCategorical().proba_distribution(logits.flatten(1, 2), self.decision_mask[rows.site])

    def get_distribution(self, obs: Tensor) -> FactoredCategorical:
        return self.distribution(self.layout.unpack(obs))

    def predict_values(self, obs: Tensor) -> Tensor:
        """(R, 1): the critic's value, or zero where there is none."""
        return self.value_net(obs) if self.value_net is not None else obs.new_zeros(len(obs), 1)

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (R, F * D), values (R, 1), log-probabilities per decision (R, F * D)."""
        distribution = self.get_distribution(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        if self.greedy_rows is not None:
            actions = torch.where(self.greedy_rows.unsqueeze(1), distribution.mode(), actions)
        return actions, self.predict_values(obs), distribution.log_prob(actions)

    def evaluate_actions(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values (R, 1), log-probabilities (R, F * D) and entropies (R, F * D) of actions taken."""
        distribution = self.get_distribution(obs)
        return self.predict_values(obs), distribution.log_prob(actions), distribution.entropy()
