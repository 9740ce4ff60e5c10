"""``gradients``: what every estimator's gradient is worth."""

from __future__ import annotations

from experiments.config import Gradients
from experiments.gradients.command import gradients


def run(options: Gradients) -> None:
    """Print the tables and write the report."""
    gradients(options)
