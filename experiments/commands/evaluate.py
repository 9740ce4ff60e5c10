"""``evaluate``: a run's agent on a split, judged greedily where nothing else is said."""

from __future__ import annotations

from experiments.config import Evaluate
from experiments.evaluate import evaluate_run


def run(options: Evaluate) -> None:
    """Print the figures."""
    print(evaluate_run(options))
