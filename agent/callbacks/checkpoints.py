"""When a checkpoint is saved, and how training stops: at each new evaluation, on Ctrl-C, or when it is asked to."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor

from agent.callbacks.between_rollouts import BetweenRollouts
from agent.callbacks.evaluations import Evaluations
from agent.checkpoint import save_agent
from backbone.common import ranks
from backbone.common.interruption import Interrupted


class Checkpoints(BetweenRollouts):
    """Save at each new evaluation and on Ctrl-C; the first Ctrl-C waits for the rollout, a second one does not.

    :param best: file of the checkpoint at the best evaluation, see ``Evaluations.best``; None keeps the last one alone
    :param facts: kept in the checkpoint, beside the seconds of training that went before it
    :param seconds: of earlier sittings, None where they are not known
    :param cnn, statistics: asked at each checkpoint for what ``save_agent`` takes by these names
    :param stop: asked at each rollout; True saves and stops as Ctrl-C does
    """

    def __init__(
        self,
        path: Path,
        evaluations: Evaluations,
        *,
        facts: dict[str, Any],
        best: Path | None = None,
        seconds: float | None = 0.0,
        cnn: Callable[[], dict[str, Any]] | None = None,
        statistics: Callable[[], dict[str, dict[str, Tensor]]] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__()
        self.path, self.evaluations, self.facts, self.best, self.stop = path, evaluations, facts, best, stop
        self.asked = {"cnn": cnn, "statistics": statistics}
        self.earlier, self.started = seconds, time.monotonic()
        self.interrupted = False
        self.before: Any = None  # who had Ctrl-C before training
        self.saved = 0  # length of the curve at the last checkpoint

    def _on_training_start(self) -> None:
        self.saved, self.started = len(self.evaluations.curve), time.monotonic()
        try:
            self.before = signal.signal(signal.SIGINT, self._interrupt)
        except ValueError:  # not the main thread: whoever runs there handles Ctrl-C
            self.before = None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        self.release()

    def act(self) -> None:
        if ranks.any_of(self.interrupted or (self.stop is not None and self.stop())):
            self.save()
            self.release()
            raise Interrupted
        if len(self.evaluations.curve) != self.saved:
            self.saved = len(self.evaluations.curve)
            self.save()

    def save(self) -> None:
        told = {name: ask() for name, ask in self.asked.items() if ask is not None}
        save_agent(self.path, self.model, **told, seconds=self.seconds, **self.facts)
        curve = self.evaluations.curve
        if (
            self.best is not None
            and curve
            and curve[-1] is self.evaluations.best
            and curve[-1]["rollouts"] == self.rollouts
        ):
            save_agent(self.best, self.model, **told, seconds=self.seconds, **self.facts)

    @property
    def seconds(self) -> float | None:
        """Of training so far, over all sittings; what came after the last checkpoint of a killed one is lost."""
        return None if self.earlier is None else self.earlier + time.monotonic() - self.started

    def release(self) -> None:
        """Give Ctrl-C back to whoever had it."""
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
            self.before = None

    def _on_training_end(self) -> None:
        self.save()
        self.release()
