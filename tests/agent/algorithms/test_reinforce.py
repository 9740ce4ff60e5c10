import numpy as np
import pytest
import torch
from agent_cases import bias_in_standard_errors, build, env_for, learn, tiny_env, weights
from stable_baselines3.common.callbacks import BaseCallback

from agent import BASELINES
from agent.algorithms import rollouts
from agent.estimators.baselines import leave_one_out

BOUND = 4.2  # standard errors; 9 parameters in 50 updates: false alarms below 1 in 1000

REINFORCES = [f"reinforce, {baseline}" for baseline in BASELINES]


class Credits(BaseCallback):
    """Keeps returns, advantages, values and the greedy rows of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[dict] = []

    def _on_training_start(self) -> None:
        credit = self.model._credit

        def keep(*args):
            credit(*args)
            buffer = self.model.rollout_buffer
            parts = ("returns", "advantages", "values", "actions", "observations")
            self.batches.append({name: torch.as_tensor(getattr(buffer, name)).numpy().copy() for name in parts})

        self.model._credit = keep

    def _on_step(self) -> bool:
        return True


def credits(baseline: str, updates: int = 2, **kwargs) -> list[dict]:
    callback = Credits()
    learn(build(f"reinforce, {baseline}", tiny_env(**kwargs)), updates, callback)
    return callback.batches


@pytest.mark.parametrize("method", REINFORCES)
def test_the_gradient_is_unbiased(method):
    assert bias_in_standard_errors(method, "site").abs().max() < BOUND


def test_the_gradient_is_unbiased_in_frame_order():
    assert bias_in_standard_errors("reinforce, leave_one_out", "frame").abs().max() < BOUND


def without_later_cost(rewards: np.ndarray, own_cost: np.ndarray) -> np.ndarray:
    return np.flip(np.cumsum(np.flip(rewards + own_cost, 0), 0), 0)


def test_leaving_out_the_cost_of_later_steps_is_seen_as_bias(monkeypatch):
    monkeypatch.setattr(rollouts, "returns_after", without_later_cost)
    assert bias_in_standard_errors("reinforce, leave_one_out", "frame", updates=40).abs().max() > 2 * BOUND


def test_counting_a_steps_own_cost_twice_is_seen_as_bias(monkeypatch):
    monkeypatch.setattr(rollouts, "returns_after", lambda rewards, own: np.flip(np.cumsum(np.flip(rewards, 0), 0), 0))
    assert bias_in_standard_errors("reinforce, leave_one_out", "site", updates=40).abs().max() > 2 * BOUND


def test_advantages_without_a_baseline_are_the_returns():
    for batch in credits("none"):
        np.testing.assert_array_equal(batch["advantages"][..., 0], batch["returns"])


def test_leave_one_out_compares_a_clips_rollouts():
    for batch in credits("leave_one_out"):
        np.testing.assert_allclose(batch["advantages"][..., 0], leave_one_out(batch["returns"], 4), rtol=1e-6)


def test_the_critic_is_the_value_baseline():
    for batch in credits("value"):
        np.testing.assert_allclose(batch["advantages"][..., 0], batch["returns"] - batch["values"], rtol=1e-6)
        assert (batch["values"] != 0).all()


def test_the_critic_learns_to_predict_returns():
    batches = credits("value", 60)
    errors = [np.square(batch["returns"] - batch["values"]).mean() for batch in batches]
    assert np.mean(errors[-10:]) < 0.2 * errors[0]


def test_the_moving_average_holds_earlier_batches_only():
    batches = credits("moving_average", 3)
    average = batches[0]["returns"].mean(1)  # the first batch has nothing before it
    for batch in batches:
        expected = batch["returns"] - average[:, None]
        np.testing.assert_allclose(batch["advantages"][..., 0], expected, rtol=1e-4, atol=1e-6)
        average = 0.95 * average + 0.05 * batch["returns"].mean(1)


def test_one_advantage_a_step_credits_all_its_decisions():
    for baseline in BASELINES:
        advantages = credits(baseline, 1)[0]["advantages"]
        np.testing.assert_array_equal(advantages, np.broadcast_to(advantages[..., :1], advantages.shape))


def test_the_self_critical_baseline_is_the_clips_first_and_greedy_rollout():
    callback = Credits()
    model = build("reinforce, self_critical")
    untrained = {name: value.clone() for name, value in model.policy.state_dict().items()}
    learn(model, 1, callback)
    (batch,) = callback.batches
    model.policy.load_state_dict(untrained)
    clips = batch["returns"].reshape(3, 2, 4)
    expected = (clips - clips[..., :1]).reshape(3, 8)
    np.testing.assert_allclose(batch["advantages"][..., 0], expected)
    for step in range(3):
        greedy = model.predict(batch["observations"][step], deterministic=True)[0]
        np.testing.assert_array_equal(batch["actions"][step, ::4], greedy[::4])
    assert (batch["advantages"][:, ::4] == 0).all()


@pytest.mark.parametrize("what", ["greedy", "sampled"])
def test_greedy_rollouts_give_no_gradient_and_sampled_ones_do(what):
    """Their observations are replaced by noise before the update: only a row that counts can tell."""

    def spoiled(model):
        train = model.train

        def spoil_and_train():
            rows = model.policy.greedy_rows if what == "greedy" else ~model.policy.greedy_rows
            features = model.rollout_buffer.observations[:, rows.numpy(), :16]
            features = torch.from_numpy(np.random.default_rng(0).random(features.shape, np.float32))
            model.rollout_buffer.observations[:, rows.numpy(), :16] = features
            train()

        model.train = spoil_and_train
        return model

    plain = weights(learn(build("reinforce, self_critical"), 1))
    noisy = weights(learn(spoiled(build("reinforce, self_critical")), 1))
    assert torch.allclose(noisy, plain, atol=1e-6) == (what == "greedy")


@pytest.mark.parametrize("baseline", ["leave_one_out", "self_critical"])
def test_baselines_that_compare_rollouts_need_two(baseline):
    with pytest.raises(ValueError, match=f"rollouts_per_clip of at least 2 for baseline '{baseline}', got 1"):
        build(f"reinforce, {baseline}", tiny_env(rollouts_per_clip=1))


@pytest.mark.parametrize("baseline", ["none", "moving_average", "value"])
def test_other_baselines_take_a_single_rollout(baseline):
    method = f"reinforce, {baseline}"
    untrained = weights(build(method))
    assert not torch.equal(weights(learn(build(method, tiny_env(rollouts_per_clip=1)), 2)), untrained)


def test_an_unknown_baseline_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"leave_one_out, moving_average, none, .*got 'mean'"):
        build("reinforce, mean")


def test_the_entropy_bonus_keeps_decisions_random():
    plain, bonus = (
        learn(build("reinforce, leave_one_out", env_for("ppo", cost_weight=5.0), entropy_coef=coef), 30)
        for coef in (0.0, 5.0)
    )
    found = []
    for model in (plain, bonus):
        observations = torch.from_numpy(model.env.reset())
        found.append(model.policy.get_distribution(observations).entropy().sum().item())
    assert found[0] < 0.9 * found[1]
