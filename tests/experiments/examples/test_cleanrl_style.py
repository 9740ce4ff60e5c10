import gymnasium
import numpy as np
import pytest
import torch
from agent_cases import tiny_env

from envs import FusionVectorEnv
from experiments.examples.cleanrl_style import train


def tiny(num_envs=32, **kwargs):
    """Three sites on 8 x 8 pixels, one decision for eight channels."""
    single = tiny_env().get_attr("episodes")[0]
    return FusionVectorEnv(num_envs, single.backbone, single.clips, order="site", **kwargs)


def test_return_improves(capsys):
    returns = train(tiny(), updates=60)
    assert np.mean(returns[-10:]) > np.mean(returns[:10]) + 0.1
    assert capsys.readouterr().out.count("mean return") == 6


def test_control_without_a_step_it_does_not():
    returns = train(tiny(), updates=40, learning_rate=0.0)
    assert abs(np.mean(returns[-20:]) - np.mean(returns[:20])) < 0.05


@pytest.mark.parametrize("order", ["site", "frame"])
def test_it_runs_on_the_registered_environment(order):
    env = gymnasium.make_vec("AdaFuse/Fusion-v0", num_envs=4, order=order)
    first, second = (train(env, updates=2) for _ in range(2))
    assert first == second  # the same seed, the same episodes
    assert np.isfinite(first).all()
    env.close()


def test_returns_are_those_of_the_episodes(monkeypatch):
    env, seen = tiny(8), []
    step = env.step

    def watch(action):
        found = step(action)
        if found[2].all():
            seen.append(found[4]["final_info"]["clip"]["reward"])
        return found

    monkeypatch.setattr(env, "step", watch)
    returns = train(env, updates=3)
    rewards = [torch.as_tensor(reward).mean() for reward in seen]
    np.testing.assert_allclose(returns, rewards, atol=1e-5)
