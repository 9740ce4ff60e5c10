"""What many estimates say of an estimator: bias, variance, signal, direction. Gradients are (R, P) float64.

Bias is judged by the largest |t| of a coordinate's mean, held against the studentised bootstrap of that same maximum.
Student's t with Bonferroni's correction takes estimates for normal, and a gradient's are skewed and heavy-tailed: of
10,000 sets of 30 estimates by the unbiased REBAR it calls .064 biased at initial gates and .044 at perturbed ones, this
test .009 and .005, for a nominal .01. (Sets were drawn from 3,000 estimates of 128 rollouts on the tiny problem, whose
mean was the truth.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.01  # of false alarms in a test of bias, over all coordinates together
RESAMPLES = 9_999  # of the estimates: p comes in steps of 1e-4
ROUNDING = 1e-6  # of float32, relative to the exact gradient's norm
SCARCE = -math.log(LEVEL)  # expected plays: what is expected less often is missing from more samples than LEVEL


def in_standard_errors(gradients: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """(P,): how far the mean lies from the exact gradient, in standard errors of the mean; rounding counts as one."""
    errors = gradients.std(0, ddof=1) / len(gradients) ** 0.5
    return (gradients.mean(0) - exact) / np.hypot(errors, ROUNDING * np.linalg.norm(exact))


def chance_of(
    max_t: float, gradients: np.ndarray, exact: np.ndarray, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """p of the largest |t| over coordinates, by the studentised bootstrap of that maximum (Efron and Tibshirani, 1993);
    and the least that p can be with these estimates, whatever all other coordinates say.

    Estimates are drawn anew, with replacement: t* = (mean* - mean) / se*. Coordinates are drawn together, so that the
    maximum takes account of how they hang together; skewness and heavy tails of the estimates are in t* as well.
    A coordinate that all estimates of a resample agree on has rounding as its se*, and so errs towards no alarm. Where a
    coordinate is other than usual in few estimates only, many resamples hold none of them (37% where it is one) and reach
    nearly any t there: their share is the least p.
    """
    count, floor = len(gradients), ROUNDING * float(np.linalg.norm(exact))
    deviations = gradients - gradients.mean(0)
    squares = np.square(deviations)
    unusual = np.abs(gradients - np.median(gradients, 0)) > floor  # (R, P)
    scarce = np.flatnonzero(unusual.any(0) & (2 * unusual.sum(0) <= count))
    unusual = unusual[:, scarce].astype(np.float64)
    rng, reached, spurious = np.random.default_rng(0), 0, 0
    for start in range(0, resamples, 1_000):  # a few MB at a time
        drawn = min(1_000, resamples - start)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=drawn) / count
        means = weights @ deviations
        variances = np.maximum(weights @ squares - np.square(means), 0) / (count - 1)
        errors = np.hypot(np.sqrt(variances), floor)
        t = np.divide(np.abs(means), errors, out=np.zeros_like(means), where=errors > 0)
        reached += int((t.max(1) >= max_t).sum())
        spurious += int(((weights @ unusual == 0) & (t[:, scarce] >= max_t)).any(1).sum())
    return (1 + reached) / (1 + resamples), (1 + spurious) / (1 + resamples)


def lacking(parts: np.ndarray, probabilities: np.ndarray, rollouts: int) -> float:
    """What a sample of rollouts may lack of a gradient, in standard errors that such a sample shows.

    In each coordinate, take the joint decisions that contribute most until they are expected SCARCE = -ln(LEVEL) times
    together: a share LEVEL of samples holds none of them, and lacks their part of the gradient as well as their spread,
    by which it would know. At gates far from certain that part is within the noise of the others. At nearly
    deterministic ones it is many times that noise: the sample looks precise, and is wrong.

    :param parts: (J, P) what each joint decision contributes to the gradient whenever it is played
    :param probabilities: (J,) of the joint decisions
    :returns: of the worst coordinate
    """
    order = np.argsort(-np.abs(parts), axis=0)
    parts, weights = np.take_along_axis(parts, order, 0), probabilities[order]
    before = np.cumsum(weights, 0) - weights
    scarce = np.clip(SCARCE / rollouts - before, 0, weights)  # of the last one, as much as belongs to them
    part = np.abs((scarce * parts).sum(0))
    noise = np.sqrt(((weights - scarce) * np.square(parts)).sum(0) / rollouts)
    return float(np.divide(part, noise, out=np.zeros_like(part), where=noise > 0).max())


def can_be_told(lack: float, coordinates: int) -> bool:
    """Is bias told by a test at LEVEL? Not where what a sample may lack would raise the alarm on its own.

    :param lack: as ``lacking`` gives it; the least that any alarm takes is Bonferroni's limit for normal estimates
    """
    return lack < stats.norm.isf(LEVEL / coordinates / 2)


def is_biased(p: float, least_p: float, *, told: bool = True) -> bool | None:
    """Is an estimator biased? None where that cannot be told: no alarm means nothing where none could have been raised.

    :param p, least_p: as ``chance_of`` gives them, or both corrected for several tests
    :param told: as ``can_be_told`` gives it
    """
    if not told:
        return None
    return True if p < LEVEL else None if least_p >= LEVEL else False


class Bias(NamedTuple):
    """An estimator against the exact gradient.

    :param max_t: largest deviation of a coordinate, in standard errors
    :param p: of the largest, by the bootstrap
    :param least_p: the least that p can be with these estimates
    :param biased: whether p is below LEVEL; None where these estimates cannot tell
    :param relative: \\|E g - exact\\| / \\|exact\\|, what noise alone would show taken off
    :param floor: the relative bias that noise alone would show
    :param variance: of an estimate, summed over coordinates
    :param snr: \\|exact\\|^2 / variance
    :param cosine: of an estimate with the exact gradient, mean
    :param cosine_se: standard error of that mean
    """

    max_t: float
    p: float
    least_p: float
    biased: bool | None
    relative: float
    floor: float
    variance: float
    snr: float
    cosine: float
    cosine_se: float


def judge_bias(gradients: np.ndarray, exact: np.ndarray, *, lack: float = 0.0, resamples: int = RESAMPLES) -> Bias:
    """Test each coordinate's mean against the exact one.

    :param lack: what all rollouts of these estimates may lack, as ``lacking`` gives it; nothing is told where that is too much
    """
    max_t = float(np.abs(in_standard_errors(gradients, exact)).max())
    p, least_p = chance_of(max_t, gradients, exact, resamples)
    variance = float(gradients.var(0, ddof=1).sum())
    norm = float(np.linalg.norm(exact))
    square = float(np.square(gradients.mean(0) - exact).sum()) - variance / len(gradients)
    cosines = cosines_with(gradients, exact)
    return Bias(
        max_t,
        p,
        least_p,
        is_biased(p, least_p, told=can_be_told(lack, gradients.shape[1])),
        max(square, 0.0) ** 0.5 / norm,
        (variance / len(gradients)) ** 0.5 / norm,
        variance,
        norm**2 / variance,
        float(cosines.mean()),
        standard_error(cosines),
    )


def cosines_with(gradients: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """(R,): 0 where an estimate is zero."""
    norms = np.linalg.norm(gradients, axis=1) * np.linalg.norm(direction)
    return np.divide(gradients @ direction, norms, out=np.zeros(len(gradients)), where=norms > 0)


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


class Signal(NamedTuple):
    """What estimates share, without any reference.

    :param square: \\|E g\\|^2, the mean of <g_i, g_j> over all i != j: unbiased, and below zero where it drowns in noise
    :param variance: of an estimate, summed over coordinates
    :param snr: square / variance
    :param cosine: sqrt(square / E\\|g\\|^2), of an estimate with its own expectation
    :param cosine_se: standard error of that, by the jackknife
    """

    square: float
    variance: float
    snr: float
    cosine: float
    cosine_se: float


def measure_signal(gradients: np.ndarray) -> Signal:
    """By the U-statistic of pairs."""
    total, squares = gradients.sum(0), np.square(gradients).sum(1)
    square, second = _shared(float(total @ total), float(squares.sum()), len(gradients))
    without = [
        _shared(float(np.square(total - gradient).sum()), float(squares.sum() - own), len(gradients) - 1)
        for gradient, own in zip(gradients, squares)
    ]
    cosines = np.array([_root_share(*pair) for pair in without])
    spread = (len(gradients) - 1) * float(cosines.var())
    variance = second - square
    snr = square / variance if variance else float("inf")
    return Signal(square, variance, snr, _root_share(square, second), spread**0.5)


def _shared(square_of_sum: float, sum_of_squares: float, count: int) -> tuple[float, float]:
    return (square_of_sum - sum_of_squares) / (count * (count - 1)), sum_of_squares / count


def _root_share(square: float, second: float) -> float:
    return (max(square, 0.0) / second) ** 0.5 if second else 0.0


class Reference:
    """The mean of many estimates of an unbiased estimator, and how good it is.

    :param gradients: those estimates, independent of all that is held against it
    """

    def __init__(self, gradients: np.ndarray) -> None:
        self.mean = gradients.mean(0)
        self.square = measure_signal(gradients).square
        self.count = len(gradients)
        halves = [half.mean(0) for half in (gradients[::2], gradients[1::2])]
        self.split_half = float(cosines_with(halves[0][None], halves[1])[0])
        # cosine with the true gradient: by all pairs, and by the two halves (Spearman and Brown)
        self.precision = _root_share(self.square, float(self.mean @ self.mean))
        self.split_half_precision = max(2 * self.split_half / (1 + self.split_half), 0.0) ** 0.5

    def cosine(self, gradients: np.ndarray) -> tuple[float, float] | tuple[None, None]:
        """Mean cosine of an estimate with the true gradient and its standard error; the reference's own noise, which
        can only shrink it, is taken out. None where the reference drowns in noise."""
        if not self.precision:
            return None, None
        cosines = cosines_with(gradients, self.mean) / self.precision
        return float(cosines.mean()), standard_error(cosines)

    def cosine_of_expectation(self, gradients: np.ndarray) -> float | None:
        """Cosine of an estimator's expectation with the true gradient, 1 without bias but for a factor; the noise of
        both means is taken out, so that it may come out above 1. None where either drowns in noise."""
        squares = measure_signal(gradients).square, self.square
        if min(squares) <= 0:
            return None
        return float(gradients.mean(0) @ self.mean / (squares[0] * squares[1]) ** 0.5)


class Pool:
    """Estimates of several unbiased estimators as one reference, each with the inverse of its mean's variance as weight.

    :param samples: name -> (R, P); independent of one another, and of all that is held against them
    """

    def __init__(self, samples: Mapping[str, np.ndarray]) -> None:
        self.gradients = np.concatenate(list(samples.values()))
        self.sizes = [len(sample) for sample in samples.values()]
        precisions = [len(sample) / sample.var(0, ddof=1).sum() for sample in samples.values()]
        self.weights = {name: float(own / sum(precisions)) for name, own in zip(samples, precisions)}
        self.gram = self.gradients @ self.gradients.T
        weights = self.spread()
        self.square = _shared_square(self.gram, weights)
        self.square_se = _jackknife(lambda kept: _shared_square(self.gram, kept), self.without(), self.sizes)
        # cosine with the true gradient
        self.precision = _root_share(self.square, float(weights @ self.gram @ weights))

    def spread(self) -> np.ndarray:
        """(N,): the weight of each estimate."""
        shares = [np.full(size, weight / size) for size, weight in zip(self.sizes, self.weights.values())]
        return np.concatenate(shares)

    def without(self) -> Iterator[np.ndarray]:
        """The weights without each estimate in turn, the others of its estimator taking its share."""
        weights, start = self.spread(), 0
        for size, weight in zip(self.sizes, self.weights.values()):
            for place in range(start, start + size):
                kept = weights.copy()
                kept[start : start + size] = weight / (size - 1)
                kept[place] = 0
                yield kept
            start += size

    @property
    def drowned(self) -> bool:
        """Is the true gradient's length not above zero by two standard errors?"""
        return self.square <= 2 * self.square_se

    @property
    def agreement(self) -> float | None:
        """Cosine between the expectations of the first two, 1 but for noise, which is taken out; None where one drowns."""
        start = self.sizes[0]
        one, other = self.gradients[:start], self.gradients[start : start + self.sizes[1]]
        first, second = _told_square(one), _told_square(other)
        if first is None or second is None:
            return None
        return float(one.mean(0) @ other.mean(0) / (first * second) ** 0.5)


