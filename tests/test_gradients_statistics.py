import numpy as np
import pytest

from experiments.gradients.statistics import (
    LEVEL,
    Reference,
    cosines_with,
    in_standard_errors,
    judge_bias,
    measure_signal,
    student_limit,
    student_tail,
)

P = 40
MU = np.linspace(-1, 1, P)


def noisy(count: int, *, noise: float = 2.0, mean: np.ndarray = MU, seed: int = 0) -> np.ndarray:
    return mean + noise * np.random.default_rng(seed).standard_normal((count, P))


@pytest.mark.parametrize(
    ("t", "degrees", "tail"), [(12.706, 1, 0.05), (2.2281, 10, 0.05), (4.5869, 10, 0.001), (2.6259, 100, 0.01)]
)
def test_students_tail_is_that_of_the_tables(t, degrees, tail):
    assert student_tail(t, degrees) == pytest.approx(tail, rel=1e-3)
    assert student_limit(tail, degrees) == pytest.approx(t, rel=1e-3)


def test_false_alarms_are_as_rare_as_stated():
    alarms = [judge_bias(noisy(12, seed=seed), MU).biased for seed in range(500)]
    assert np.mean(alarms) < 3 * LEVEL
    assert any(judge_bias(noisy(12, seed=seed), MU).p < 0.1 for seed in range(100))


def test_a_bias_of_one_coordinate_is_found():
    shifted = MU + np.eye(P)[3] * 2
    found = judge_bias(noisy(50, mean=shifted), MU)
    assert found.biased
    assert found.p < LEVEL
    assert np.argmax(np.abs(in_standard_errors(noisy(50, mean=shifted), MU))) == 3


def test_relative_bias_is_free_of_noise():
    none = np.mean([judge_bias(noisy(30, seed=seed), MU).relative for seed in range(50)])
    floor = judge_bias(noisy(30), MU).floor
    assert none < 0.5 * floor
    half = np.mean([judge_bias(noisy(100, mean=1.5 * MU, seed=seed), MU).relative for seed in range(50)])
    assert half == pytest.approx(0.5, rel=0.05)


def test_variance_and_signal_are_those_drawn():
    found = judge_bias(noisy(2000), MU)
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
