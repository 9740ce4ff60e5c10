"""What is read off fronts over seeds: values, bounds, and what is never subtracted."""

import numpy as np
import pytest
from report_cases import table_of

from experiments.analysis.fronts import hull
from experiments.analysis.statistics import SEEDS, SEEDS_AND_CLIPS
from experiments.comparison.measures import (
    HYPERVOLUME,
    accuracy_measure,
    cost_measure,
    difference,
    figure_of,
    measures_of,
)
from experiments.comparison.tables import Front


def front_of(*seeds, resamples=40, noise=0.0, shift=()):
    """Of each seed its policies (accuracy, cost); ``shift`` is added to accuracy in the first resamples."""
    rng = np.random.default_rng(0)
    points = np.array(seeds, float)  # (S, P, 2)
    accuracy = np.tile(points[..., 0], (resamples + 1, 1, 1)) + noise * rng.normal(size=(resamples + 1, 1, 1))
    accuracy[1 : 1 + len(shift)] += np.array(shift)[:, None, None]
    accuracy[0] = points[..., 0]
    found = hull(accuracy, np.tile(points[..., 1], (resamples + 1, 1, 1)))
    return Front("made", found, tuple(range(len(seeds))), 0.5, 100)


TWO = [(0.9, 0.6), (0.8, 0.2)]
DEARER = [(0.9, 0.7), (0.8, 0.3)]
ACCURATE = [(0.95, 0.6), (0.88, 0.2)]  # its cheapest policy is more accurate than 85%


def test_a_figure_is_the_mean_of_each_seeds_own():
    found = figure_of(front_of(TWO, DEARER), cost_measure(85))
    assert found.value.mean == pytest.approx((0.4 + 0.5) / 2)
    assert (found.value.kind, found.bound, found.reached) == (SEEDS, None, 2)
    assert figure_of(front_of(TWO, DEARER, noise=0.01), cost_measure(85)).value.kind == SEEDS_AND_CLIPS
    assert figure_of(front_of(TWO, DEARER), accuracy_measure(0.4)).value.mean == pytest.approx((85 + 82.5) / 2)


def test_a_difference_is_between_fronts_at_one_accuracy_or_at_one_cost():
    assert difference(front_of(DEARER), front_of(TWO), cost_measure(85)).mean == pytest.approx(0.1)
    assert difference(front_of(DEARER), front_of(TWO), accuracy_measure(0.4)).mean == pytest.approx(-2.5)
    assert difference(front_of(TWO), front_of(TWO), HYPERVOLUME).to_json() == [0, 0, 0]


def test_a_censored_cost_is_a_bound_and_is_never_subtracted():
    for seeds in ((ACCURATE, ACCURATE), (TWO, ACCURATE)):  # of one seed is enough
        found = figure_of(front_of(*seeds), cost_measure(85))
        assert found.value is None
        assert found.bound is not None
        for other in (front_of(TWO, TWO), front_of(ACCURATE, ACCURATE)):
            assert difference(front_of(*seeds), other, cost_measure(85)) is None
            assert difference(other, front_of(*seeds), cost_measure(85)) is None
    assert difference(front_of(TWO, TWO), front_of(DEARER, DEARER), cost_measure(85)) is not None  # the control


def test_an_accuracy_beyond_the_dearest_policy_is_a_bound_and_is_never_subtracted():
    found = figure_of(front_of(TWO, TWO), accuracy_measure(0.65))
    assert (found.value, found.bound) == (None, pytest.approx(90))
    assert difference(front_of(TWO), front_of(DEARER), accuracy_measure(0.65)) is None


def test_what_some_seeds_do_not_reach_has_no_figure():
    both = front_of(TWO, [(0.7, 0.6), (0.6, 0.2)])
    assert figure_of(both, cost_measure(85)) == (None, None, 1, 2)
    assert difference(both, front_of(TWO, TWO), cost_measure(85)) is None
    assert figure_of(both, accuracy_measure(0.1)) == (None, None, 0, 2)


def test_what_hangs_on_the_clips_that_were_drawn_is_not_there():
    barely, hardly_ever = front_of(TWO, shift=[-0.06] * 1), front_of(TWO, shift=[-0.06] * 8)
    assert figure_of(barely, cost_measure(85)).reached == 1  # one resample of forty has no 85%
    assert figure_of(hardly_ever, cost_measure(85)).reached == 0
    accurate = front_of(TWO, shift=[0.06] * 8)
    assert figure_of(accurate, cost_measure(85)).bound == pytest.approx(0.4)


def test_seeds_must_be_the_same_to_be_paired():
    first = front_of(TWO, TWO)
    assert difference(first, first._replace(seeds=(0, 2)), HYPERVOLUME) is None


def test_a_report_reads_hypervolume_then_costs_then_accuracies():
    assert [measure.name for measure in measures_of((90.0,), (0.3,))] == [
        "hypervolume", "cost at 90%", "accuracy % at cost 0.3",
    ]  # fmt: skip
    table = table_of(gumbel=TWO)
    assert table.floor == 0.5
