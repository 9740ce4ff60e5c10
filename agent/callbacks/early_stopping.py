"""Training that ends once validation brings nothing better."""

from __future__ import annotations

from agent.callbacks.between_rollouts import BetweenRollouts
from agent.callbacks.evaluations import Evaluations


class EarlyStopping(BetweenRollouts):
    """Stop after so many evaluations in a row without a higher reward on validation clips.

    :param patience: how many; 0 never stops
    """

    def __init__(self, evaluations: Evaluations, patience: int) -> None:
        super().__init__()
        self.evaluations, self.patience = evaluations, patience

    def act(self) -> None:
        """Evaluations have acted before; whether to go on is asked at the next step."""

    def _on_step(self) -> bool:
        curve = self.evaluations.curve
        return not curve or not 0 < self.patience <= len(curve) - 1 - curve.index(self.evaluations.best)
