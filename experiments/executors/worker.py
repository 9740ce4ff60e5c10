"""What a job can tell whoever gave it, and ask, wherever it runs: how far it has come, and whether it shall stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backbone.common.interruption import Interrupted
from experiments.executors.store import sync

Report = Callable[[str, int], None]
"""(name of a job, units done), called as often as the job likes."""


def _nobody(name: str, count: int) -> None:
    return


_report: Report = _nobody
_stopping: Callable[[], bool] = bool


def connect(report: Report, stopping: Callable[[], bool]) -> None:
    """Called by an executor, in the process of its jobs."""
    global _report, _stopping
    _report, _stopping = report, stopping


def report(name: str, count: int) -> None:
    """Tell how far the job of a name has come, in its unit: rollouts, or clips of pretraining."""
    _report(name, count)


def stopping() -> bool:
    """Shall this job save what it has, and stop?"""
    return _stopping()


def go_on() -> None:
    """:raises Interrupted: the job shall not begin"""
    if stopping():
        raise Interrupted


def do(function: Callable[[Any], Any], config: Any) -> Any:
    """Do a job here: what it stands on is fetched first, and what it leaves is sent, where its folder is at a URL."""
    with sync(config) as sent:
        before = _report

        def told(name: str, count: int) -> None:
            sent()
            before(name, count)

        connect(told, _stopping)
        try:
            return function(config)
        finally:
            connect(before, _stopping)
