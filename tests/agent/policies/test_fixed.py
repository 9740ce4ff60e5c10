import numpy as np
import pytest
from agent_cases import noise_clips, tiny_backbone, tiny_env

from agent import FIXED, evaluate, fixed_policy
from backbone import Decision
from envs.spaces import StepLayout

SHARES = {  # of use, reuse and skip
    "all use": (1, 0, 0),
    "shift 1/4": (3 / 4, 1 / 4, 0),
    "shift 1/4, skip 1/4": (1 / 2, 1 / 4, 1 / 4),
    "shift 1/4, skip 1/2": (1 / 4, 1 / 4, 1 / 2),
    "random 1/2 use, 1/4 reuse, 1/4 skip": (1 / 2, 1 / 4, 1 / 4),
    "random thirds": (1 / 3, 1 / 3, 1 / 3),
}
RANDOM = [name for name in FIXED if name.startswith("random")]
BLOCKS = [name for name in FIXED if name not in RANDOM]


def judged(name: str, order: str = "site", num_clips: int = 16, seed: int = 0):
    backbone, clips = tiny_backbone(group_size=1), noise_clips(num_clips)
    policy = fixed_policy(name, StepLayout(backbone.sites, clips.num_frames, order))
    return evaluate(policy, backbone, clips, order=order, seed=seed)


def test_every_policy_has_its_shares_here():
    assert set(SHARES) == set(FIXED)


@pytest.mark.parametrize("order", ["site", "frame"])
@pytest.mark.parametrize("name", BLOCKS)
def test_shares_of_blocks_are_exactly_what_the_name_says(name, order):
    np.testing.assert_allclose(judged(name, order).shares, np.tile(SHARES[name], (3, 1)))


@pytest.mark.parametrize("name", RANDOM)
def test_shares_of_random_mixes_are_what_the_name_says(name):
    shares, drawn = judged(name).shares, 16 * 2 * np.array([[16], [32], [64]])
    expected = np.array(SHARES[name])
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / drawn)).all()


def test_blocks_shift_the_first_channels_and_skip_the_next():
    chosen = judged("shift 1/4, skip 1/4").decisions.by_site[0]
    expected = [Decision.REUSE] * 4 + [Decision.SKIP] * 4 + [Decision.USE] * 8
    assert (chosen == expected).all()


def test_all_use_costs_the_dense_cnn():
    np.testing.assert_allclose(judged("all use").macs_ratio, 1.0)


@pytest.mark.parametrize("name", RANDOM)
def test_random_mixes_follow_the_seed_of_the_evaluation(name):
    one, same, other = (judged(name, num_clips=4, seed=seed).decisions.by_site[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_single_observation_is_decided_too():
    env = tiny_env()
    actions, _ = fixed_policy("shift 1/4, skip 1/2", env.layout).predict(env.reset()[0])
    assert env.action_space.contains(actions)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ValueError, match=r"fixed policy among all use, random .*, shift 1/4, shift 1/4, skip 1/2, .*got 'all skip'"
    ):
        fixed_policy("all skip", tiny_env().layout)
