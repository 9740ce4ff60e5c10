import numpy as np
import pytest

from experiments.statistics import Interval, Resampling, bootstrap, interval, iqm, over_seeds

width = lambda found: found.high - found.low  # noqa: E731


def test_the_interval_holds_the_mean_and_narrows_with_more_clips():
    rng = np.random.default_rng(0)
    few, many = (bootstrap(rng.normal(5, 1, (3, clips))) for clips in (50, 5000))
    assert few.low < few.mean < few.high
    assert width(many) < width(few)


def test_coverage_of_a_known_mean_is_near_its_level():
    rng = np.random.default_rng(1)
    hits = [(lambda i: i.low <= 0 <= i.high)(bootstrap(rng.normal(0, 1, 60), seed=s)) for s in range(60)]
    assert 0.85 <= np.mean(hits) <= 1.0


def test_clips_of_a_cluster_are_drawn_together():
    pairs = np.random.default_rng(2).normal(size=200)
    doubled = np.repeat(pairs, 2)  # each clip's twin says the same: no new information
    alone, naive, clustered = bootstrap(pairs), bootstrap(doubled), bootstrap(doubled, cluster=2)
    assert width(clustered) == pytest.approx(width(alone), rel=0.1)
    assert width(naive) < 0.85 * width(alone)  # the negative control: ignoring the pairs promises too much


def test_seeds_that_differ_widen_the_interval():
    same, different = np.zeros((3, 100)), np.zeros((3, 100)) + np.array([[-1], [0], [1]])
    assert bootstrap(same).high == 0
    assert bootstrap(different).high > 0.3


def test_clips_that_are_hard_for_every_seed_stay_hard_in_a_resample():
    rng = np.random.default_rng(3)
    hard = np.tile(rng.normal(size=200), (5, 1))  # five seeds agree on every clip: no more is known than from one
    assert width(bootstrap(hard)) == pytest.approx(width(bootstrap(hard[:1])), rel=0.1)
    assert width(bootstrap(rng.normal(size=(5, 200)))) < 0.75 * width(bootstrap(hard))


def test_a_cluster_must_divide_the_clips():
    with pytest.raises(ValueError, match="divisible by 2"):
        bootstrap(np.zeros(3), cluster=2)


def test_row_zero_is_the_sample_itself():
    values = np.random.default_rng(4).normal(size=(3, 40))
    means = Resampling(3, 40, cluster=2).means(values)
    np.testing.assert_allclose(means[0], values.mean(1))
    assert means.shape == (2001, 3)


def test_what_two_methods_share_vanishes_from_their_difference():
    rng = np.random.default_rng(5)
    shared = rng.normal(0, 5, (4, 1)) + rng.normal(0, 5, 100)  # luck of the seed and of the clip
    first, second = (shared + rng.normal(0, 0.1, (4, 100)) + gain for gain in (1, 0))
    draws = Resampling(4, 100)
    paired = interval((draws.means(first) - draws.means(second)).mean(-1))
    other = Resampling(4, 100, seed=1)  # the negative control: draws of their own
    apart = interval((draws.means(first) - other.means(second)).mean(-1))
    assert paired.excludes_zero
    assert not apart.excludes_zero
    assert paired.mean == apart.mean == pytest.approx(1, abs=0.1)


def test_infinite_draws_are_ends_of_an_interval_and_unknown_ones_lie_beyond_both():
    draws = np.concatenate([[1.0], np.arange(100) / 100])
    assert interval(draws).high < 1
    draws[-5:] = np.inf
    assert interval(draws) == (1.0, interval(draws).low, np.inf)
    assert interval(draws).low > 0
    draws[-5:] = np.nan
    assert interval(draws) == (1.0, -np.inf, np.inf)


def test_over_seeds_is_the_mean_with_its_range_as_a_bound():
    found = over_seeds([1.0, 2.0, 6.0])
    assert found.mean == 3
    assert 1 <= found.low <= found.high <= 6


def test_intervals_print_and_tell_whether_they_exclude_zero():
    assert f"{Interval(1.0, -0.5, 2.0):.1f}" == "1.0 [-0.5, 2.0]"
    assert f"{Interval(1.0, -0.5, np.inf):.1f}" == "1.0 [-0.5, inf]"
    assert not Interval(1.0, -0.5, 2.0).excludes_zero
    assert Interval(-1.0, -2.0, -0.5).excludes_zero


def test_iqm_is_the_mean_of_the_middle_half_of_all_runs():
    assert iqm(np.array([[0.0, 1, 2, 3], [4, 5, 6, 100]])) == (2 + 3 + 4 + 5) / 4
    assert iqm(np.array([[1.0, 2, 9]])) == 4  # three runs are too few to trim


@pytest.mark.parametrize("runs", [4, 5, 6, 7, 15, 20])
def test_iqm_is_that_of_rliable(runs):
    values = np.random.default_rng(runs).normal(size=(1, runs))
    ordered, cut = sorted(values.ravel()), int(0.25 * runs)  # scipy.stats.trim_mean(values, proportiontocut=0.25)
    assert iqm(values) == pytest.approx(sum(ordered[cut : runs - cut]) / (runs - 2 * cut))


def test_iqm_shrugs_off_one_failed_run_in_four():
    runs = np.full((5, 2, 4), 90.0)
    runs[:, 0, 0] = 10  # one of eight
    assert (iqm(runs) == 90).all()
    assert (runs.mean((1, 2)) < 81).all()
