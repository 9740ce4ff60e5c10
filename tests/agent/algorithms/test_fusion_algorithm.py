import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from agent_cases import (
    ALGORITHMS,
    METHODS,
    build,
    env_for,
    greedy_cost,
    learn,
    noise_clips,
    play,
    tiny_backbone,
    weights,
)
from litter import expect_none
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from torch import nn

from agent import GateOptions, evaluate
from agent.algorithms.fusion_algorithm import MAX_NORM_RATIO, WARM_UP_UPDATES, GradientWatch, check_env


def watched(gradients: list[torch.Tensor], learning_rate: float = 1.0) -> tuple[GradientWatch, nn.Parameter]:
    """Step along these gradients by plain gradient descent from zero."""
    parameter = nn.Parameter(torch.zeros_like(gradients[0]))
    optimizer, watch = torch.optim.SGD([parameter], lr=learning_rate), GradientWatch()
    optimizer.register_step_pre_hook(watch)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return watch, parameter


@pytest.mark.parametrize("updates", [1, 3, 200])
def test_noise_of_constant_gradients_is_zero(updates):
    watch, _ = watched([torch.tensor([3.0, 4.0]) / 10] * updates)
    assert watch.noise == pytest.approx(0, abs=1e-5)


def test_noise_of_independent_gradients_is_near_one():
    watch, _ = watched(list(torch.randn(200, 1000, generator=torch.Generator().manual_seed(0)) / 100))
    assert 0.95 < watch.noise < 1


def test_noise_lies_in_between_where_gradients_share_a_direction():
    noise = torch.randn(200, 1000, generator=torch.Generator().manual_seed(0)) / 1000**0.5
    watch, _ = watched(list(noise + 1 / 1000**0.5))  # as much signal as noise
    assert watch.noise == pytest.approx(0.5, abs=0.05)


def test_noise_without_an_update_is_zero():
    assert GradientWatch().noise == 0


@pytest.mark.parametrize("usual", [0.01, 1.0, 100.0])
def test_outliers_are_cut_in_length_alone_and_what_is_one_depends_on_the_method(usual):
    direction, long = torch.tensor([0.6, -0.8]), 2 * MAX_NORM_RATIO
    usually = [usual * direction] * WARM_UP_UPDATES
    watch, parameter = watched([*usually, long * usual * direction])
    torch.testing.assert_close(parameter.detach(), -(WARM_UP_UPDATES + MAX_NORM_RATIO) * usual * direction)
    assert watch.norms[-1] == pytest.approx(long * usual)  # what is logged is the length before
    assert (watch.counts["updates"], watch.counts["clipped"]) == (WARM_UP_UPDATES + 1, 1)


def test_what_is_no_outlier_passes_and_so_does_everything_at_first():
    gradients = [torch.tensor([length, 0.0]) for length in (1.0, 90.0, 2.0)]
    watch, parameter = watched(gradients)
    assert float(parameter.detach()[0]) == -93
    assert watch.counts["clipped"] == 0


def test_gradients_of_zero_do_not_freeze_what_follows():
    _, parameter = watched([torch.zeros(2)] * (WARM_UP_UPDATES + 2) + [torch.ones(2)] * 5)
    assert (parameter < -4).all()


def test_noisy_gradients_of_any_scale_are_cut_equally_often():
    noise = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)).pow(3)  # heavy tails
    few, many = (watched(list(scale * noise))[0].counts["clipped"] for scale in (1e-3, 1e3))
    assert few == many > 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_moves_nothing_and_is_told(value):
    parameter, critic = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    optimizer, watch = torch.optim.SGD([parameter, critic], lr=1.0), GradientWatch([parameter])
    optimizer.register_step_pre_hook(watch)
    watch.check()
    for gradients in ([1.0, value], [2.0]), ([1.0, 2.0], [value]):
        parameter.grad, critic.grad = map(torch.tensor, gradients)
        optimizer.step()
        assert (parameter == 0).all()
        assert critic == 0
    with pytest.raises(ValueError, match=r"^expected a finite gradient, got (nan|inf): lower the learning rate"):
        watch.check()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_stops_at_a_gradient_that_is_not_finite(method):
    model = build(method)
    with torch.no_grad():
        model.policy.gates.gates[0].layers.out.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="finite gradient"):
        learn(model, 1)


def test_parameters_without_a_gradient_count_as_zero():
    one, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))
    optimizer, watch = torch.optim.SGD([one, other], lr=1.0), GradientWatch()
    optimizer.register_step_pre_hook(watch)
    for gradients in ((torch.ones(2), None), (torch.ones(2), torch.ones(3)), (None, torch.ones(3))):
        one.grad, other.grad = gradients
        optimizer.step()
    assert list(watch.norms) == pytest.approx([2**0.5, 5**0.5, 3**0.5])


class Foreign(gym.Env):
    observation_space, action_space = gym.spaces.Box(0, 1, (2,)), gym.spaces.Discrete(3)

    def reset(self, **kwargs):
        return np.zeros(2, np.float32), {}


@pytest.mark.parametrize("method", ALGORITHMS)
def test_a_foreign_environment_is_named(method):
    with pytest.raises(ValueError, match=r"expected a FusionVecEnv .*, got DummyVecEnv"):
        build(method, DummyVecEnv([Foreign]))


def test_an_environment_of_another_order_is_refused_where_the_order_matters():
    env = env_for("ppo", order="frame")
    check_env(env)
    with pytest.raises(ValueError, match="expected an environment with order='site', got 'frame'"):
        check_env(env, order="site")


