import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from interruptions import press_ctrl_c_when
from ray_cases import cluster

from backbone.common.interruption import Interrupted
from experiments.comparison.compare import compare
from experiments.config import Compare, Data
from experiments.executors import ray as executor
from experiments.executors import worker
from experiments.executors.executor import Bar, Failed
from experiments.executors.machines import Unfit
from experiments.executors.run_jobs import run_jobs

ROOT = Path(__file__).parents[3]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"expected Ray for --executor ray.*adafuse-rl\[ray\].*--executor local"):
        executor._connect("auto")


@pytest.mark.parametrize("address", ["nonsense", "host:port", ":6379"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="expected auto, local or HOST:PORT"):
        executor._expect_answer(address)


def test_an_address_at_which_nobody_listens_is_refused_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(ValueError, match="does not answer"):
            executor._expect_answer(f"127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n", b""])
def test_something_else_than_ray_that_answers_is_refused_at_once(says):
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            line, _ = other.accept()
            with line:
                line.recv(64)
                line.sendall(says)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(ValueError, match="something else answers there"):
            executor._expect_answer(f"127.0.0.1:{other.getsockname()[1]}")


@dataclass(frozen=True)
class Work:
    """A job that writes one line a try."""

    run: Path
    seconds: float = 0.0
    fails: bool = False
    dies: int = 0


def do(config):
    """Count to ten from where the file stands; die or fail half way, if it is told to."""
    worker.go_on()
    config.run.mkdir(parents=True, exist_ok=True)
    log = config.run / "lines"
    tries = len(log.read_text().splitlines()) if log.exists() else 0
    with open(log, "a") as file:
        file.write(f"{os.getpid()}\n")
    for step in range(10):
        worker.report(str(config.run), step)
        worker.go_on()
        time.sleep(config.seconds / 10)
        if step == 5 and config.fails:
            raise OSError("no space left")
        if step == 5 and tries < config.dies:
            os.kill(os.getpid(), signal.SIGKILL)
    return tries


@pytest.fixture(scope="module")
def two_nodes():
    with pytest.MonkeyPatch.context() as patch, cluster(2, patch) as found:
        yield found


@pytest.fixture
def options(two_nodes, tmp_path):
    return Compare(executor="ray", address=two_nodes.address, run=tmp_path)


@pytest.mark.slow
def test_results_come_in_the_order_of_the_jobs_and_what_dies_or_fails_is_tried_again(options, tmp_path):
    jobs = [(do, Work(tmp_path / name, **how)) for name, how in
            {"good": {}, "bad": {"fails": True}, "dying": {"dies": 1}}.items()]  # fmt: skip
    good, bad, dying = run_jobs(jobs, options, title="three")
    assert (good, dying) == (0, 1)
    assert isinstance(bad, Failed)
    assert bad.tries == 3 == len((tmp_path / "bad" / "lines").read_text().splitlines())
    assert "OSError: no space left" in bad.lines
    press_ctrl_c_when((tmp_path / "endless" / "lines").exists)
    with pytest.raises(Interrupted):
        run_jobs([(do, Work(tmp_path / "endless", seconds=600))] * 2, options, title="")


class Gone(Exception):
    """A worker has died."""


class Cluster:
    """Stands in for Ray: a task ends at once, as its job's list of ends says, in turn."""

    class exceptions:
        RayError = Gone

    def __init__(self, ends):
        self.ends, self.counts = ends, {}

    def submit(self, job):
        name = str(job[1].run)
        end = self.ends[name].pop(0)
        self.counts[name] = end[2] if len(end) > 2 else 0
        return object.__new__(type("Task", (), {"end": end}))

    def wait(self, tasks, timeout):
        return tasks[:1], tasks[1:]

    def get(self, one):
        if one is self.counts:
            return one
        if one.end[0] == "lost":
            raise Gone("worker died")
        return one.end[:2]

    def __getattr__(self, name):  # the board's methods
        return type("Method", (), {"remote": lambda *_: self.counts})


def swept(ends):
    jobs = [(do, Work(Path(name))) for name in ends]
    ray = Cluster({name: list(one) for name, one in ends.items()})
    with Bar(len(jobs), title="", total=100, unit="step") as bar:
        return executor._Sweep(ray, jobs, ray.submit, ray, bar, None, ()).run()


def test_a_job_fails_for_good_the_third_time_and_the_rest_finishes():
    failed = ("failed", ["boom"])
    found = swept({"a": [failed] * 3, "b": [failed, failed, ("done", 2)], "c": [("done", 3)]})
    assert found == [Failed("a", 3, ("boom",)), 2, 3]


def test_a_machine_that_is_taken_away_costs_no_try_as_long_as_the_job_gets_further():
    taken = [("lost", "", step) for step in (1, 2, 3, 4, 5)]
    assert swept({"a": [*taken, ("done", 1)]}) == [1]
    (hopeless,) = swept({"a": [("lost", "", 5)] * 9})
    assert hopeless == Failed("a", 3, ("worker died",))


def test_a_machine_that_cannot_take_part_ends_the_sweep():
    with pytest.raises(Unfit, match="other commit"):
        swept({"a": [("unfit", "other commit")]})


QUICK = {
    "methods": ("gumbel", "static"), "cost_weights": (1.0,), "seeds": (0,), "rollouts": 512, "pretrain_clips": 64,
    "group_sizes": (1,), "workers": 2, "device": "cpu", "preset": "quick",
}  # fmt: skip


@pytest.fixture(scope="module")
def local_table(videos, tmp_path_factory):
    """What processes of this machine find, and what Ray has to find too."""
    pytest.importorskip("ray")
    run = tmp_path_factory.mktemp("local") / "run"
    compare(Compare(**QUICK, data=Data(root=videos), run=run))
    return table(run)


def table(run):
    """Every figure of a report but for the seconds."""
    found = json.loads((run / "report.json").read_text())
    text = json.dumps([found["claims"], found["tables"]])
    return re.sub(r'"seconds": [^,}]+', "", text)


@pytest.mark.slow
def test_a_machine_dies_in_the_middle_and_the_table_is_the_local_one(local_table, videos, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with cluster(2, monkeypatch) as found:
        node = next(node for node in found.worker_nodes)
        gone = []

        def die():
            wait_for(run.glob, "*-s0/checkpoint.pt")
            found.remove_node(node)
            gone.append(node)

        dies = threading.Thread(target=die)
        dies.start()
        assert not compare(Compare(**QUICK, data=Data(root=videos), executor="ray", address=found.address, run=run))
        dies.join()
        assert gone
    assert table(run) == local_table


def wait_for(look, *how, seconds=600):
    """Until there is something to see."""
    deadline = time.monotonic() + seconds
    while not any(look(*how)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return True


@pytest.mark.slow
def test_the_driver_dies_and_is_started_again_and_the_table_is_the_local_one(
    local_table, videos, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    with cluster(2, monkeypatch) as found:
        config = Compare(**QUICK, data=Data(root=videos), executor="ray", address=found.address, run=run)
        code = f"from pathlib import *; from experiments.config import *; from experiments.comparison.compare import *; compare({config!r})"
        code = code.replace("PosixPath(", "Path(")
        driver = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
        wait_for(run.glob, "*-s0/checkpoint.pt")
        driver.kill()
        assert not compare(config)
        driver.wait()
    assert table(run) == local_table
