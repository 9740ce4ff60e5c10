"""Agents as a stream asks them: one site of one frame, greedily."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent.policies.fixed import FixedPolicy
from agent.policies.policy import FusionPolicy
from backbone import Observation
from backbone.sparse.stream import Policy


class Rules:
    """A fixed policy. It looks at no features, so that none are computed for it."""

    looks = False

    def __init__(self, fixed: FixedPolicy) -> None:
        self.fixed = fixed
        self.generator = np.random.default_rng(int(torch.randint(2**31, ())))

    def __call__(self, observation: Observation) -> Tensor:
        decisions = self.fixed.layout.sites[observation.site].decisions
        return torch.from_numpy(self.fixed.choose(decisions, self.generator))


def stream_policy(model: Any) -> Policy:
    """What decides in a ``backbone.sparse.Stream`` as ``model`` does when it is judged greedily.

    :param model: a learner or an imported policy with our gates, or a fixed policy
    :raises ValueError: another policy, which may want to know more than the features
    """
    if isinstance(model, FixedPolicy):
        return Rules(model)
    policy = getattr(model, "policy", model)
    if not isinstance(policy, FusionPolicy):
        raise ValueError(
            f"expected an agent with gates or a fixed policy to stream, got {type(policy).__name__}, which observes more than "
            "features: play it with predict alone"
        )
    gates = policy.gates.eval()

    def greedy(observation: Observation) -> Tensor:
        return gates(observation.site, observation.v, observation.v_previous)[0, 0].argmax(-1)

    return greedy
