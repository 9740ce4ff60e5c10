"""Random decisions under which a CNN learns to exploit reuse and to bear skips, before any agent exists."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from backbone import Decision, Observation, Site, one_hot

REUSE_SHARE = 1 / 4  # the first channels of each site reuse: a one-frame temporal shift, as in TSM
FLIPPED = 0.05
NEVER_SKIP, ALL_SKIP, MAX_SKIP = 0.4, 0.1, 0.9


class PretrainingMix:
    """Decisions for one batch of clips.

    Per clip, the first quarter of each site's channels reuses with probability q (q = 1 for half the clips, else
    uniform); 5% of decisions are flipped between use and reuse; per clip, frame and site a skip rate is drawn (zero
    for 40%, one for 10%, else uniform up to 0.9).

    :param sites: of the backbone
    :param num_clips: rows
    """

    def __init__(self, sites: Sequence[Site], num_clips: int, device: torch.device) -> None:
        self.sites = sites
        uniform, always = torch.rand(2, num_clips, device=device)
        self.q = torch.where(always < 0.5, 1.0, uniform)[:, None, None]

    def __call__(self, observation: Observation) -> Tensor:
        """One-hot decisions (B, T, D, 3)."""
        decisions = self.sites[observation.site].decisions
        shape = (*observation.v.shape[:2], decisions)
        draws = torch.rand(3, *shape, device=observation.v.device)
        shifted = torch.arange(decisions, device=draws.device) < round(decisions * REUSE_SHARE)
        reuse = (shifted & (draws[0] < self.q)) ^ (draws[1] < FLIPPED)
        kind, rate = torch.rand(2, *shape[:2], 1, device=draws.device)
        rate = torch.where(kind < NEVER_SKIP, 0.0, torch.where(kind < NEVER_SKIP + ALL_SKIP, 1.0, MAX_SKIP * rate))
        chosen = torch.where(reuse, Decision.REUSE, Decision.USE)
        return one_hot(torch.where(draws[2] < rate, Decision.SKIP, chosen))
