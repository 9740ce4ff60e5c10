"""Make reports again from committed results: tables and pictures, without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.comparison.folds import pool
from experiments.comparison.report import write_report
from experiments.comparison.results import load_results
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
    """Write every report that the files in a folder allow, or one of the folds in several.

    :raises ValueError: there are none
    """
    if len(config.results) > 1:
        pooled(config.results, config.out)
        return
    (results,) = config.results
    found = [name for name in REPORTS if (results / name).is_file()]
    if not found:
        raise ValueError(
            f"expected a folder with {' or '.join(REPORTS)}, found none in {results}: check the path, or let the "
            "command that makes it finish"
        )
    out = config.out or results
    for name in found:
        REPORTS[name](results, out)
        print(f"Made again from {results / name}, in {out}")


def pooled(folders: Sequence[Path], out: Path | None) -> None:
    """Write the folds of a comparison as one.

    :raises ValueError: a folder without results, or nowhere to write
    """
    missing = [str(folder) for folder in folders if not (folder / "results.json").is_file()]
    if missing:
        raise ValueError(
            f"expected folds that `compare` has finished, found no results.json in {', '.join(missing)}: check the paths"
        )
    if out is None:
        raise ValueError("expected --out, a folder for the folds together, got none: name one")
    pool([load_results(folder) for folder in folders]).save(out)
    write_report(out, out)
