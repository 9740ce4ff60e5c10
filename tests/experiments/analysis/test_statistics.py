"""What intervals promise: that they cover, that they hold their estimate, and what many claims cost. All simulated."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from scipy import stats

from experiments.analysis.fronts import hull, hypervolume
from experiments.analysis.statistics import (
    CLIPS,
    EXACT,
    SEEDS,
    SEEDS_AND_CLIPS,
    ClipDraws,
    Interval,
    holm,
    interval,
    over_classes,
    over_clips,
    over_seeds,
    percentiles,
    share_over_clips,
    units_of,
)

UNITS = 100
DRAWS = ClipDraws(UNITS, resamples=200)


def covers(found: Interval, truth: float) -> bool:
    return found.low <= truth <= found.high


def two_way(rng, seeds, *, of_seed, of_clip, of_both, sets=1):
    """(sets * S, N) normal values of true mean zero: the seed's luck, the clip's, and the luck of a seed with a clip."""
    rows, columns = rng.normal(0, of_seed, (sets, seeds, 1)), rng.normal(0, of_clip, (sets, 1, UNITS))
    return (rows + columns + of_both * rng.standard_normal((sets, seeds, UNITS))).reshape(-1, UNITS)


# -- coverage ----------------------------------------------------------------------------------------------------------

SETS = 8000
SPREADS = {"seeds decide": 0.3, "clips as well": 3.0}


def simulated(seeds: int, of_clip: float) -> np.ndarray:
    """(R + 1, sets, S) figures whose true mean is zero."""
    rng = np.random.default_rng(seeds)
    return DRAWS.means(two_way(rng, seeds, of_seed=0.3, of_clip=of_clip, of_both=1, sets=SETS)).reshape(-1, SETS, seeds)


def variances(figures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R + 1, sets, S) -> (sets,) of the mean over seeds: what is due to seeds, and to clips."""
    return figures[0].var(-1, ddof=1) / figures.shape[-1], figures[1:].mean(-1).var(0)


def added_as_squares(figures: np.ndarray) -> np.ndarray:
    """Half the width of each set's ``interval``, for all sets at once."""
    of_seeds, of_clips = variances(figures)
    degrees = figures.shape[-1] - 1, UNITS - 1
    half = np.hypot(*(stats.t.isf(0.025, n) * part**0.5 for n, part in zip(degrees, (of_seeds, of_clips))))
    for place in range(20):
        found = interval(figures[:, place], units=UNITS)
        assert found.high - found.mean == pytest.approx(half[place])
    return half


def welch_satterthwaite(figures: np.ndarray) -> np.ndarray:
    """The same by one Student's t with the usual degrees of freedom."""
    of_seeds, of_clips = variances(figures)
    both = of_seeds + of_clips
    degrees = both**2 / (of_seeds**2 / (figures.shape[-1] - 1) + of_clips**2 / (UNITS - 1))
    return stats.t.isf(0.025, degrees) * both**0.5


def limit(sets: int) -> float:
    """Of intervals that cover 95%, one simulation in a hundred has less: 0.944 with 8,000 sets."""
    return 0.95 - 2.33 * (0.95 * 0.05 / sets) ** 0.5


def coverage(figures: np.ndarray, half: np.ndarray) -> float:
    return np.mean(np.abs(figures[0].mean(-1)) <= half)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("of_clip", SPREADS.values(), ids=SPREADS.keys())
def test_an_interval_over_seeds_and_clips_covers_what_it_says(seeds, of_clip):
    figures = simulated(seeds, of_clip)
    assert limit(SETS) <= coverage(figures, added_as_squares(figures)) <= 0.98


def test_control_the_usual_degrees_of_freedom_do_not_cover():
    figures = simulated(3, SPREADS["seeds decide"])
    assert 0.9 < coverage(figures, welch_satterthwaite(figures)) < limit(SETS)


def test_p_is_what_an_interval_leaves_out():
    rng = np.random.default_rng(6)
    for _ in range(200):
        found = interval(DRAWS.means(two_way(rng, 3, of_seed=0.3, of_clip=2, of_both=1) + 0.5), units=UNITS)
        assert (found.p < 0.05) == (not covers(found, 0))


