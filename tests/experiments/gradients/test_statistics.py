import numpy as np
import pytest
from scipy import stats

from experiments.gradients.statistics import (
    LEVEL,
    Pool,
    Reference,
    can_be_told,
    cosines_with,
    in_standard_errors,
    judge_bias,
    lacking,
    measure_direction,
    measure_signal,
)

P = 40
MU = np.linspace(-1, 1, P)


def noisy(count: int, *, noise: float = 2.0, mean: np.ndarray = MU, seed: int = 0) -> np.ndarray:
    return mean + noise * np.random.default_rng(seed).standard_normal((count, P))


def skewed(rng: np.random.Generator, count: int, bias: float = 0.0) -> np.ndarray:
    """Estimates as those of a score function: sums over 16 rollouts of advantages, log-normal, times scores of decisions
    of which some are rare. Skewed, heavy-tailed, and hanging together by the advantages; their mean is MU, and a bias."""
    advantages = rng.lognormal(0, 1.2, (count, 16)) - np.exp(0.72)
    chances = np.linspace(0.03, 0.5, P)
    scores = (rng.random((count, 16, P)) < chances) - chances
    return MU + bias * np.eye(P)[-1] + np.einsum("nr,nrp->np", advantages, scores) / 16


def students_t(gradients: np.ndarray) -> bool:
    """Does Bonferroni's limit of Student's t call them biased?"""
    limit = stats.t.isf(LEVEL / P / 2, len(gradients) - 1)
    return bool(np.abs(in_standard_errors(gradients, MU)).max() > limit)


def test_false_alarms_are_as_rare_as_stated_where_estimates_are_skewed_and_heavy_tailed():
    rng, sets = np.random.default_rng(0), 500
    drawn = [skewed(rng, 30) for _ in range(sets)]
    error = (LEVEL * (1 - LEVEL) / sets) ** 0.5
    assert np.mean([judge_bias(gradients, MU, resamples=399).biased for gradients in drawn]) < LEVEL + 2.6 * error
    assert np.mean([students_t(gradients) for gradients in drawn]) > LEVEL + 5 * error  # control


def test_a_bias_is_found_beside_heavy_tails():
    rng = np.random.default_rng(0)
    found = [judge_bias(skewed(rng, 30, bias=1.5), MU, resamples=399).biased for _ in range(40)]
    assert np.mean(found) > 0.8


def test_false_alarms_are_as_rare_as_stated_where_estimates_are_normal():
    alarms = [judge_bias(noisy(12, seed=seed), MU, resamples=399).biased for seed in range(300)]
    assert np.mean(alarms) < 3 * LEVEL
    assert any(judge_bias(noisy(12, seed=seed), MU, resamples=399).p < 0.1 for seed in range(100))


def test_a_bias_of_one_coordinate_is_found():
    shifted = MU + np.eye(P)[3] * 2
    found = judge_bias(noisy(50, mean=shifted), MU)
    assert found.biased
    assert found.p < LEVEL
    assert np.argmax(np.abs(in_standard_errors(noisy(50, mean=shifted), MU))) == 3


def test_relative_bias_is_free_of_noise():
    none = np.mean([judge_bias(noisy(30, seed=seed), MU, resamples=1).relative for seed in range(50)])
    floor = judge_bias(noisy(30), MU).floor
    assert none < 0.5 * floor
    half = np.mean([judge_bias(noisy(100, mean=1.5 * MU, seed=seed), MU, resamples=1).relative for seed in range(50)])
    assert half == pytest.approx(0.5, rel=0.05)


def test_variance_and_signal_are_those_drawn():
    found = judge_bias(noisy(2000), MU, resamples=1)
    assert found.variance == pytest.approx(4 * P, rel=0.03)
    assert found.snr == pytest.approx(MU @ MU / (4 * P), rel=0.03)
    assert found.cosine == pytest.approx(found.snr**0.5 / (1 + found.snr) ** 0.5, rel=0.1)


