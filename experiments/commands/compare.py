"""``compare``: every method on the same backbones and clips, one judge, one report."""

from __future__ import annotations

from experiments.comparison.compare import compare
from experiments.config import Compare


def run(options: Compare) -> int:
    """Do what is missing of the comparison, print its tables and write its report; 1 where jobs have failed."""
    return 1 if compare(options) else 0