@pytest.mark.parametrize("seeds", [3, 5])
def test_an_interval_of_a_front_covers_what_it_says(seeds):
    """Hypervolume of three policies, each seed's own: right or wrong on each clip, costs of each seed."""
    rng, draws, sets = np.random.default_rng(seeds), ClipDraws(UNITS, resamples=40), 4000
    difficulty, luck = rng.random((sets, 1, 1, UNITS)), 0.03 * rng.standard_normal((sets, seeds, 3, 1))
    own = rng.random((sets, seeds, 3, UNITS)) < 0.3  # where a clip's difficulty is another for this run
    hard = np.where(own, rng.random((sets, seeds, 3, UNITS)), difficulty)
    right = hard < np.array([0.65, 0.82, 0.92])[:, None] + luck
    accuracy = draws.means(right.reshape(-1, UNITS)).reshape(-1, sets, seeds, 3)
    cost = np.array([0.1, 0.25, 0.5]) + 0.02 * rng.standard_normal((sets, seeds, 3))
    volume = hypervolume(hull(accuracy, np.broadcast_to(cost, accuracy.shape)), 0.5)  # (R + 1, sets, S)
    assert limit(sets) <= coverage(volume - volume[0].mean(), added_as_squares(volume)) <= 0.98


@pytest.mark.parametrize(("seeds", "promised"), [(3, 0.75), (5, 0.83)])
def test_control_a_percentile_bootstrap_over_few_seeds_does_not_cover(seeds, promised):
    rng = np.random.default_rng(seeds)
    values = rng.normal(0, 1, (1500, seeds))
    drawn = np.take_along_axis(values[:, None], rng.integers(seeds, size=(1500, 400, seeds)), -1).mean(-1)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=1)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(promised, abs=0.03)
    assert np.mean([covers(over_seeds(row), 0) for row in values[:500]]) >= 0.93


def test_an_interval_over_the_clips_of_one_run_covers_what_it_says():
    rng = np.random.default_rng(0)
    samples = rng.exponential(1, (500, UNITS))
    assert np.mean([covers(over_clips(values), 1) for values in samples]) >= 0.92
    one_seed = [interval(DRAWS.means(values[None]), units=UNITS) for values in samples]
    assert np.mean([covers(found, 1) for found in one_seed]) >= 0.92
    assert {found.kind for found in one_seed} == {CLIPS}


# -- an interval holds its own estimate --------------------------------------------------------------------------------

AWKWARD = some.one_of(
    some.sampled_from([0.0, 0.1, 1 / 3, 0.7, 100.0, 99.95, 1e-9, -0.1]),
    some.floats(-1e6, 1e6, allow_subnormal=False),
)


@given(
    arrays(np.float64, some.tuples(some.integers(1, 5), some.just(8)), elements=AWKWARD),
    some.sampled_from([np.float32, np.float64]),
)
@example(np.full((5, 8), 0.1), np.float32)
@example(np.full((3, 8), 100.0), np.float64)
@example(np.zeros((2, 8)), np.float64)
@settings(max_examples=100, deadline=None)
def test_no_interval_excludes_its_own_estimate(values, kind):
    values = values.astype(kind)
    draws = ClipDraws(8, cluster=2, resamples=20)
    bounds = (float(values.min()), float(values.max()))  # as tight as bounds can be
    for found in (
        interval(draws.means(values), units=draws.units),
        interval(draws.means(values), units=draws.units, bounds=bounds),
        over_clips(values[0], cluster=2),
        over_seeds(values[:, 0]),
        percentiles(draws.means(values)[1:, 0], float(values[0].mean())),
    ):
        assert found.low <= found.mean <= found.high
        assert 0 <= found.p <= 1


