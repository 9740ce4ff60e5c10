"""Make reports again from committed results: tables and pictures, without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from experiments.comparison.report import write_report
from experiments.config import Report
from experiments.gradients.report import rebuild as write_gradients
from experiments.probing.summary import rebuild as write_probes
from experiments.tuning.command import rebuild as write_tuning

REPORTS: dict[str, Callable[[Path, Path], object]] = {
    "results.json": write_report,
    "gradients.json": write_gradients,
    "probes.json": write_probes,
    "tuning.json": write_tuning,
}
"""The file that a command leaves -> function(folder, out), which writes that command's report from it."""


def run(config: Report) -> None:
    """Write every report that the files in a folder allow.

    :raises ValueError: there are none
    """
    found = [name for name in REPORTS if (config.results / name).is_file()]
    if not found:
        raise ValueError(
            f"expected a folder with {' or '.join(REPORTS)}, found none in {config.results}: check the path, or let the "
            "command that makes it finish"
        )
    out = config.out or config.results
    for name in found:
        REPORTS[name](config.results, out)
        print(f"Made again from {config.results / name}, in {out}")
