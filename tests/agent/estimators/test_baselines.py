import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.estimators.baselines import leave_one_out, returns_after

REWARDS = np.array([[-1.0, -10.0], [-2.0, -20.0], [-3.0 + 100.0, -30.0 + 7.0]])  # costs 1, 2, 3 and an outcome
COSTS = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
numbers = st.floats(-100, 100)


def test_returns_after_by_hand():
    expected = [[100.0 - 2 - 3, 7.0 - 20 - 30], [100.0 - 3, 7.0 - 30], [100.0, 7.0]]
    np.testing.assert_allclose(returns_after(REWARDS, COSTS), expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2), numbers)
def test_a_steps_own_cost_leaves_its_return_alone_and_lowers_all_before(step, extra):
    rewards, costs = REWARDS.copy(), COSTS.copy()
    rewards[step] -= extra
    costs[step] += extra
    change = returns_after(rewards, costs) - returns_after(REWARDS, COSTS)
    expected = np.zeros_like(change)
    expected[:step] = -extra
    np.testing.assert_allclose(change, expected, atol=1e-9)


def test_the_outcome_reaches_every_step():
    better = REWARDS.copy()
    better[-1] += 5
    np.testing.assert_allclose(returns_after(better, COSTS) - returns_after(REWARDS, COSTS), 5.0)


def test_leave_one_out_by_hand():
    returns = np.array([[1.0, 2.0, 6.0, 10.0, 10.0, 40.0]])
    expected = [[1 - 4.0, 2 - 3.5, 6 - 1.5, 10 - 25.0, 10 - 25.0, 40 - 10.0]]
    np.testing.assert_allclose(leave_one_out(returns, 3), expected)


@settings(max_examples=30, deadline=None)
@given(arrays(float, (3, 8), elements=numbers), numbers)
def test_leave_one_out_sees_neither_a_clips_level_nor_other_clips(returns, level):
    shifted = returns.copy()
    shifted[:, :4] += level
    np.testing.assert_allclose(leave_one_out(shifted, 4), leave_one_out(returns, 4), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(arrays(float, (3, 8), elements=numbers))
def test_leave_one_out_sums_to_zero_over_each_clip(returns):
    sums = leave_one_out(returns, 4).reshape(3, 2, 4).sum(-1)
    np.testing.assert_allclose(sums, 0, atol=1e-9)


def test_the_baseline_of_a_rollout_does_not_hold_its_own_return():
    returns = np.random.default_rng(0).normal(size=(2, 6))
    baseline = returns - leave_one_out(returns, 3)
    returns[:, 0] += 100
    np.testing.assert_allclose((returns - leave_one_out(returns, 3))[:, 0], baseline[:, 0])


@pytest.mark.parametrize("k", [0, 1])
def test_a_single_rollout_has_no_others(k):
    with pytest.raises(ValueError, match=f"at least 2 rollouts per clip .* got {k}"):
        leave_one_out(np.ones((3, 4)), k)
