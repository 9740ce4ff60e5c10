import numpy as np
import pytest
import torch

from backbone import Decision
from envs import FusionVecEnv
from envs.clips import motions
from envs.fusion_env import default_backbone
from experiments.bench.rollouts import against_pixels, collect, learner
from experiments.gradients.problem import repeat


@pytest.fixture(scope="module")
def source():
    return motions.sample(2, seed=0)


@pytest.fixture(scope="module")
def backbone(source):
    return default_backbone(None, source).requires_grad_(False)


def test_it_measures_a_ratio_against_what_is_wanted(backbone, source):
    found = against_pixels(backbone, source, 3)
    assert found.ratio > 0
    assert found.wanted == "at least 1.15"


def test_both_sides_play_the_same_episodes(backbone, source):
    """The same seed draws the same decisions, and so the rewards must be the same."""
    rewards = []
    for clips, rollouts in ((source, 4), (repeat(source, 4), 1)):
        settings = {"order": "site", "reward": "log_prob", "train": False}
        env = FusionVecEnv(backbone, clips, num_clips=8 // rollouts, rollouts_per_clip=rollouts, **settings)
        model = learner(env)
        torch.manual_seed(1)
        collect(model)
        rewards.append(model.rollout_buffer.rewards)
        assert len(np.unique(model.rollout_buffer.actions)) == len(Decision)
    np.testing.assert_allclose(*rewards, atol=1e-4)
