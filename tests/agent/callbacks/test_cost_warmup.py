import numpy as np
import pytest
from agent_cases import METHODS, build, env_for, learn
from callback_cases import Each

from agent.callbacks.cost_warmup import CostWarmup


@pytest.mark.parametrize("method", METHODS)
def test_the_cost_weight_rises_linearly_then_stays(method):
    seen = []
    env = env_for(method, cost_weight=99.0)
    learn(build(method, env), 8, [CostWarmup(3.0, 0.5), Each(lambda model: seen.append(model.reward.cost_weight))])
    np.testing.assert_allclose(seen, [0, 0.75, 1.5, 2.25, 3, 3, 3, 3])


def test_without_warmup_the_cost_weight_is_constant():
    seen = []
    learn(build("ppo"), 3, [CostWarmup(3.0, 0.0), Each(lambda model: seen.append(model.reward.cost_weight))])
    assert seen == [3, 3, 3]


def test_the_warmed_up_weight_is_what_rewards_charge():
    model = learn(build("ppo", env_for("ppo", cost_weight=99.0)), 1, CostWarmup(3.0, 0.5))
    assert (model.rollout_buffer.rewards[:-1] == 0).all()