def test_what_is_saturated_has_no_width_and_stays_in_its_bounds():
    right = DRAWS.means(100.0 * np.ones((3, UNITS)))
    assert interval(right, units=UNITS, bounds=(0, 100)) == Interval(100.0, 100.0, 100.0, EXACT, 0.0)
    nearly = np.ones((3, UNITS))
    nearly[0, :5] = 0
    found = interval(DRAWS.means(100 * nearly), units=UNITS, bounds=(0, 100))
    assert found.high == 100
    assert found.low < found.mean


def test_an_interval_that_excludes_its_estimate_is_refused():
    with pytest.raises(ValueError, match="around its estimate"):
        Interval(0.1, 0.2, 0.3)


# -- what an interval is over ------------------------------------------------------------------------------------------


def test_the_kind_says_what_varies():
    same = np.tile(np.arange(UNITS) % 2, (3, 1))  # of all seeds
    apart = np.zeros((3, UNITS)) + np.array([[-1], [0], [1]])
    assert interval(DRAWS.means(same), units=UNITS).kind == CLIPS
    assert interval(DRAWS.means(apart), units=UNITS).kind == SEEDS
    assert interval(DRAWS.means(same + apart), units=UNITS).kind == SEEDS_AND_CLIPS
    assert f"{interval(DRAWS.means(same + apart), units=UNITS):.1f}".endswith("]ˢᶜ")
    assert f"{Interval(1.0, 1.0, 1.0):.1f}" == "1.0"


def test_clips_that_are_hard_for_every_seed_stay_hard_in_a_resample():
    rng = np.random.default_rng(3)
    hard = np.tile(rng.normal(size=UNITS), (5, 1))  # five seeds agree on every clip: no more is known than from one
    width = lambda values: np.ptp(interval(DRAWS.means(values), units=UNITS).to_json()[1:])  # noqa: E731
    assert width(hard) == pytest.approx(width(hard[:1]))
    assert width(rng.normal(size=(5, UNITS))) < 0.9 * width(hard)


def test_clips_of_a_cluster_are_drawn_together():
    doubled = np.repeat(np.random.default_rng(2).normal(size=UNITS), 2)  # a clip's twin says nothing new
    alone, naive = over_clips(doubled[::2]), over_clips(doubled)
    assert over_clips(doubled, cluster=2) == alone
    assert naive.high - naive.low < 0.8 * (alone.high - alone.low)  # the negative control
    twins = ClipDraws(2 * UNITS, cluster=2, resamples=200)
    np.testing.assert_allclose(twins.means(doubled[None]), DRAWS.means(doubled[None, ::2]))
    with pytest.raises(ValueError, match="divisible by 2"):
        ClipDraws(3, cluster=2)


def test_row_zero_is_the_sample_itself():
    values = np.random.default_rng(4).normal(size=(3, UNITS))
    assert DRAWS.means(values).shape == (201, 3)
    np.testing.assert_allclose(DRAWS.means(values)[0], values.mean(1))


def test_what_two_methods_share_vanishes_from_their_difference():
    rng = np.random.default_rng(5)
    shared = rng.normal(0, 5, (4, 1)) + rng.normal(0, 5, UNITS)  # luck of the seed and of the clip
    first, second = (shared + rng.normal(0, 0.1, (4, UNITS)) + gain for gain in (1, 0))
    paired = interval(DRAWS.means(first) - DRAWS.means(second), units=UNITS)
    other = ClipDraws(UNITS, seed=1, resamples=200)  # the negative control: draws of their own
    apart = interval(DRAWS.means(first) - other.means(second), units=UNITS)
    assert paired.p < 0.001
    assert apart.p > 0.05
    assert paired.mean == apart.mean == pytest.approx(1, abs=0.1)


# -- many claims -------------------------------------------------------------------------------------------------------


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_holm_keeps_wrong_claims_to_one_report_in_twenty():
    """Twelve differences of zero a report, correlated as those of methods set against one rival are."""
    rng, wrong, uncorrected = np.random.default_rng(0), 0, 0
    reports = 150
    for _ in range(reports):
        rival = rng.normal(size=5)
        ps = [over_seeds(rng.normal(size=5) - rival).p for _ in range(12)]
        wrong += min(holm(ps)) < 0.05
        uncorrected += min(ps) < 0.05
    assert wrong / reports <= 0.07  # 5%, and two standard errors of the simulation
    assert uncorrected / reports > 0.2


