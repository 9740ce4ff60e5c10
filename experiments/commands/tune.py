"""``tune``: each method's settings, chosen on validation clips."""

from __future__ import annotations

from experiments.config import Tune
from experiments.tuning.command import tune


def run(options: Tune) -> None:
    """Print what was chosen."""
    print(tune(options))
