"""How a speed is measured here: two things in turn in one process, and the ratio of their medians."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm


class Ratio(NamedTuple):
    """Median time of a subject over that of its yardstick, and the quartiles of the pairs' ratios."""

    name: str
    ratio: float
    low: float
    high: float
    wanted: str
    met: bool


def interleave(
    subject: Callable[[], object], yardstick: Callable[[], object], repeats: int, title: str, warmup: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of each, in turn, the one that goes first changing from pair to pair.

    :param warmup: further pairs that go before and do not count
    """
    times: tuple[list[float], list[float]] = ([], [])
    for pair in tqdm(range(-warmup, repeats), desc=title, disable=None, leave=False):
        for which in (0, 1) if pair % 2 else (1, 0):
            started = time.perf_counter()
            (subject, yardstick)[which]()
            if pair >= 0:
                times[which].append(time.perf_counter() - started)
    return np.array(times[0]), np.array(times[1])


def summarise(name: str, subject: np.ndarray, yardstick: np.ndarray, limit: float, *, below: bool) -> Ratio:
    """The medians' ratio against a limit."""
    ratio = float(np.median(subject) / np.median(yardstick))
    low, high = np.quantile(subject / yardstick, (0.25, 0.75))
    wanted = f"at {'most' if below else 'least'} {limit:g}"
    return Ratio(name, ratio, float(low), float(high), wanted, ratio <= limit if below else ratio >= limit)
