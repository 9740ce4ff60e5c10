"""The yardstick: every registered method's gradient against the exact one, at the same number of rollouts.

N = 30 estimates of 128 rollouts each. Those that estimate the gradient of the expected reward must agree with it in all
of 225 coordinates, those that differentiate through a relaxation must not.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from stable_baselines3 import A2C

from agent import REBAR
from experiments.config import Train
from experiments.gradients.command import PRESETS
from experiments.gradients.problem import Estimator, TinyProblem, initial_gates, make_estimator, repeat
from experiments.gradients.statistics import RESAMPLES, Bias, can_be_told, judge_bias, lacking
from experiments.methods import METHODS, build_method, rollout_env

ESTIMATES, ROLLOUTS = 30, 128
BIASED = ("gumbel", "gumbel_soft", "straight_through", "reinmax")
UNBIASED = sorted(set(METHODS) - {*BIASED, "static"})
ALARM = 1e-3  # of a test that is to pass; the seeds are fixed


@pytest.fixture(scope="module")
def problem():
    return TinyProblem()


@pytest.fixture(scope="module")
def exact(problem):
    return problem.exact_gradient()


def bonferroni(shape: tuple[int, int]) -> float:
    """The limit of Student's t at level 0.01 over all coordinates."""
    return stats.t.isf(0.01 / shape[1] / 2, shape[0] - 1)


def judged(problem: TinyProblem, exact: np.ndarray, method: str, **kwargs) -> Bias:
    torch.manual_seed(0)
    estimator = problem.estimator(method, ROLLOUTS, **kwargs)
    estimator()  # a moving average starts at its first batch, whose own mean must not be its baseline
    return judge_bias(np.stack([estimator() for _ in range(ESTIMATES)]), exact)


@pytest.mark.parametrize("method", UNBIASED)
def test_unbiased_estimators_pass(problem, exact, method):
    found = judged(problem, exact, method)
    assert found.p > ALARM
    assert found.relative < 2 * found.floor


@pytest.mark.parametrize("method", BIASED)
def test_control_relaxations_fail_at_the_same_number_of_rollouts(problem, exact, method):
    found = judged(problem, exact, method)
    assert found.biased
    assert found.p == 1 / (1 + RESAMPLES)  # no resample comes near
    assert found.max_t > 30
    assert found.relative > 0.2


@pytest.mark.parametrize("method", ["reinforce", "ppo"])
@pytest.mark.parametrize("how", [{"order": "frame"}, {"cost_gradient": "sampled"}], ids=["frame", "sampled"])
def test_so_do_other_orders_and_costs(problem, exact, method, how):
    assert judged(problem, exact, method, **how).p > ALARM


def test_rebar_is_unbiased_with_batch_norms_too(monkeypatch):
    """Running statistics are far from the batch's here: read in the batch, gates would be others."""
    problem = TinyProblem(gate_norm="batch")
    for gate in problem.gates.gates:
        gate.norm.running_mean.normal_()
        gate.norm.running_var.uniform_(0.2, 2)
    exact = problem.exact_gradient()
    found = judged(problem, exact, "rebar")
    assert found.p > ALARM
    assert found.relative < 2 * found.floor
    hard_pass = REBAR._hard_pass

    def in_the_batch(model: REBAR, frames: torch.Tensor):
        model.policy.gates.train()
        passed = hard_pass(model, frames)
        model.policy.gates.eval()
        return passed

    monkeypatch.setattr(REBAR, "_hard_pass", in_the_batch)  # control
    assert judged(problem, exact, "rebar").biased


@pytest.mark.parametrize("spread", [False, True], ids=["initial", "perturbed"])
def test_bias_is_told_at_initial_and_perturbed_gates(spread):
    problem = TinyProblem(spread=spread)
    parts, probabilities = problem.parts()
    exact = problem.exact_gradient()
    np.testing.assert_allclose(probabilities @ parts, exact, atol=1e-4 * np.linalg.norm(exact))
    for preset in PRESETS.values():
        lack = lacking(parts, probabilities, preset.exact_estimates * preset.exact_rollouts)
        assert can_be_told(lack, len(exact))


def test_bias_is_not_told_at_nearly_deterministic_gates():
    """The rare decisions that the sample lacks carry much of the gradient: it looks precise, and is wrong."""
    problem = TinyProblem(spread=False, certainty=8)
    exact, lack = problem.exact_gradient(), lacking(*problem.parts(), ESTIMATES * ROLLOUTS)
    torch.manual_seed(0)
    estimator = problem.estimator("reinforce", ROLLOUTS)
    gradients = np.stack([estimator() for _ in range(ESTIMATES)])
    assert judge_bias(gradients, exact, lack=lack).biased is None
    found = judge_bias(gradients, exact)
    assert found.max_t > bonferroni(gradients.shape)  # control: Student's t would call it biased, far beyond doubt
    assert found.max_t > 50


def test_the_reward_is_not_linear_in_the_decisions(problem):
    assert (problem.enumerate().additive_r2() < 0.9).all()


def test_all_joint_decisions_are_few_and_all_coordinates_alive(problem, exact):
    assert problem.enumerate().rewards.shape == (2, 729)
    assert exact.shape == (225,)
    assert (exact != 0).all()
    assert (TinyProblem(spread=False).exact_gradient() != 0).all()


def test_later_decisions_depend_on_earlier_ones(problem):
    """Were they independent, the joint log-probability would be a sum of one term for each decision."""
    every = problem.enumerate()
    as_rewards = type(every)(every.joint, every.log_probs, every.log_probs.detach().double())
    assert (as_rewards.additive_r2() < 0.999).all()


@pytest.mark.parametrize("method", ["reinforce", "gumbel"])
def test_every_batch_holds_each_clip_equally_often(problem, method):
    estimator = problem.estimator(method, 8)
    for _ in range(3):
        assert sorted(estimator.model.env.take_clips()[1].tolist()) == (
            [0, 1] if method == "reinforce" else [0] * 4 + [1] * 4
        )
    assert estimator.rollouts == 8
    assert estimator.rollouts_per_clip == (4 if method == "reinforce" else 1)


def test_estimates_do_not_train(problem):
    estimator = problem.estimator("reinforce_value", 4)
    before = {name: part.clone() for name, part in estimator.model.policy.state_dict().items()}
    for _ in range(3):
        estimator()
    torch.testing.assert_close(estimator.model.policy.state_dict(), before, rtol=0, atol=0)


def test_gates_of_another_shape_are_refused(problem):
    with pytest.raises(ValueError, match="expected gates that all methods share, got others from static"):
        problem.estimator("static", 4)


def test_a_learner_without_an_estimate_is_named(problem):
    model = A2C("MlpPolicy", rollout_env(problem.config, problem.backbone, problem.clips), device="cpu")
    with pytest.raises(ValueError, match=r"expected method mine to be a FusionAlgorithm with sample_loss\(\), got A2C"):
        Estimator("mine", model, problem.gates.state_dict())


def test_initial_gates_are_those_that_training_starts_from(problem):
    config = Train(hidden=4, batch_size=32, device="cpu", seed=7)
    model = build_method(config, problem.backbone, repeat(problem.clips, 4))
    gates = initial_gates(config, problem.backbone)
    torch.testing.assert_close(gates, dict(model.policy.gates.state_dict()), rtol=0, atol=0)
    assert make_estimator(config, problem.backbone, repeat(problem.clips, 16), gates).rollouts == 32
