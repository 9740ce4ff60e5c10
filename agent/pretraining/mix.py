"""Random policies under which a CNN learns to exploit reuse and to bear skips, before any agent exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from backbone import Decision, Observation, Site, one_hot
from backbone.common import ranks
from backbone.common.registry import Registry

REUSE_SHARE = 1 / 4  # the first channels of each site reuse: a one-frame temporal shift, as in TSM
ALWAYS_REUSE = 0.75  # share of policies under which all of those do; else each with a probability that is uniform
FLIPPED = 0.02  # share of decisions that are exchanged between use and reuse
NEVER_SKIP, MAX_SKIP = 0.35, 0.9  # share of policies without skips; the highest level of the others
SPREAD = 0.5  # a site's rate is the level times 1 - SPREAD to 1 + SPREAD
WITHOUT_SHORTCUT = 0.75  # no higher rate where nothing but the site's own channels leads through the block
KINDS = ("nested", "masked", "scattered")  # equally likely
SHALLOW = 3  # sites: deeper CNNs bear less that is scattered
RAMP = (0.15, 0.5)  # shares of training between which skips come in, from none to their full strength

Mix = Callable[[Sequence[Site], torch.device, float], Callable[[Observation], Tensor]]
"""(sites, device, share of training that is over) -> a policy for one batch: an observation to one-hot decisions (B, T, D, 3)."""

MIXES: Registry[Mix] = Registry("pretraining mix")


def register_mix(mix: Mix) -> Mix:
    """Record a mix under its function's name; a decorator.

    :raises ValueError: the name is taken
    """
    return MIXES.register(mix)


class PretrainingMix:
    """Decisions of one random policy, for one batch of clips.

    One policy a batch and not one a clip: the batch's BatchNorm statistics are then those of that policy, as they will be
    whenever a policy is judged (``agent/statistics.py``). And one level of skipping for the whole depth, not a rate for each
    clip, frame and site: what is drawn apart at each of many sites compounds until nothing of the signal is left.

    A quarter of each site's channels reuses, the first. The skips of a policy are *nested* (at each site as many channels as
    its rate says, counted from behind that quarter, so that widths share their channels, as in a slimmable network, Yu et
    al., 2019), *masked* (a random choice of channels, the same for all clips) or *scattered* (each decision by itself). What
    is scattered at S sites adds up like noise, so beyond three sites its rate falls with the root of S.

    :param sites: of the backbone
    :param strength: the level of skipping is multiplied by it: 0 never skips
    """

    def __init__(self, sites: Sequence[Site], device: torch.device, strength: float = 1.0) -> None:
        self.sites, self.shallow = sites, SHALLOW
        never, level, kind, always, share = torch.rand(5, device=device).tolist()
        self.level = 0.0 if never < NEVER_SKIP else MAX_SKIP * level * strength
        self.kind = KINDS[int(kind * len(KINDS))]
        self.reused = 1.0 if always < ALWAYS_REUSE else share

    def __call__(self, observation: Observation) -> Tensor:
        """One-hot decisions (B, T, D, 3)."""
        site, device = self.sites[observation.site], observation.v.device
        shape, shifted = (*observation.v.shape[:2], site.decisions), round(site.decisions * REUSE_SHARE)
        channel = torch.arange(site.decisions, device=device)
        reuse = (channel < shifted) & (torch.rand(site.decisions, device=device) < self.reused)
        reuse = reuse ^ (_rand(shape, device) < FLIPPED)
        chosen = torch.where(reuse, Decision.REUSE, Decision.USE)
        return one_hot(
            torch.where(self._skipped(site, shape, (channel - shifted) % site.decisions), Decision.SKIP, chosen)
        )

    def _skipped(self, site: Site, shape: Sequence[int], place: Tensor) -> Tensor:
        """Whether each decision is a skip, (D,) or (B, T, D).

        :param place: (D,) of a channel in the order in which nested policies skip
        """
        spread = 1 - SPREAD + 2 * SPREAD * float(torch.rand((), device=place.device))
        rate = min(self.level * spread, 1.0 if site.shortcut else WITHOUT_SHORTCUT)
        if self.kind == "nested":
            return place < rate * site.decisions
        if self.kind == "masked":
            return torch.rand(site.decisions, device=place.device) < rate
        return _rand(shape, place.device) < rate * min(self.shallow / len(self.sites), 1) ** 0.5


def _rand(shape: Sequence[int], device: torch.device) -> Tensor:
    """Uniform numbers for this rank's clips, which are the first axis."""
    return ranks.drawn(lambda shape: torch.rand(tuple(shape), device=device), shape)


def ramp(done: float) -> float:
    """Strength of skips once this share of training is over.

    At first nothing is skipped: time is learned quickly so, by pretrained weights too, and what was learned is not lost as
    skips come in.
    """
    first, full = RAMP
    return min(max((done - first) / (full - first), 0.0), 1.0)


@register_mix
def random(sites: Sequence[Site], device: torch.device, done: float) -> Callable[[Observation], Tensor]:
    """For agents that will reuse and skip: ``PretrainingMix``, whose skips come in as training goes on."""
    return PretrainingMix(sites, device, ramp(done))


@register_mix
def shift(sites: Sequence[Site], device: torch.device, done: float) -> Callable[[Observation], Tensor]:
    """The same without skips: what the CNN could do if nothing had to be saved."""
    return PretrainingMix(sites, device, 0.0)


@register_mix
def all_use(sites: Sequence[Site], device: torch.device, done: float) -> Callable[[Observation], Tensor]:
    """Frame by frame, as CNNs for pictures are trained (TSN): the control that knows nothing of decisions."""

    def decide(observation: Observation) -> Tensor:
        shape = (*observation.v.shape[:2], sites[observation.site].decisions)
        return one_hot(torch.full(shape, Decision.USE, device=device))

    return decide
