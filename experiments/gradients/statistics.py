"""What many estimates say of an estimator: bias, variance, signal, direction. Gradients are (R, P) float64."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

LEVEL = 0.01  # of false alarms in a test of bias, over all coordinates together
ROUNDING = 1e-6  # of float32, relative to the exact gradient's norm


def student_tail(t: float, degrees: int) -> float:
    """P(\\|T\\| > t) of Student's t: with t = sqrt(degrees) tan(angle) its density is cos(angle)^(degrees - 1)."""

    def area(start: float) -> float:
        angles = np.linspace(start, np.pi / 2, 4_001)
        return float(np.trapezoid(np.cos(angles) ** (degrees - 1), angles))

    return area(np.arctan(t / degrees**0.5)) / area(0.0)


@cache
def student_limit(level: float, degrees: int) -> float:
    """The t with P(\\|T\\| > t) = level, by bisection."""
    low, high = 0.0, 1.0
    while student_tail(high, degrees) > level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, degrees) > level else (low, middle)
    return high


def in_standard_errors(gradients: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """(P,): how far the mean lies from the exact gradient, in standard errors of the mean; rounding counts as one."""
    errors = gradients.std(0, ddof=1) / len(gradients) ** 0.5
    return (gradients.mean(0) - exact) / np.hypot(errors, ROUNDING * np.linalg.norm(exact))


class Bias(NamedTuple):
    """An estimator against the exact gradient.

    :param max_z: largest deviation of a coordinate, in standard errors
    :param limit: Bonferroni's, at LEVEL over all coordinates, by Student's t
    :param p: of the largest, times the number of coordinates, at most 1
    :param relative: \\|E g - exact\\| / \\|exact\\|, what noise alone would show taken off
    :param floor: the relative bias that noise alone would show
    :param variance: of an estimate, summed over coordinates
    :param snr: \\|exact\\|^2 / variance
    :param cosine: of an estimate with the exact gradient, mean
    :param cosine_se: standard error of that mean
    """

    max_z: float
    limit: float
    p: float
    biased: bool
    relative: float
    floor: float
    variance: float
    snr: float
    cosine: float
    cosine_se: float


def judge_bias(gradients: np.ndarray, exact: np.ndarray) -> Bias:
    """Test each coordinate's mean against the exact one."""
    replicates, coordinates = gradients.shape
    max_z = float(np.abs(in_standard_errors(gradients, exact)).max())
    limit = student_limit(LEVEL / coordinates, replicates - 1)
    p = min(student_tail(max_z, replicates - 1) * coordinates, 1.0)
    variance = float(gradients.var(0, ddof=1).sum())
    norm = float(np.linalg.norm(exact))
    square = float(np.square(gradients.mean(0) - exact).sum()) - variance / replicates
    cosines = cosines_with(gradients, exact)
    return Bias(
        max_z,
        limit,
        p,
        max_z > limit,
        max(square, 0.0) ** 0.5 / norm,
        (variance / replicates) ** 0.5 / norm,
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
