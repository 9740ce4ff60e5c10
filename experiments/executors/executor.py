"""What an executor is: whoever fans out gives it jobs, and it says what came of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbone.common import progress
from backbone.common.registry import Registry
from experiments.config.shared import Executed

Job = tuple[Callable[[Any], Any], Any]
"""A module's function, which is called where there is room, and its configuration, which has a ``folder`` or a ``run``."""


@dataclass(frozen=True)
class Failed:
    """What stands in place of a job's result after it has failed as often as its executor lets it.

    :param name: of the job, the folder that it writes
    :param lines: the last ones that it left, and where
    """

    name: str
    tries: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} failed {self.tries} times: {self.lines[-1] if self.lines else 'it said nothing'}"


class Executor(ABC):
    """Does jobs, in this order as far as there is room, under one progress bar.

    A job function calls ``experiments.executors.worker`` to tell how far it has come and to learn that it shall stop. It
    leaves what it finds in its folder and goes on from what it finds there, so that doing a job again repeats nothing.

    :param options: what the command was told of executors
    :param workers: jobs side by side that a user asked for; whoever knows a cluster's room may do more
    """

    def __init__(self, options: Executed, workers: int) -> None:
        self.options, self.workers = options, workers

    @abstractmethod
    def run(self, jobs: Sequence[Job], *, bar: Bar, at_once: int | None = None) -> list[Any]:
        """What each job returned, in their order; ``Failed`` where an executor tries again, and in vain.

        :param at_once: no more of them side by side
        :raises Interrupted: after Ctrl-C, once every job under way has saved its checkpoint
        """


EXECUTORS: Registry[type[Executor]] = Registry("executor")


def register_executor(name: str) -> Callable[[type[Executor]], type[Executor]]:
    """Record an Executor under a name for --executor."""
    return lambda kind: EXECUTORS.register(kind, name)


def name_of(job: Job) -> str:
    """What a job is called: the folder that it writes; of several in one folder, what they write there."""
    config = job[1]
    return str(getattr(config, "path", None) or folder_of(config))


def folder_of(config: Any) -> Path:
    """The folder that a job of this configuration writes."""
    return Path(getattr(config, "folder", None) or config.run)


class Bar:
    """One bar over all jobs: units done by those under way and those that have ended.

    :param total: units of all jobs together; 0 shows what is done without an end
    """

    def __init__(self, jobs: int, *, title: str, total: int, unit: str) -> None:
        self.jobs, self.total, self.seen = jobs, total, dict[str, int]()
        self.bar = progress.Bar(total=total, desc=title, unit=unit, disable=None, smoothing=0.05)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def tell(self, name: str, count: int) -> None:
        """A job has come so far."""
        self.seen[name] = max(count, self.seen.get(name, 0))
        self.bar.update(self.done - self.bar.n)

    @property
    def done(self) -> int:
        """Units of all jobs together."""
        return min(sum(self.seen.values()), self.total)

    def state(self, done: int, **counts: int) -> None:
        """How many jobs have ended, and whatever else is to be counted: ``running``, ``waiting``, ``retried``."""
        words = [f"{done} of {self.jobs} jobs done", *(f"{count} {word}" for word, count in counts.items() if count)]
        self.bar.set_postfix_str(", ".join(words))
