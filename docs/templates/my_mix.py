# my_mix.py
import torch

from agent.pretraining.mix import register_mix
from backbone import Decision, one_hot


@register_mix
def halves(sites, device, done):
    """One half of each site's channels reuses; once half of training is over, the other half is skipped in every second batch."""
    other = Decision.SKIP if done > 0.5 and torch.rand(()) < 0.5 else Decision.USE

    def decide(observation):
        clips, frames, _ = observation.v.shape
        decisions = sites[observation.site].decisions
        chosen = torch.where(torch.arange(decisions, device=device) < decisions / 2, Decision.REUSE, other)
        return one_hot(chosen.expand(clips, frames, decisions))

    return decide
