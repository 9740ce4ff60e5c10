"""``check-data``: what is wrong with a data set, with an exit code."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console

from experiments.checking.check import examine
from experiments.checking.show import show
from experiments.config import CheckData


def run(config: CheckData) -> int:
    """Check and print; 0 if nothing is wrong, 1 otherwise.

    :raises ClipError: when not even one split can be listed.
    """
    report = examine(config)
    if config.json:
        print(json.dumps({**asdict(report), "clean": report.clean, "counts": report.count()}, indent=2))
    else:
        show(report, Console(soft_wrap=True, highlight=False, markup=False))
    return 0 if report.clean else 1
