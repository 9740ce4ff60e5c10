"""The one way in for whoever has jobs: the executor that the options name, and a bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.config.shared import Device, Executed
from experiments.executors import local, ray  # noqa: F401  # which register themselves
from experiments.executors.executor import EXECUTORS, Bar, Failed, Job, folder_of
from experiments.executors.store import pull
from experiments.machine import cores, settle_device


def run_jobs(
    jobs: Sequence[Job],
    options: Executed,
    *,
    title: str,
    total: int = 0,
    unit: str = "rollout",
    at_once: int | None = None,
) -> list[Any]:
    """What each job returned, in their order, or ``Failed``.

    :param options: --executor and what belongs to it, and --workers where the command has it
    :param total: of all jobs together, in this unit, for the bar
    :param unit: what jobs report the number of: rollouts, or clips of pretraining
    :param at_once: no more of them side by side
    :raises ValueError: an unknown executor, or what the executor refuses
    :raises Interrupted: after Ctrl-C, once every job under way has saved its checkpoint
    """
    executor = EXECUTORS.find(options.executor)(options, getattr(options, "workers", 0) or cores())
    if not jobs:
        return []
    with Bar(len(jobs), title=title, total=total, unit=unit) as bar:
        found = executor.run(jobs, bar=bar, at_once=at_once)
    for folder in {folder_of(config) for _, config in jobs}:
        pull(folder)
    return found


def failed_of(found: Sequence[Any]) -> list[Failed]:
    """Those of ``run_jobs``' results that are none."""
    return [one for one in found or () if isinstance(one, Failed)]


def expect_all(found: Sequence[Any]) -> None:
    """For whoever cannot go on without one of them.

    :raises ValueError: a job has failed
    """
    if failed := failed_of(found):
        raise ValueError("expected every job to end well; " + "; ".join(map(str, failed)))


def device_of(options: Any) -> Device:
    """ "cpu" or "cuda" for the options' jobs, wherever they run: jobs that hold a GPU of a cluster need none here.

    :raises ValueError: CUDA is asked for and not there
    """
    on_cluster = options.executor != "local" and options.job_gpus > 0 and options.device != "cpu"
    return "cuda" if on_cluster else settle_device(options.device)
