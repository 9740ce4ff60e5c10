"""Properties of fronts: areas by hand, a brute-force grid of mixtures, and what must not change them."""

import numpy as np
import pytest

from experiments.analysis.fronts import accuracy_at, cost_at, hull, hypervolume

FLOOR = 0.5


def some_policies(count=50, policies=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.4, 1, (count, policies)), rng.uniform(0, 1.1, (count, policies))


def front(*points):
    """Of policies (accuracy, cost)."""
    return hull(*map(np.array, zip(*points)))


def best_mixture(accuracy, cost, budgets):
    """(G,) by brute force: the best of all policies and pairs of them within each budget, -inf where there is none."""
    shares = np.linspace(0, 1, 401)[:, None, None]
    mixed_a, mixed_c = (
        (shares * v[:, None] + (1 - shares) * v).ravel()[:, None] for v in (accuracy, cost)
    )  # every pair
    return np.where(mixed_c <= budgets, mixed_a, -np.inf).max(0)


def test_the_hull_goes_from_the_cheapest_to_the_most_accurate_and_leaves_out_what_mixtures_beat():
    found = front((0.9, 0.6), (0.8, 0.2), (0.82, 0.4), (0.7, 0.3), (0.75, 0.2))
    np.testing.assert_allclose(found.accuracy, [0.8, 0.9, 0.9, 0.9, 0.9])
    np.testing.assert_allclose(found.cost, [0.2, 0.6, 0.6, 0.6, 0.6])


def test_hypervolume_by_hand():
    two = front((0.9, 0.6), (0.7, 0.2))
    assert hypervolume(two, FLOOR) == pytest.approx(0.4 * (0.2 + 0.4) / 2 + 0.4 * 0.4)
    assert hypervolume(front((0.9, 0.6), (0.4, 0.1)), FLOOR) == pytest.approx(0.4 * 0.4 / 2 + 0.4 * 0.4)  # from 0.2 on
    assert hypervolume(front((0.9, 1.4), (0.7, 0.6)), FLOOR) == pytest.approx(0.4 * (0.2 + 0.3) / 2)  # up to cost 1
    assert hypervolume(front((1.0, 0.0)), FLOOR) == 0.5
    assert hypervolume(front((0.99, 1.2)), FLOOR) == hypervolume(front((0.4, 0.1)), FLOOR) == 0


def test_figures_are_those_of_a_grid_of_mixtures():
    accuracy, cost = some_policies(20)
    budgets = (np.arange(400) + 0.5) / 400
    for a, c in zip(accuracy, cost):
        best, one = best_mixture(a, c, budgets), hull(a, c)
        assert hypervolume(one, FLOOR) == pytest.approx(np.maximum(best - FLOOR, 0).mean(), abs=0.003)
        read = np.array([accuracy_at(one, budget).value for budget in budgets])
        assert (np.isnan(read) == np.isinf(best)).all()
        np.testing.assert_allclose(read[~np.isnan(read)], best[np.isfinite(best)], atol=0.01)
        reaching = np.flatnonzero(best >= 0.8)
        if len(reaching) and not cost_at(one, 0.8).bound:
            assert cost_at(one, 0.8).value == pytest.approx(budgets[reaching[0]], abs=0.01)


def test_tossing_a_coin_between_ones_own_policies_gains_nothing():
    accuracy, cost = some_policies()
    mixed = [np.concatenate([v, (v[:, :1] + v[:, 1:2]) / 2], 1) for v in (accuracy, cost)]
    np.testing.assert_allclose(hypervolume(hull(*mixed), FLOOR), hypervolume(hull(accuracy, cost), FLOOR), atol=1e-12)
    best, costs = np.maximum.accumulate(np.array([0.7, 0.9])), np.array([0.2, 0.6, 1.0])  # the negative control:
    staircase = ((best - FLOOR) * np.diff(costs)).sum()  # without mixtures a coin is worth something
    with_coin = ((np.array([0.7, 0.8, 0.9]) - FLOOR) * np.diff([0.2, 0.4, 0.6, 1.0])).sum()
    assert with_coin > staircase + 0.01


