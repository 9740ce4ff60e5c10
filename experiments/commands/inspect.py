"""``inspect``: episodes and results of finished runs, on one page."""

from __future__ import annotations

from experiments.config import Inspect
from experiments.inspecting.command import inspect


def run(options: Inspect) -> None:
    """Write the page, its pictures, and TensorBoard's events; where they are is printed."""
    inspect(options)