def test_a_coordinate_that_is_always_zero_is_no_bias():
    exact = MU.copy()
    exact[5] = 0
    gradients = noisy(30, mean=exact)
    gradients[:, 5] = 0
    assert not judge_bias(gradients, exact).biased
    gradients[:, 5] = 0.01
    assert judge_bias(gradients, exact).biased


@pytest.mark.parametrize("few", [1, 2, 3])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_no_verdict_where_a_coordinate_is_other_than_usual_in_few_estimates(few, shift):
    """A shift that is found without that coordinate cannot be beside it: then none is no sign of being unbiased."""
    exact = np.where(np.arange(P) == 5, 0, MU)
    gradients = noisy(50, mean=exact + shift * (np.arange(P) == 3))
    gradients[:, 5] = 0
    assert judge_bias(gradients, exact).biased is (shift > 0)
    gradients[:few, 5] = np.array([1, 2, -1])[:few]
    found = judge_bias(gradients, exact)
    assert found.biased is None
    assert found.least_p == pytest.approx((1 - few / 50) ** 50, abs=0.02)
    assert LEVEL < found.least_p <= found.p


def test_a_bias_beyond_what_a_scarce_coordinate_blurs_is_told():
    exact = np.where(np.arange(P) == 5, 0, MU)
    gradients = noisy(50, mean=exact)
    gradients[:, 5] = 0
    gradients[0, 5] = 1e-3
    assert judge_bias(gradients, exact).biased is None
    gradients[:, 3] = MU[3] + 2 + 1e-3 * gradients[:, 3]
    assert judge_bias(gradients, exact).biased is True


def test_coordinates_that_are_zero_in_many_estimates_are_judged():
    exact = np.where(np.arange(P) == 5, 0, MU)
    gradients = noisy(50, mean=exact)
    gradients[:35, 5] = 0
    found = judge_bias(gradients, exact)
    assert (found.biased, found.least_p) == (False, 1 / 10_000)


def test_the_signal_needs_no_reference():
    signals = [measure_signal(noisy(20, seed=seed)) for seed in range(200)]
    assert np.mean([found.square for found in signals]) == pytest.approx(MU @ MU, rel=0.05)
    assert np.mean([found.variance for found in signals]) == pytest.approx(4 * P, rel=0.02)
    cosines = [found.cosine for found in signals]
    assert np.mean(cosines) == pytest.approx((MU @ MU / (MU @ MU + 4 * P)) ** 0.5, rel=0.05)
    assert np.std(cosines) == pytest.approx(np.mean([found.cosine_se for found in signals]), rel=0.3)


def test_pairs_are_those_of_the_definition():
    gradients = noisy(5)
    pairs = [gradients[i] @ gradients[j] for i in range(5) for j in range(5) if i != j]
    assert measure_signal(gradients).square == pytest.approx(np.mean(pairs))


