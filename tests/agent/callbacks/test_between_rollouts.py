import pytest
from agent_cases import build, learn

from agent.callbacks.between_rollouts import effort


@pytest.mark.parametrize(
    ("method", "rollouts_per_clip", "updates"), [("reinforce, leave_one_out", 4, 1), ("ppo", 4, 4), ("gumbel", 1, 1)]
)
def test_effort_counts_rollouts_the_clips_drawn_for_them_and_updates(method, rollouts_per_clip, updates):
    model = learn(build(method), 3)
    rollouts = 3 * model.env.num_envs
    assert effort(model) == {"rollouts": rollouts, "clips_drawn": rollouts // rollouts_per_clip, "updates": 3 * updates}
