"""The ablated mixes differ from the mix in what they leave out."""

import pytest
import torch
from agent_cases import tiny_backbone
from registries import as_before

from agent.pretraining.mix import MIXES, PretrainingMix
from backbone import Decision, Observation

CLIPS, FRAMES = 16, 2
SITES = tiny_backbone(group_size=1).sites


@pytest.fixture(scope="module")
def ablated():
    with as_before():
        from experiments.examples import mixes

        yield mixes


def decided(mix, done: float, seed: int) -> torch.Tensor:
    """Integer decisions at the last of three sites, (CLIPS, FRAMES, D)."""
    torch.manual_seed(seed)
    policy = mix(SITES, torch.device("cpu"), done)
    v = torch.zeros(CLIPS, FRAMES, SITES[2].in_channels)
    return policy(Observation(2, v, v, None)).argmax(-1)


def skips(mix, done: float) -> float:
    return float(
        torch.stack([(decided(mix, done, seed) == Decision.SKIP).double().mean() for seed in range(60)]).mean()
    )


def test_the_ramp_is_what_keeps_skips_away_at_first(ablated):
    assert skips(MIXES["random"], 0.0) == skips(ablated.each_clip, 0.0) == skips(ablated.any_depth, 0.0) == 0
    assert skips(ablated.from_the_start, 0.0) > 0.1
    assert skips(ablated.rates, 0.0) > 0.1


def test_clips_of_a_batch_have_policies_of_their_own(ablated):
    def spread(mix) -> float:
        """How much the share of skips differs between clips of a batch."""
        rates = [(decided(mix, 1.0, seed) == Decision.SKIP).double().mean((-2, -1)).std() for seed in range(20)]
        return float(torch.stack(rates).mean())

    assert spread(ablated.each_clip) > 3 * spread(MIXES["random"])


def test_without_the_rule_for_depth_scattered_skips_are_as_strong_at_any(ablated):
    sites, device = tiny_backbone(group_size=1).sites, torch.device("cpu")
    assert ablated.any_depth(sites * 10, device, 1.0).shallow == 10 * len(sites)
    assert PretrainingMix(sites * 10, device).shallow < 10 * len(sites)