def test_pure_noise_has_no_signal():
    found = [measure_signal(noisy(20, mean=np.zeros(P), seed=seed)).square for seed in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 200**0.5
    assert min(found) < 0


def test_the_references_noise_is_taken_out_of_cosines():
    true = cosines_with(noisy(4000, seed=1), MU).mean()
    found = [Reference(noisy(12, seed=seed)).cosine(noisy(100, seed=seed + 999))[0] for seed in range(60)]
    plain = [cosines_with(noisy(100, seed=seed + 999), noisy(12, seed=seed).mean(0)).mean() for seed in range(60)]
    assert np.mean(found) == pytest.approx(true, rel=0.05)
    assert np.mean(plain) < 0.95 * true  # control: noise shrinks them


def test_a_references_precision_is_its_cosine_with_the_truth():
    references = [Reference(noisy(40, seed=seed)) for seed in range(200)]
    true = np.mean([cosines_with(found.mean[None], MU)[0] for found in references])
    assert np.mean([found.precision for found in references]) == pytest.approx(true, rel=0.03)
    assert np.mean([found.split_half_precision for found in references]) == pytest.approx(true, rel=0.03)


def test_the_direction_of_a_biased_expectation_shows():
    other = np.roll(MU, 10)
    truth = cosines_with(other[None], MU)[0]
    reference = Reference(noisy(200, noise=1))
    assert reference.cosine_of_expectation(noisy(200, noise=1, mean=other, seed=1)) == pytest.approx(truth, abs=0.05)
    assert reference.cosine_of_expectation(noisy(200, noise=1, mean=3 * MU, seed=1)) == pytest.approx(1, abs=0.05)


def test_a_zero_estimate_has_no_direction():
    np.testing.assert_array_equal(cosines_with(np.zeros((2, P)), MU), [0, 0])


def test_what_a_sample_may_lack_is_the_part_of_rare_decisions():
    """One decision of probability 1e-4 contributes 1,000 when it is played, a common one 1 or -1."""
    parts, probabilities = np.array([[1000.0], [1.0], [-1.0]]), np.array([1e-4, 0.5, 0.4999])
    noise = (0.9999 / 10_000) ** 0.5  # of 10,000 rollouts, the rare decision being expected once
    assert lacking(parts, probabilities, 10_000) == pytest.approx(0.1 / noise, rel=0.01)
    assert not can_be_told(lacking(parts, probabilities, 10_000), 1)
    assert can_be_told(lacking(parts, probabilities, 10_000_000), 1)  # expected 1,000 times


def test_no_verdict_where_a_sample_may_lack_too_much():
    found = judge_bias(noisy(30, mean=MU + 3), MU, lack=100.0)
    assert found.biased is None
    assert found.p < LEVEL


def test_a_pool_weighs_by_variances_and_knows_its_precision():
    pools = [Pool({"one": noisy(40, seed=seed), "other": noisy(10, noise=1, seed=seed + 999)}) for seed in range(100)]
    assert np.mean([pool.weights["one"] for pool in pools]) == pytest.approx(0.5, abs=0.02)
    means = [pool.spread() @ pool.gradients for pool in pools]
    true = np.mean([cosines_with(mean[None], MU)[0] for mean in means])
    assert np.mean([pool.precision for pool in pools]) == pytest.approx(true, rel=0.03)
    assert np.mean([pool.square for pool in pools]) == pytest.approx(MU @ MU, rel=0.05)
    assert np.std([pool.square for pool in pools]) == pytest.approx(np.mean([p.square_se for p in pools]), rel=0.3)
    assert np.mean([pool.agreement for pool in pools]) == pytest.approx(1, abs=0.05)


def test_directions_against_a_pool_stand_with_their_errors():
    other = np.roll(MU, 10)
    truth = cosines_with(other[None], MU)[0]
    found = []
    for seed in range(80):
        pool = Pool({"one": noisy(20, seed=seed), "other": noisy(10, noise=1, seed=seed + 999)})
        found.append(measure_direction(noisy(15, noise=1, mean=other, seed=seed + 5000), pool))
    assert np.mean([one.expectation for one in found]) == pytest.approx(truth, abs=0.03)
    assert np.std([one.expectation for one in found]) == pytest.approx(
        np.mean([one.expectation_se for one in found]), rel=0.4
    )
    single = cosines_with(noisy(4000, noise=1, mean=other, seed=1), MU).mean()
    assert np.mean([one.cosine for one in found]) == pytest.approx(single, abs=0.03)
    assert np.std([one.cosine for one in found]) == pytest.approx(np.mean([one.cosine_se for one in found]), rel=0.4)


def test_nothing_is_told_of_what_drowns():
    nothing = np.zeros(P)
    pool = Pool({"one": noisy(20, mean=nothing), "other": noisy(20, mean=nothing, seed=1)})
    assert pool.drowned
    assert set(measure_direction(noisy(10, seed=2), pool)) == {None}
    found = measure_direction(noisy(10, mean=nothing, seed=2), Pool({"one": noisy(20), "other": noisy(20, seed=1)}))
    assert abs(found.cosine) < 3 * found.cosine_se
    assert found.expectation is None
