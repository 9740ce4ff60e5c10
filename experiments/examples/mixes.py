"""What the pretraining mix owes to each of its parts: the mix with one of them left out, as a plugin.

``python -m experiments pretrain --plugin experiments.examples.mixes --mix each_clip`` and so on; figures are in
``experiments/results/window-motions``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from agent.pretraining.mix import PretrainingMix, ramp, register_mix
from backbone import Decision, Observation, Site, one_hot

Policy = Callable[[Observation], Tensor]


@register_mix
def from_the_start(sites: Sequence[Site], device: torch.device, done: float) -> Policy:
    """Skips at full strength from the first batch on."""
    return PretrainingMix(sites, device)


@register_mix
def each_clip(sites: Sequence[Site], device: torch.device, done: float) -> Policy:
    """A policy a clip and not one a batch: a batch's BatchNorm statistics are those of many policies."""
    policies: list[PretrainingMix] = []

    def decide(observation: Observation) -> Tensor:
        if not policies:
            policies.extend(PretrainingMix(sites, device, ramp(done)) for _ in observation.v)
        rows = zip(policies, observation.v.split(1), observation.v_previous.split(1))
        return torch.cat([one(Observation(observation.site, v, before, None)) for one, v, before in rows])

    return decide


@register_mix
def any_depth(sites: Sequence[Site], device: torch.device, done: float) -> Policy:
    """Scattered skips as strong at 17 sites as at 3."""
    mix = PretrainingMix(sites, device, ramp(done))
    mix.shallow = len(sites)
    return mix


@register_mix
def rates(sites: Sequence[Site], device: torch.device, done: float) -> Policy:
    """The mix of 0.2.0: a skip rate drawn for each clip, frame and site (none for 40%, all for 10%), from the start."""
    share: list[Tensor] = []

    def decide(observation: Observation) -> Tensor:
        decisions = sites[observation.site].decisions
        shape = (*observation.v.shape[:2], decisions)
        if not share:
            uniform, always = torch.rand(2, shape[0], device=device)
            share.append(torch.where(always < 0.5, 1.0, uniform)[:, None, None])
        draws, (kind, rate) = torch.rand(3, *shape, device=device), torch.rand(2, *shape[:2], 1, device=device)
        shifted = torch.arange(decisions, device=device) < round(decisions / 4)
        reuse = (shifted & (draws[0] < share[0])) ^ (draws[1] < 0.05)
        rate = torch.where(kind < 0.4, 0.0, torch.where(kind < 0.5, 1.0, 0.9 * rate))
        chosen = torch.where(reuse, Decision.REUSE, Decision.USE)
        return one_hot(torch.where(draws[2] < rate, Decision.SKIP, chosen))

    return decide