@pytest.mark.parametrize("method", ALGORITHMS)
def test_a_wrapped_environment_will_do(method):
    env = VecMonitor(env_for(method))
    model = learn(build(method, env), 1)
    assert model.rollouts == env.num_envs


@pytest.mark.parametrize("method", METHODS)
def test_rollouts_count_every_rollout(method):
    model = learn(build(method), 3)
    assert model.rollouts == 3 * model.env.num_envs
    assert model.num_timesteps == model.rollouts * model.layout.num_steps


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("verbose", [0, 1])
def test_a_method_without_a_logger_writes_no_file_and_prints_only_if_asked(
    method, verbose, capsys, temporary_directory
):
    learn(build(method, verbose=verbose), 2)
    expect_none(temporary_directory)
    assert ("gradient_norm" in capsys.readouterr().out) == bool(verbose)


def test_a_given_logger_stays(tmp_path):
    model, logger = build("ppo"), configure(str(tmp_path), ["csv"])
    model.set_logger(logger)
    assert learn(model, 1).logger is logger
    assert "rollout/cost" in (tmp_path / "progress.csv").read_text()


@pytest.mark.parametrize("method", METHODS)
def test_training_twice_gives_identical_weights(method):
    clips = noise_clips(stored=5)
    first, second = (weights(learn(build(method, env_for(method, clips=clips)), 4)) for _ in range(2))
    assert torch.equal(first, second)
    other = weights(learn(build(method, env_for(method, clips=clips), seed=1), 4))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("method", METHODS)
def test_training_moves_the_gates_and_nothing_of_the_backbone(method):
    backbone = tiny_backbone()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    model = build(method, env_for(method, backbone))
    untrained = weights(model)
    learn(model, 3)
    assert not torch.equal(weights(model), untrained)
    assert not backbone.training
    assert not any(module.training for module in backbone.modules())
    torch.testing.assert_close(backbone.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_statistics_of_gates_move_in_training_and_not_in_evaluation(method):
    model = build(method, policy_kwargs={"gate": GateOptions(norm="batch")})
    fresh = {name: value.clone() for name, value in model.policy.gates.named_buffers()}
    learn(model, 3)
    learned = {name: value.clone() for name, value in model.policy.gates.named_buffers()}
    assert not any(torch.equal(fresh[name], learned[name]) for name in fresh)
    assert not model.policy.gates.training
    episodes = model.env.get_attr("episodes")[0]
    first, second = (evaluate(model, episodes.backbone, episodes.clips, order=model.layout.order) for _ in range(2))
    for one, other in (
        (first.log_prob, second.log_prob),
        *zip(first.decisions.by_site, second.decisions.by_site, strict=True),
    ):
        np.testing.assert_array_equal(one, other)
    torch.testing.assert_close(dict(model.policy.gates.named_buffers()), learned, rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_saved_and_loaded_by_stable_baselines3_decides_the_same(method, tmp_path):
    env = env_for(method)
    model = learn(build(method, env, policy_kwargs={"gate": GateOptions(hidden=5, norm="batch", shared=True)}), 3)
    observations = play(env)[0].reshape(-1, *env.observation_space.shape)
    model.save(tmp_path / "model.zip")
    for where in (None, env):
        loaded = type(model).load(tmp_path / "model.zip", env=where, device="cpu")
        torch.testing.assert_close(weights(loaded), weights(model), rtol=0, atol=0)
        for found, expected in zip(
            loaded.predict(observations, deterministic=True), model.predict(observations, deterministic=True)
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_loaded_by_stable_baselines3_trains_on_as_the_saved_one(method, tmp_path):
    results = []
    for reload in (False, True):
        model = learn(build(method), 2)
        if reload:
            model.save(tmp_path / "model.zip")
            model = type(model).load(tmp_path / "model.zip", env=env_for(method), device="cpu")
        model.set_random_seed(7)
        results.append(weights(learn(model, 2)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_a_critics_gradient_is_neither_measured_nor_clipped():
    gate, critic = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer, watch = torch.optim.SGD([gate, critic], lr=1.0), GradientWatch([gate])
    optimizer.register_step_pre_hook(watch)
    gate.grad, critic.grad = torch.tensor([0.6, 0.8]), torch.tensor([100.0, 0.0])
    optimizer.step()
    assert list(watch.norms) == [pytest.approx(1.0)]
    torch.testing.assert_close(gate.detach(), -torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(critic.detach(), -torch.tensor([100.0, 0.0]))
    critic.grad = torch.tensor([math.nan, 0.0])
    optimizer.step()
    with pytest.raises(ValueError, match="finite gradient"):
        watch.check()


@pytest.mark.parametrize(
    ("method", "order", "options"),
    [
        *((method, "site", {}) for method in METHODS),
        ("reinforce, leave_one_out", "frame", {}),
        ("ppo", "frame", {}),
        ("gumbel", "site", {"static": True}),
        *((method, "site", {"norm": "batch"}) for method in ALGORITHMS),
    ],
)
def test_where_computing_never_pays_every_method_learns_to_skip(method, order, options):
    env = env_for(method, order=order, num_clips=6, rollouts_per_clip=8, cost_weight=20.0)
    model = build(method, env, learning_rate=0.03, policy_kwargs={"gate": GateOptions(**options)})
    assert greedy_cost(model) > 0.5
    learn(model, 40 if method in ("ppo", "gumbel") else 80)
    floor = (sum(env.ledger.fixed_macs) + sum(model.policy.agent_macs)) / env.ledger.dense_macs
    assert greedy_cost(model) < floor + 0.1
