"""Jobs as tasks of a Ray cluster: machines come and go, and what one has begun another goes on with."""

from __future__ import annotations

import os
import signal
import socket
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from backbone.common.interruption import Interrupted
from experiments.executors import worker
from experiments.executors.executor import Bar, Executor, Failed, Job, name_of, register_executor
from experiments.executors.lock import token_of
from experiments.executors.machines import Unfit, expect_folders, expect_same_program, facts_of_machine
from experiments.machine import set_up_cpu

TRIES = 3  # of a job
LINES = 8  # that are kept of one that failed
ANSWER = 5.0  # seconds within which an address must
SETTINGS = b"\x04"  # the kind of frame with which HTTP/2, and so gRPC, begins to talk (RFC 9113, section 3.4)
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + SETTINGS + b"\0" * 5
TELLING = 1.0  # seconds between what a job tells


@register_executor("ray")
class Ray(Executor):
    """A Ray task a job. Ray finds it a machine, and Ray notices when the machine is gone; all else is here.

    A job that raises, or whose worker dies without having come further than before, is tried three times in all; then it
    is ``Failed``, and the rest goes on. A worker that dies after progress costs no try: machines that are lent for a while
    are taken away, and the job goes on from its last checkpoint.
    """

    def run(self, jobs: Sequence[Job], *, bar: Bar, at_once: int | None = None) -> list[Any]:
        ray = _connect(self.options.address)
        here = facts_of_machine()
        need = {"num_cpus": self.options.job_cpus, "num_gpus": self.options.job_gpus, "max_retries": 0}
        _warn_of_room(ray, need)
        board = _board(ray)
        told = _told(here, jobs)
        _check_machines(ray, told)
        task = ray.remote(**need)(_work)
        asked: list[int] = []
        before = _on_ctrl_c(lambda: asked.append(1))
        try:
            return _Sweep(ray, jobs, lambda job: task.remote(*job, board, told), board, bar, at_once, asked).run()
        finally:
            ray.kill(board)
            if before is not None:
                signal.signal(signal.SIGINT, before)


class _Sweep:
    """One call of ``run``: what waits, what is under way, and what came of each.

    :param asked: not empty once the user asked for a stop
    """

    def __init__(
        self,
        ray: Any,
        jobs: Sequence[Job],
        submit: Callable[[Job], Any],
        board: Any,
        bar: Bar,
        at_once: int | None,
        asked: Sequence[int],
    ) -> None:
        self.ray, self.jobs, self.submit, self.board, self.bar, self.asked = ray, jobs, submit, board, bar, asked
        self.at_once = at_once or len(jobs)
        self.waiting, self.under_way = deque(range(len(jobs))), dict[Any, int]()
        self.found: dict[int, Any] = {}
        self.tries, self.furthest, self.retried = Counter[int](), Counter[int](), 0
        self.stopped = False

    def run(self) -> list[Any]:
        while self.waiting or self.under_way:
            if self.asked and not self.stopped:
                self.stopped = True
                self.board.stop.remote()
            if self.stopped:
                self.waiting.clear()
            while self.waiting and len(self.under_way) < self.at_once:
                index = self.waiting.popleft()
                self.under_way[self.submit(self.jobs[index])] = index
            done, _ = self.ray.wait(list(self.under_way), timeout=0.5) if self.under_way else ([], [])
            self._show()
            for one in done:
                self._end(self.under_way.pop(one), one)
        if self.stopped:
            raise Interrupted
        return [self.found[index] for index in range(len(self.jobs))]

    def _show(self) -> None:
        counts = self.ray.get(self.board.read.remote())
        for name, count in counts.items():
            self.bar.tell(name, count)
        begun = sum(name_of(self.jobs[index]) in counts for index in self.under_way.values())
        waiting = len(self.waiting) + len(self.under_way) - begun
        self.bar.state(len(self.found), running=begun, waiting=waiting, retried=self.retried)

    def _end(self, index: int, one: Any) -> None:
        try:
            state, found = self.ray.get(one)
        except self.ray.exceptions.RayError as error:  # a worker or its machine has died
            state, found = "lost", _last(str(error))
        if state == "done":
            self.found[index] = found
        elif state == "unfit":
            raise Unfit(found)
        elif state == "stopped":
            self.stopped = True
            self.board.stop.remote()
        else:
            self._again(index, found, lost=state == "lost")

    def _again(self, index: int, lines: Sequence[str], *, lost: bool) -> None:
        name = name_of(self.jobs[index])
        come = self.bar.seen.get(name, 0)
        if not (lost and come > self.furthest[index]):
            self.tries[index] += 1
        self.furthest[index] = max(come, self.furthest[index])
        if self.tries[index] >= TRIES:
            self.found[index] = Failed(name, TRIES, tuple(lines))
            self.bar.bar.write(str(self.found[index]))
            return
        self.retried += 1
        self.board.forget.remote(name)
        self.waiting.append(index)


