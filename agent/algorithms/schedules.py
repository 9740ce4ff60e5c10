"""Schedules of stable-baselines3: functions of the progress that remains, from 1 at the start to 0 at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WarmupCosine:
    """Linear rise to ``peak`` over the share ``warmup`` of training, then a half cosine down to zero."""

    peak: float
    warmup: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(f"expected a share of training below 1 as warm-up, got {self.warmup}")

    def __call__(self, progress_remaining: float) -> float:
        done = 1 - progress_remaining
        if done < self.warmup:
            return self.peak * max(done, 0.01 * self.warmup) / self.warmup
        return self.peak * 0.5 * (1 + math.cos(math.pi * min((done - self.warmup) / (1 - self.warmup), 1.0)))


@dataclass(frozen=True)
class Linear:
    """From ``start`` to ``end`` over the share ``duration`` of training, then constant."""

    start: float
    end: float
    duration: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.duration <= 1:
            raise ValueError(f"expected a duration above 0, at most 1 (a share of training), got {self.duration}")

    def __call__(self, progress_remaining: float) -> float:
        return self.start + (self.end - self.start) * min((1 - progress_remaining) / self.duration, 1.0)
