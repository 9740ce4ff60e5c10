import numpy as np
import pytest
import torch
from agent_cases import tiny_backbone

from agent.pretraining import ALL_SKIP, FLIPPED, MAX_SKIP, NEVER_SKIP, PretrainingMix
from backbone import Decision, Observation

CLIPS, FRAMES = 4000, 2
MEAN_SKIP = ALL_SKIP + (1 - NEVER_SKIP - ALL_SKIP) * MAX_SKIP / 2
MEAN_Q = 0.5 + 0.5 * 0.5


@pytest.fixture(scope="module")
def mixed() -> torch.Tensor:
    """Integer decisions of the last site, (CLIPS, FRAMES, 64)."""
    torch.manual_seed(0)
    sites = tiny_backbone(group_size=1).sites
    mix = PretrainingMix(sites, CLIPS, torch.device("cpu"))
    v = torch.zeros(CLIPS, FRAMES, sites[2].in_channels)
    decisions = mix(Observation(2, v, v, None))
    assert decisions.shape == (CLIPS, FRAMES, 64, 3)
    assert (decisions.sum(-1) == 1).all()
    return decisions.argmax(-1)


def test_skips_come_at_the_documented_mean_rate(mixed):
    assert float((mixed == Decision.SKIP).double().mean()) == pytest.approx(MEAN_SKIP, abs=0.02)


@pytest.mark.parametrize("shifted", [True, False])
def test_reuse_comes_where_and_as_often_as_documented(mixed, shifted):
    channels = mixed[..., :16] if shifted else mixed[..., 16:]
    alive = channels[channels != Decision.SKIP]
    expected = MEAN_Q * (1 - FLIPPED) + (1 - MEAN_Q) * FLIPPED if shifted else FLIPPED
    assert float((alive == Decision.REUSE).double().mean()) == pytest.approx(expected, abs=0.02)


def test_half_the_clips_shift_their_first_quarter_always(mixed):
    channels = mixed[..., :16].flatten(1)
    used = ((channels == Decision.USE).sum(1) / (channels != Decision.SKIP).sum(1).clamp(min=1)).double()
    never_used = float((used < 0.15).double().mean())  # 5% flips alone; else uniform up to 1
    assert never_used == pytest.approx(0.5 + 0.5 * 0.11, abs=0.05)


def test_skip_rates_are_zero_one_or_in_between_by_frame(mixed):
    skipped = (mixed == Decision.SKIP).double().mean(-1).flatten().numpy()
    between = (1 - NEVER_SKIP - ALL_SKIP) * (1 - 0.1**65) / (65 * MAX_SKIP)  # no skip by chance: integral of (1 - q)^64
    assert (skipped == 1).mean() == pytest.approx(ALL_SKIP, abs=0.015)
    assert (skipped == 0).mean() == pytest.approx(NEVER_SKIP + between, abs=0.025)
    in_between = skipped[(skipped > 0) & (skipped < 1)]
    assert np.median(in_between) == pytest.approx(MAX_SKIP / 2, abs=0.05)


def test_skip_rates_of_a_clips_frames_are_drawn_apart(mixed):
    rates = (mixed == Decision.SKIP).double().mean(-1).numpy()
    assert abs(np.corrcoef(rates.T)[0, 1]) < 4.5 / np.sqrt(CLIPS)
