"""Properties of fronts: hand-computed areas, a brute-force grid, and what must not change them."""

import numpy as np
import pytest

from experiments.comparison.fronts import best_within, cost_at, hypervolume

FLOOR = 0.5


def some_fronts(count=50, policies=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.4, 1, (count, policies)), rng.uniform(0, 1.1, (count, policies))


def test_hypervolume_of_a_staircase_computed_by_hand():
    accuracy, cost = np.array([0.9, 0.7]), np.array([0.5, 0.2])
    assert hypervolume(accuracy, cost, FLOOR) == pytest.approx(0.2 * 0.3 + 0.4 * 0.5)
    assert hypervolume(np.array([1.0]), np.array([0.0]), FLOOR) == 0.5


def test_what_lies_beyond_the_reference_point_counts_for_nothing():
    assert hypervolume(np.array([0.99, 0.4]), np.array([1.2, 0.1]), FLOOR) == 0


def test_hypervolume_is_the_area_that_a_grid_counts():
    accuracy, cost = some_fronts(20)
    middles = (np.arange(400) + 0.5) / 400
    a, c = 0.5 + middles[:, None] / 2, middles[None, :]
    for front, costs in zip(accuracy, cost):
        covered = np.any([(a <= x) & (c >= y) for x, y in zip(front, costs)], axis=0)
        assert hypervolume(front, costs, FLOOR) == pytest.approx(0.5 * covered.mean(), abs=0.005)


def test_a_dominated_policy_changes_nothing():
    accuracy, cost = some_fronts()
    worse = np.concatenate([accuracy, accuracy[:, :1] - 0.05], 1), np.concatenate([cost, cost[:, :1] + 0.05], 1)
    np.testing.assert_allclose(hypervolume(*worse, FLOOR), hypervolume(accuracy, cost, FLOOR), atol=1e-12)
    np.testing.assert_allclose(cost_at(*worse, 0.8), cost_at(accuracy, cost, 0.8))


def test_better_policies_have_more_volume_and_reach_an_accuracy_at_less_cost():
    accuracy, cost = some_fronts()
    for better in ((accuracy + 0.02, cost), (accuracy, cost - 0.02)):
        assert (hypervolume(*better, FLOOR) >= hypervolume(accuracy, cost, FLOOR)).all()
        assert (cost_at(*better, 0.8) <= cost_at(accuracy, cost, 0.8)).all()


@pytest.mark.parametrize("measure", [lambda a, c: hypervolume(a, c, FLOOR), lambda a, c: cost_at(a, c, 0.8)])
def test_the_order_of_policies_does_not_matter(measure):
    accuracy, cost = some_fronts()
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(measure(accuracy[:, order], cost[:, order]), measure(accuracy, cost))


def test_the_area_under_the_staircase_is_the_hypervolume():
    accuracy, cost = some_fronts()
    budgets = (np.arange(4000) + 0.5) / 4000
    area = (best_within(accuracy, cost, budgets, FLOOR) - FLOOR).mean(-1)
    np.testing.assert_allclose(area, hypervolume(accuracy, cost, FLOOR), atol=1e-3)


def test_cost_between_two_policies_is_that_of_their_mixture():
    accuracy, cost = np.array([0.9, 0.8]), np.array([0.6, 0.2])
    assert cost_at(accuracy, cost, 0.85) == pytest.approx(0.4)
    assert cost_at(accuracy, cost, 0.9) == pytest.approx(0.6)


def test_a_mixture_passes_below_a_policy_that_is_not_on_the_hull():
    accuracy, cost = np.array([0.9, 0.85, 0.8]), np.array([0.6, 0.55, 0.2])
    assert cost_at(accuracy, cost, 0.85) == pytest.approx(0.4)


def test_nothing_is_extrapolated():
    accuracy, cost = np.array([0.9, 0.8]), np.array([0.6, 0.2])
    assert cost_at(accuracy, cost, 0.95) == np.inf
    assert cost_at(accuracy, cost, 0.7) == 0.2


def test_cost_at_an_accuracy_is_the_least_over_a_grid_of_mixtures():
    accuracy, cost = some_fronts(10)
    shares = np.linspace(0, 1, 2001)
    for front, costs in zip(accuracy, cost):
        mixed = [(s * front[i] + (1 - s) * front[j], s * costs[i] + (1 - s) * costs[j])
                 for i in range(4) for j in range(4) for s in (shares,)]  # fmt: skip
        found = min((c[a >= 0.75].min(initial=np.inf) for a, c in mixed), default=np.inf)
        assert cost_at(front, costs, 0.75) == pytest.approx(found, abs=2e-3)
