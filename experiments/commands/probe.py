"""``probe``: what the decisions of trained agents tell, how they vary, and what that is worth."""

from __future__ import annotations

from experiments.config import Probe
from experiments.probing.probe import probe


def run(options: Probe) -> None:
    """Print the figures."""
    print(probe(options))
