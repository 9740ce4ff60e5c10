"""How far training has come, told as it goes on."""

from __future__ import annotations

from collections.abc import Callable

from agent.callbacks.between_rollouts import BetweenRollouts
from backbone.common.progress import Bar


class Progress(BetweenRollouts):
    """Report the rollouts played to a progress bar, or to any other function of their number."""

    def __init__(self, total: int, *, title: str = "", report: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.total, self.title, self.report = total, title, report

    def _on_training_start(self) -> None:
        self.bar = Bar(
            total=self.total,
            initial=self.rollouts,
            desc=self.title,
            unit="rollout",
            disable=True if self.report else None,
        )

    def act(self) -> None:
        self.bar.update(self.rollouts - self.bar.n)
        if self.report:
            self.report(self.rollouts)

    def _on_training_end(self) -> None:
        self.act()
        self.bar.close()