# -- clips of one source -----------------------------------------------------------------------------------------------


def test_clusters_are_numbers_of_consecutive_clips_or_the_group_of_each():
    assert units_of(6, 2).tolist() == [0, 0, 1, 1, 2, 2]
    assert units_of(3, np.array([7, 5, 7])).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="expected a number of clips divisible by 2, got 3"):
        units_of(3, 2)
    with pytest.raises(ValueError, match="expected the group of each of 3 clips, got 2"):
        units_of(3, [0, 1])


def test_groups_of_equal_size_are_what_consecutive_clips_are():
    rng = np.random.default_rng(0)
    values, order = rng.random((2, 60)), rng.permutation(60)
    groups = np.arange(60) // 3
    one, other = ClipDraws(60, cluster=3), ClipDraws(60, cluster=groups)
    np.testing.assert_allclose(one.means(values), other.means(values))
    found, expected = over_clips(values[0][order], cluster=groups[order]), over_clips(values[0], cluster=3)
    assert found.to_json() == pytest.approx(expected.to_json())


def test_a_group_of_many_clips_weighs_more():
    values = np.array([[1.0, 1, 1, 0]])
    means = ClipDraws(4, cluster=[0, 0, 0, 1], resamples=200).means(values)
    assert means[0, 0] == 0.75
    assert set(means[1:, 0]) == {0, 0.75, 1}


def of_sources(rng, sources=8):
    """Right or wrong in clips of sources, of which some are easy: (N,) booleans of true share 0.8, and groups."""
    groups = np.repeat(np.arange(sources), rng.integers(1, 10, sources))
    return rng.random(len(groups)) < rng.beta(2, 0.5, sources)[groups], groups


def test_an_accuracy_over_few_sources_covers_what_it_says_and_over_their_clips_it_does_not():
    rng, covered = np.random.default_rng(0), np.zeros(2)
    for _ in range(600):
        correct, groups = of_sources(rng)
        covered += [covers(share_over_clips(correct, cluster=cluster), 80.0) for cluster in (groups, 1)]
    assert covered[0] / 600 > limit(600)
    assert covered[1] / 600 < 0.88  # the control


def test_an_accuracy_of_few_clips_has_width_though_all_are_right():
    found = share_over_clips(np.ones(3, bool))
    assert found.to_json() == pytest.approx([100.0, 100 * 0.025 ** (1 / 3), 100.0])
    assert share_over_clips(np.zeros(3, bool)).to_json() == pytest.approx([0.0, 0.0, 100 - found.low])
    assert share_over_clips(np.ones(9, bool), cluster=np.arange(9) // 3) == found  # three sources
    assert share_over_clips(np.array([True, False]), cluster=[0, 0]).high > 99  # one source says nothing


def test_an_accuracy_of_independent_clips_is_that_of_clopper_and_pearson():
    correct = np.arange(60) < 45
    found, exact = share_over_clips(correct), stats.binomtest(45, 60).proportion_ci()
    assert (found.low / 100, found.high / 100) == pytest.approx((exact.low, exact.high), abs=2e-3)


def test_every_class_counts_alike():
    values, labels = np.array([1.0, 1, 1, 0, 0, 0, 0, 1]), np.array([0, 0, 0, 0, 3, 3, 5, 5])
    assert over_classes(values, labels).mean == pytest.approx((0.75 + 0 + 0.5) / 3)
    balanced = np.arange(8) % 2
    assert over_classes(values, balanced).mean == pytest.approx(values.mean())
    assert over_classes(np.ones(4), np.array([0, 0, 0, 1])).kind == EXACT


def test_the_mean_over_classes_covers_what_it_says():
    rng, covered, truth = np.random.default_rng(1), 0, (0.9 + 0.6) / 2
    labels = np.repeat([0, 1], [80, 20])
    for _ in range(600):
        covered += covers(over_classes(rng.random(100) < np.where(labels, 0.6, 0.9), labels), truth)
    assert covered / 600 > 0.92