def test_a_policy_that_is_worse_changes_nothing():
    accuracy, cost = some_policies()
    worse = np.concatenate([accuracy, accuracy[:, :1] - 0.05], 1), np.concatenate([cost, cost[:, :1] + 0.05], 1)
    before, after = hull(accuracy, cost), hull(*worse)
    np.testing.assert_allclose(hypervolume(after, FLOOR), hypervolume(before, FLOOR), atol=1e-12)
    np.testing.assert_allclose(cost_at(after, 0.8).value, cost_at(before, 0.8).value)
    np.testing.assert_allclose(accuracy_at(after, 0.4).value, accuracy_at(before, 0.4).value)


def test_better_policies_have_more_volume_and_reach_an_accuracy_at_less_cost():
    accuracy, cost = some_policies()
    before = hull(accuracy, cost)
    for better in (hull(accuracy + 0.02, cost), hull(accuracy, cost - 0.02)):
        assert (hypervolume(better, FLOOR) >= hypervolume(before, FLOOR)).all()
        known = ~np.isnan(cost_at(before, 0.8).value)
        assert (cost_at(better, 0.8).value[known] <= cost_at(before, 0.8).value[known]).all()


@pytest.mark.parametrize(
    "measure",
    [
        lambda a, c: hypervolume(hull(a, c), FLOOR),
        lambda a, c: cost_at(hull(a, c), 0.8).value,
        lambda a, c: accuracy_at(hull(a, c), 0.4).value,
    ],
)
def test_the_order_of_policies_does_not_matter(measure):
    accuracy, cost = some_policies()
    order = [2, 0, 3, 5, 1, 4]
    np.testing.assert_allclose(measure(accuracy[:, order], cost[:, order]), measure(accuracy, cost), atol=1e-12)


def test_between_two_policies_their_mixture_is_read():
    two = front((0.9, 0.6), (0.8, 0.2))
    assert cost_at(two, 0.85) == (pytest.approx(0.4), False)
    assert accuracy_at(two, 0.4) == (pytest.approx(0.85), False)
    assert cost_at(two, 0.9) == (pytest.approx(0.6), False)  # at its ends a front has values
    assert cost_at(two, 0.8) == (pytest.approx(0.2), False)
    assert accuracy_at(two, 0.6) == (pytest.approx(0.9), False)


def test_a_dearer_policy_that_is_no_better_makes_what_is_below_its_cost_known():
    three = hull(np.array([0.9, 0.8, 0.85]), np.array([0.6, 0.2, 0.8]))
    assert accuracy_at(three, 0.7) == (pytest.approx(0.9), False)
    assert accuracy_at(three, 0.81) == (pytest.approx(0.9), True)


def test_a_front_that_ends_gives_a_bound_or_nothing():
    two = front((0.9, 0.6), (0.8, 0.2))
    assert np.isnan(cost_at(two, 0.95).value)
    assert cost_at(two, 0.7) == (0.2, True)  # at most
    assert np.isnan(accuracy_at(two, 0.1).value)
    assert accuracy_at(two, 0.7) == (pytest.approx(0.9), True)  # at least


def test_equal_policies_are_one():
    same = front((0.8, 0.3), (0.8, 0.3), (0.8, 0.3))
    assert hypervolume(same, FLOOR) == pytest.approx(0.3 * 0.7)
    assert cost_at(same, 0.8) == (0.3, False)


def test_each_front_may_be_read_at_a_budget_of_its_own():
    fronts, budgets = hull(*some_policies()), np.linspace(0.0, 1.2, len(some_policies()[0]))
    found = accuracy_at(fronts, budgets)
    for row, budget in enumerate(budgets):
        alone = accuracy_at(type(fronts)(*(part[row] for part in fronts)), budget)
        np.testing.assert_array_equal((found.value[row], found.bound[row]), alone)
