"""The differentiable way of the paper: through the CNN, along relaxed decisions."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from agent.algorithms.whole_clips import WholeClips
from agent.estimators.cost import check_cost_gradient, site_costs
from agent.estimators.relaxations import Relaxation, find_relaxation
from agent.policies.distribution import log_softmax
from backbone import Observation


class PathwiseGradient(WholeClips):
    """The derivative of the reward through the CNN, with a relaxation in place of sampling (AdaFuse, section 3.3).

    :param relaxation: by its name, or one of your own; see ``agent/estimators/relaxations.py``
    :param temperature: of the relaxation, a number or a schedule; None takes the one that suits it
    :param cost_gradient: "sampled", the derivative of the relaxed decisions' own cost; or "exact", that of each site's
        expected cost given the features
    :param env, kwargs: as in WholeClips
    """

    def __init__(
        self,
        env: GymEnv,
        *,
        relaxation: str | Relaxation = "straight_through_gumbel",
        temperature: float | Schedule | None = None,
        cost_gradient: str = "sampled",
        **kwargs: Any,
    ) -> None:
        self.relaxation = find_relaxation(relaxation) if isinstance(relaxation, str) else relaxation
        self.temperature = self.relaxation.temperature if temperature is None else temperature
        self.cost_gradient = check_cost_gradient(cost_gradient)
        super().__init__(env, **kwargs)

    def loss(self, frames: Tensor, labels: Tensor) -> Tensor:
        temperature = self.temperature
        if callable(temperature):
            temperature = temperature(self._current_progress_remaining)
        entropies, probs, exact_cost = [], [], self.cost_gradient == "exact"

        def decide(observation: Observation) -> Tensor:
            logits = self.policy.gates(observation.site, observation.v, observation.v_previous)
            log_probs = log_softmax(logits.detach())
            entropies.append(-(log_probs.exp() * log_probs).sum(-1).flatten())
            if exact_cost:
                probs.append(log_softmax(logits).exp())
            return self.relaxation(logits, temperature)

        self.policy.gates.train()  # BatchNorms read the batch's statistics, as in AdaFuse
        result = self.backbone(frames, decide, agent_macs=self.episodes.agent_macs)
        self.policy.gates.eval()
        outcome = self.reward.of_outcome(result.logits, labels)
        macs_ratio = result.macs / self.episodes.clip_dense_macs
        cost = site_costs(self.ledger, probs, result.decisions).sum(1) if exact_cost else macs_ratio
        reward = self.reward(outcome, cost.to(outcome.dtype))
        self.logger.record("train/temperature", float(temperature))
        self.log_rollouts(
            reward=reward.detach(),
            correct=result.logits.argmax(-1) == labels,
            macs_ratio=macs_ratio.detach(),
            entropy=torch.cat(entropies).mean(),
            shares=torch.stack([chosen.detach().mean((0, 1, 2)) for chosen in result.decisions]),
        )
        return -reward.mean()
