import numpy as np
import pytest

from experiments.statistics import Interval, bootstrap, over_seeds


def test_the_interval_holds_the_mean_and_narrows_with_more_clips():
    rng = np.random.default_rng(0)
    few, many = (bootstrap(rng.normal(5, 1, (3, clips))) for clips in (50, 5000))
    assert few.low < few.mean < few.high
    assert many.high - many.low < few.high - few.low


def test_coverage_of_a_known_mean_is_near_its_level():
    rng = np.random.default_rng(1)
    hits = [(lambda i: i.low <= 0 <= i.high)(bootstrap(rng.normal(0, 1, 60), seed=s)) for s in range(60)]
    assert 0.85 <= np.mean(hits) <= 1.0


def test_clips_of_a_cluster_are_drawn_together():
    pairs = np.random.default_rng(2).normal(size=200)
    doubled = np.repeat(pairs, 2)  # each clip's twin says the same: no new information
    alone, naive, clustered = bootstrap(pairs), bootstrap(doubled), bootstrap(doubled, cluster=2)
    width = lambda i: i.high - i.low  # noqa: E731
    assert width(clustered) == pytest.approx(width(alone), rel=0.1)
    assert width(naive) < 0.85 * width(alone)  # the negative control: ignoring the pairs promises too much


def test_seeds_that_differ_widen_the_interval():
    same, different = np.zeros((3, 100)), np.zeros((3, 100)) + np.array([[-1], [0], [1]])
    assert bootstrap(same).high == 0
    assert bootstrap(different).high > 0.3


def test_a_cluster_must_divide_the_clips():
    with pytest.raises(ValueError, match="divisible by 2"):
        bootstrap(np.zeros(3), cluster=2)


def test_over_seeds_is_the_mean_with_its_range_as_a_bound():
    interval = over_seeds([1.0, 2.0, 6.0])
    assert interval.mean == 3
    assert 1 <= interval.low <= interval.high <= 6


def test_intervals_print_and_tell_whether_they_exclude_zero():
    assert f"{Interval(1.0, -0.5, 2.0):.1f}" == "1.0 [-0.5, 2.0]"
    assert not Interval(1.0, -0.5, 2.0).excludes_zero
    assert Interval(-1.0, -2.0, -0.5).excludes_zero
