"""The gradient that every estimator estimates, exact: all joint decisions of a clip are played, none is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agent.policies.distribution import log_softmax
from agent.policies.gate import GateNetwork
from backbone import Decision, FusionBackbone, Observation, one_hot
from envs.reward import Reward

MAX_DECISIONS = 8  # of a clip, all sites and frames: 3^8 = 6561 joint ones


@dataclass(frozen=True)
class Enumeration:
    """Every joint decision of B clips.

    :param joint: (J, T, M) integers; M decisions a frame, site by site
    :param log_probs: (B, J), with the graph back to the gates
    :param rewards: (B, J) float64, of the whole episode; they do not depend on the gates
    """

    joint: Tensor
    log_probs: Tensor
    rewards: Tensor

    @property
    def expected_reward(self) -> Tensor:
        """Mean over the clips of sum_d p(d) R(d), with the graph back to the gates."""
        return (self.log_probs.exp() * self.rewards).sum(1).mean()

    def additive_r2(self) -> Tensor:
        """(B,): share of the rewards' variance over joint decisions that the best sum of single decisions' shares explains.

        1 where the reward is linear in the one-hot decisions, so that a relaxation could be exact.
        """
        kinds = one_hot(self.joint.flatten(1), torch.float64)[..., 1:].flatten(1)  # of three, two are free
        design = torch.cat([kinds.new_ones(len(kinds), 1), kinds], 1)
        rewards = self.rewards.T
        left = rewards - design @ torch.linalg.lstsq(design, rewards).solution
        return 1 - left.square().sum(0) / (rewards - rewards.mean(0)).square().sum(0)


def enumerate_decisions(
    backbone: FusionBackbone,
    gates: GateNetwork,
    frames: Tensor,
    labels: Tensor,
    *,
    reward: Reward,
    agent_macs: Sequence[float] | None = None,
) -> Enumeration:
    """Play every joint decision of each clip. Both orders of steps are this same process.

    :param frames: normalised, (B, T, 3, H, W)
    :param labels: (B,)
    :param agent_macs: per site, MACs per frame of the agent's own gate
    :raises ValueError: too many decisions to enumerate
    """
    num_frames = frames.shape[1]
    widths = [site.decisions for site in backbone.sites]
    decisions = num_frames * sum(widths)
    if decisions > MAX_DECISIONS:
        raise ValueError(
            f"expected at most {MAX_DECISIONS} decisions a clip to enumerate, got {num_frames} frames of {sum(widths)}: "
            "take fewer frames or sites, or a larger group size"
        )
    axes = [torch.arange(len(Decision), device=frames.device)] * decisions
    joint = torch.cartesian_prod(*axes).view(-1, num_frames, sum(widths))
    by_site = joint.split(widths, -1)
    observations: list[Observation] = []

    def decide(observation: Observation) -> Tensor:
        observations.append(observation)
        return one_hot(by_site[observation.site].repeat(len(frames), 1, 1), frames.dtype)

    with torch.no_grad():
        result = backbone(frames, decide, agent_macs=agent_macs)
    shape = (len(frames), len(joint))
    log_probs = frames.new_zeros(shape)
    for site, v, v_previous, *_ in observations:
        # a clip's rows are still one before the first decision: (B or B*J, T, D, 3) -> (B, 1 or J, T, D, 3)
        every = log_softmax(gates(site, v, v_previous)).unflatten(0, (len(frames), -1))
        taken = one_hot(by_site[site], every.dtype)
        log_probs = log_probs + (every * taken).sum((2, 3, 4))
    rewards = reward.of_outcome(result.logits, labels.repeat_interleave(len(joint))).double()
    rewards = rewards + reward.of_step(result.macs, backbone.ledger.dense_macs * num_frames)
    return Enumeration(joint, log_probs, rewards.view(shape))


def exact_gradient(enumeration: Enumeration, gates: GateNetwork) -> Tensor:
    """Gradient of minus the expected reward with respect to all parameters of the gates, as one vector."""
    gradients = torch.autograd.grad(-enumeration.expected_reward, list(gates.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients])
