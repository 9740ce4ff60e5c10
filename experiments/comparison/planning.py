"""What a comparison would take: its jobs, and their time by earlier runs of the same kind."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.config import Pretrain, Train, to_json
from experiments.executors.executor import folder_of
from experiments.run import Fixed, Kind, Run

KIND = (
    "method",
    "regime",
    "order",
    "group_size",
    "rollouts_per_clip",
    "statistics",
)  # of a training, with its clips' size
OF_CLIPS = ("num_frames", "size")
DEEP = 3  # folders below that of the comparison's parent, in which earlier runs are looked for


def kind_of(options: dict[str, Any]) -> tuple[Any, ...]:
    """What settles the time of a rollout, apart from the machine and the CNN."""
    return (*(options.get(name) for name in KIND), *(options.get("data", {}).get(name) for name in OF_CLIPS))


def seconds_per_rollout(folder: Path) -> dict[tuple[Any, ...], float]:
    """The median of the finished runs in a folder, for each kind of run."""
    found: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for depth in range(1, DEEP + 1):
        for manifest in folder.glob("/".join(["*"] * depth) + f"/{Run.manifest.name}"):
            run = Run(manifest.parent)
            try:
                result = run.read_result() if run.finished and run.kind is Kind.TRAINED else {}
            except (ValueError, KeyError, json.JSONDecodeError):  # of another program, or damaged: it tells nothing
                continue
            if result.get("seconds") and result.get("rollouts"):
                found[kind_of(run.options())].append(result["seconds"] / result["rollouts"])
    return {kind: statistics.median(each) for kind, each in found.items()}


def describe_plan(jobs: Sequence[Sequence[Pretrain | Train | Fixed]], run: Path) -> Iterator[str]:
    """A line a job, and the sum.

    :param jobs: of each comparison
    :param run: beside whose folder earlier runs are looked for
    """
    rates, total, unknown = seconds_per_rollout(run.parent), 0.0, Counter[str]()
    every = [job for one in jobs for job in one]
    for job in every:
        seconds = rates.get(kind_of(to_json(job)), 0.0) * job.rollouts if isinstance(job, Train) else 0.0
        total += seconds
        if not seconds:
            unknown[_what(job)] += 1
        yield f"{folder_of(job)}  {_what(job)}, {f'about {seconds / 60:.1f} minutes' if seconds else 'time not known'}"
    yield f"{len(every)} jobs, about {total / 3600:.2f} machine hours of one core for those whose kind has been run before"
    if unknown:
        named = ", ".join(f"{count} of {name}" for name, count in unknown.items())
        yield f"Not in it, since no earlier run beside {run} tells their time: {named}"


def _what(job: Pretrain | Train | Fixed) -> str:
    if isinstance(job, Train):
        return f"training by {job.method}"
    return "pretraining" if isinstance(job, Pretrain) else "fixed policies"
