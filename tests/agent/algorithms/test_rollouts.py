import numpy as np
import pytest
import torch
from agent_cases import build, env_for, learn, noise_clips, tiny_env
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor

from agent.estimators.baselines import returns_after
from agent.estimators.cost import step_cost
from backbone import one_hot

METHODS = ("reinforce, leave_one_out", "ppo")
ORDERS = ("site", "frame")


def collected(method: str, **kwargs):
    """A model with one batch of rollouts in its buffer and no update made."""
    model = build(method, tiny_env(**kwargs))
    model.train = lambda: None
    return learn(model, 1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_one_whole_episode_of_every_row(method, order):
    model = collected(method, order=order)
    starts = model.rollout_buffer.episode_starts
    assert len(starts) == model.layout.num_steps
    assert (starts[0] == 1).all()
    assert (starts[1:] == 0).all()
    sites = model.all_rows()[0].site.reshape(starts.shape)
    np.testing.assert_array_equal(sites, np.arange(len(starts))[:, None].repeat(8, 1) % 3)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", METHODS)
def test_returns_are_the_rewards_to_come_without_the_steps_own_cost(method, order):
    model = collected(method, order=order, cost_weight=2.5)
    taken = one_hot(model.all_rows()[1])
    paid = step_cost(model.ledger, model.layout, taken, taken).reshape(model.rollout_buffer.rewards.shape)
    expected = returns_after(model.rollout_buffer.rewards, 2.5 * paid.numpy())
    np.testing.assert_allclose(model.rollout_buffer.returns, expected, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_last_steps_return_is_the_outcome_alone(method):
    model = collected(method, cost_weight=2.5)
    outcomes = [info["clip"]["log_prob"] for info in model.last_infos]
    np.testing.assert_allclose(model.rollout_buffer.returns[-1], outcomes, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_rows_play_their_clips_side_by_side(method):
    clips = [info["clip"]["clip"] for info in collected(method).last_infos]
    assert clips[0] != clips[4]
    assert clips == [clips[0]] * 4 + [clips[4]] * 4


def test_samples_keep_log_probabilities_and_advantages_per_decision():
    model = collected("ppo")
    width = model.action_space.shape[0]
    for sample in model.rollout_buffer.get(8):
        assert sample.old_log_prob.shape == sample.advantages.shape == sample.actions.shape == (8, width)
        assert sample.returns.shape == (8,)
        _, log_prob, _ = model.policy.evaluate_actions(sample.observations, sample.actions)
        torch.testing.assert_close(log_prob, sample.old_log_prob)  # columns of a row stayed together


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_can_stop_training_amid_a_rollout(method):
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps < 8

    model = learn(build(method), 5, Stop())
    assert model.num_timesteps == 8
    assert model._n_updates == 0


@pytest.mark.parametrize("method", METHODS)
def test_later_batches_deal_other_clips(method):
    model = build(method, env_for(method, clips=noise_clips(4)))
    seen = []
    for _ in range(2):
        learn(model, 1, reset_num_timesteps=not seen)
        seen += [info["clip"]["clip"] for info in model.last_infos[::4]]
    assert sorted(seen) == [0, 1, 2, 3]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "reinforce, value", "reinforce, self_critical", "ppo"])
def test_what_stays_on_the_device_is_what_passes_through_numpy(method, order):
    buffers, facts = [], []
    for wrap in (lambda env: env, VecMonitor):  # behind a wrapper the loop is stable-baselines3's own
        model = build(method, wrap(tiny_env(order=order, cost_weight=2.5)))
        model.train = lambda: None
        buffers.append(learn(model, 2).rollout_buffer)
        facts.append([info["clip"] for info in model.last_infos])
    for name in ("actions", "log_probs", "rewards", "returns", "values", "advantages", "episode_starts"):
        one, other = (torch.as_tensor(getattr(buffer, name)) for buffer in buffers)
        torch.testing.assert_close(one, other, msg=name)
    assert facts[0] == [{**clip, "reward": pytest.approx(clip["reward"], rel=1e-12)} for clip in facts[1]]
