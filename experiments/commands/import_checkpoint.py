"""``import``: a checkpoint of AdaFuse's own code becomes a run."""

from __future__ import annotations

from experiments.command_line import PROGRAM
from experiments.config import Import
from experiments.import_adafuse import import_adafuse


def run(options: Import) -> None:
    """Write a run's folder."""
    folder = import_adafuse(options)
    print(f"Imported into {folder}. Judge it: {PROGRAM} evaluate {folder}")