class Direction(NamedTuple):
    """Where an estimator points, noise of the reference taken out; None where something drowns in noise.

    :param cosine: of an estimate with the true gradient, mean
    :param expectation: cosine of its expectation with the true gradient: 1 without bias, but for a factor
    :param cosine_se, expectation_se: by the jackknife over the estimates and over those of the reference
    """

    cosine: float | None
    cosine_se: float | None
    expectation: float | None
    expectation_se: float | None


def measure_direction(gradients: np.ndarray, pool: Pool) -> Direction:
    """Of estimates (R, P) that are independent of the reference."""
    if pool.drowned:
        return Direction(None, None, None, None)
    gram, cross = gradients @ gradients.T, gradients @ pool.gradients.T
    norms = np.sqrt(np.diag(gram))
    units = np.divide(cross, norms[:, None], out=np.zeros_like(cross), where=norms[:, None] > 0)
    even, leaving, spread = _even(len(gradients)), _leaving(len(gradients)), pool.spread()

    def cosine(own: np.ndarray, kept: np.ndarray) -> float:
        return _over_root(own @ units @ kept, _shared_square(pool.gram, kept))

    def expectation(own: np.ndarray, kept: np.ndarray) -> float:
        return _over_root(own @ cross @ kept, _shared_square(pool.gram, kept) * _shared_square(gram, own))

    def error(of: Callable[[np.ndarray, np.ndarray], float]) -> float:
        own = _jackknife(lambda weights: of(weights, spread), leaving, [len(gradients)])
        return math.hypot(own, _jackknife(lambda kept: of(even, kept), pool.without(), pool.sizes))

    if _told_square(gradients) is None:
        return Direction(cosine(even, spread), error(cosine), None, None)
    return Direction(cosine(even, spread), error(cosine), expectation(even, spread), error(expectation))