class _Board:
    """An actor beside the driver: what jobs tell, and whether they shall stop."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.stopped = False

    def tell(self, name: str, count: int) -> bool:
        self.counts[name] = count
        return self.stopped

    def read(self) -> dict[str, int]:
        return self.counts

    def forget(self, name: str) -> None:
        self.counts.pop(name, None)

    def stop(self) -> None:
        self.stopped = True


class _Line:
    """From a job to the board, at most once a second; where nobody answers any more, the job shall stop."""

    def __init__(self, board: Any, name: str) -> None:
        self.board, self.name, self.count, self.at, self.stopped = board, name, 0, 0.0, False
        self.tell(name, 0)

    def tell(self, name: str, count: int) -> None:
        self.count = count
        if time.monotonic() - self.at < TELLING or self.stopped:
            return
        import ray

        try:
            self.stopped = ray.get(self.board.tell.remote(self.name, self.count))
        except ray.exceptions.RayError:
            self.stopped = True
        self.at = time.monotonic()

    def stopping(self) -> bool:
        self.tell(self.name, self.count)
        return self.stopped


def _work(function: Callable[[Any], Any], config: Any, board: Any, told: dict[str, Any]) -> tuple[str, Any]:
    """What runs on a machine of the cluster: ("done", result), or why there is none."""
    try:
        _expect_fit(told)
        set_up_cpu(1)
        line = _Line(board, name_of((function, config)))
        worker.connect(line.tell, line.stopping)
        return "done", worker.do(function, config)
    except Unfit as error:
        return "unfit", str(error)
    except Interrupted:
        return "stopped", None
    except Exception:  # told with its last lines, and tried again
        return "failed", [*_last(traceback.format_exc()), f"(on {facts_of_machine()['name']})"]


def _expect_fit(told: dict[str, Any]) -> str:
    """:raises Unfit: this machine cannot take part; returns its name"""
    here = facts_of_machine()
    expect_same_program(told["machine"], here)
    expect_folders(here["name"], told["working"], told["folders"], told["data"])
    return here["name"]


def _told(machine: dict[str, Any], jobs: Sequence[Job]) -> dict[str, Any]:
    """What every machine is told of the driver's, to see whether it has the same."""
    folders = {str(parent) for job in jobs for parent in Path(name_of(job)).parents if token_of(parent) is not None}
    return {
        "machine": machine,
        "working": os.getcwd(),
        "folders": {folder: token_of(Path(folder)) for folder in folders},
        "data": sorted({str(config.data.root) for _, config in jobs if hasattr(config, "data")}),
    }


def _check_machines(ray: Any, told: dict[str, Any]) -> None:
    """Before anything starts, every machine that is there now; a later one is looked at by its first job."""
    at = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    ask = ray.remote(num_cpus=0, max_retries=0)(_answer)
    alive = [node for node in ray.nodes() if node["Alive"]]
    asked = [ask.options(scheduling_strategy=at(node["NodeID"], soft=False)).remote(told) for node in alive]
    for one in asked:
        try:
            problem = ray.get(one)
        except ray.exceptions.RayError:  # it went while it was asked
            continue
        if problem is not None:
            raise Unfit(problem)


def _answer(told: dict[str, Any]) -> str | None:
    try:
        _expect_fit(told)
    except Unfit as error:
        return str(error)
    return None


def _connect(address: str) -> Any:
    """Ray, connected to a cluster.

    :raises ValueError: Ray is not installed, or the address does not answer, or another version does
    """
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise ValueError(
            f"expected Ray for --executor ray, could not import it ({error}): pip install 'adafuse-rl[ray]', or take "
            "--executor local"
        ) from error
    if ray.is_initialized():
        return ray
    if address not in ("auto", "local"):
        _expect_answer(address)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        context = ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"expected a Ray cluster at --address {address}, could not join it: {reason}; start one by `ray start --head`, "
            "name its HOST:PORT from one of its machines, or take --address local for this machine alone"
        ) from error
    machines = sum(node["Alive"] for node in ray.nodes())
    room = ray.cluster_resources()
    where = f", dashboard http://{context.dashboard_url}" if context.dashboard_url else ""
    print(f"Ray: {machines} machines, {room.get('CPU', 0):g} CPUs, {room.get('GPU', 0):g} GPUs{where}")
    return ray


def _expect_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"expected auto, local or HOST:PORT for --address, got {address!r}")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER) as line:
            line.sendall(GREETING)
            answer = line.recv(9)
    except OSError as error:
        raise ValueError(
            f"expected a Ray cluster at --address {address}, it does not answer ({error}): check host and port, and whether "
            "`ray status` answers there"
        ) from error
    if answer[3:4] != SETTINGS:
        raise ValueError(
            f"expected a Ray cluster at --address {address}, something else answers there: check the port, Ray's is 6379 "
            "unless told otherwise"
        )


def _board(ray: Any) -> Any:
    at = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    here = ray.get_runtime_context().get_node_id()
    return ray.remote(num_cpus=0)(_Board).options(scheduling_strategy=at(here, soft=False)).remote()


def _warn_of_room(ray: Any, need: dict[str, Any]) -> None:
    names = {"CPU": need["num_cpus"], "GPU": need["num_gpus"]}
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(one.get(name, 0) >= count for name, count in names.items()) for one in machines):
        print(
            f"No machine of the cluster has the {names['CPU']:g} CPUs and {names['GPU']:g} GPUs of a job: jobs wait until one "
            "joins (Ctrl-C, and --job-cpus or --job-gpus, ask for less)"
        )


def _on_ctrl_c(act: Callable[[], object]) -> Any:
    try:
        return signal.signal(signal.SIGINT, lambda number, frame: act())
    except ValueError:  # not the main thread: whoever runs there handles Ctrl-C
        return None


def _last(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if line.strip()][-LINES:]
