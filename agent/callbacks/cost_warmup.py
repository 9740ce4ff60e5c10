"""The cost weight that rises at the start of training."""

from __future__ import annotations

from agent.algorithms.schedules import Linear
from agent.callbacks.between_rollouts import BetweenRollouts


class CostWarmup(BetweenRollouts):
    """Raise the environment's cost weight linearly from zero over the first share ``warmup`` of training."""

    def __init__(self, cost_weight: float, warmup: float) -> None:
        super().__init__()
        self.schedule = Linear(0.0, cost_weight, warmup) if warmup > 0 else Linear(cost_weight, cost_weight)

    def act(self) -> None:
        self.training_env.set_attr("cost_weight", self.schedule(self.model._current_progress_remaining))