def _shared_square(gram: np.ndarray, weights: np.ndarray) -> float:
    """\\|E g\\|^2 from all pairs of weighted estimates: unbiased, and below zero where it drowns in noise."""
    squares = np.square(weights)
    return float((weights @ gram @ weights - squares @ np.diag(gram)) / (1 - squares.sum()))


def _told_square(gradients: np.ndarray) -> float | None:
    """\\|E g\\|^2; None where it is not above zero by two standard errors."""
    gram, count = gradients @ gradients.T, len(gradients)
    square = _shared_square(gram, _even(count))
    error = _jackknife(lambda weights: _shared_square(gram, weights), _leaving(count), [count])
    return square if square > 2 * error else None


def _even(count: int) -> np.ndarray:
    return np.full(count, 1 / count)


def _leaving(count: int) -> list[np.ndarray]:
    """Even weights without each estimate in turn."""
    return [np.where(np.arange(count) == place, 0, 1 / (count - 1)) for place in range(count)]


def _over_root(value: float, square: float) -> float:
    return float(value / square**0.5) if square > 0 else 0.0


def _jackknife(of: Callable[[np.ndarray], float], leaving: Iterable[np.ndarray], sizes: Sequence[int]) -> float:
    """Standard error of a function of weights, each estimate left out in turn, sample by sample."""
    values, variance = np.array([of(weights) for weights in leaving]), 0.0
    for part in np.split(values, np.cumsum(sizes)[:-1]):
        variance += (len(part) - 1) * float(part.var())
    return variance**0.5
