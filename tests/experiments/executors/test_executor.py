from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.config import Compare, Train
from experiments.executors.executor import EXECUTORS, Bar, Executor, Failed, name_of, register_executor
from experiments.executors.run_jobs import run_jobs


@dataclass(frozen=True)
class Doubled:
    number: int
    run: Path = Path("nowhere")


def double(config):
    return 2 * config.number


def test_a_third_executor_is_one_class():
    @register_executor("here")
    class Here(Executor):
        def run(self, jobs, *, bar, at_once=None):
            return [function(config) for function, config in jobs]

    try:
        found = run_jobs([(double, Doubled(number)) for number in (1, 2)], Compare(executor="here"), title="twice")
    finally:
        del EXECUTORS["here"]
    assert found == [2, 4]


def test_a_job_is_called_after_the_folder_that_it_writes():
    assert name_of((double, Train(run=Path("a/b")))) == "a/b"
    assert name_of((double, Doubled(1, Path("c")))) == "c"


def test_units_are_counted_once_and_never_beyond_all_of_them():
    with Bar(2, title="", total=10, unit="clip") as bar:
        bar.tell("a", 4)
        bar.tell("a", 3)  # a job that begins again from its last checkpoint
        bar.tell("b", 5)
        assert bar.done == 9
        bar.tell("b", 50)
        assert bar.done == 10


@pytest.mark.parametrize(("lines", "last"), [(("a", "b"), "b"), ((), "it said nothing")])
def test_a_failed_job_says_its_last_line(lines, last):
    assert str(Failed("runs/a", 3, lines)) == f"runs/a failed 3 times: {last}"
