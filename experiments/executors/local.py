"""Jobs in processes of this machine, of one thread each."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from queue import Empty
from typing import Any

import torch

from experiments.executors import worker
from experiments.executors.executor import Bar, Executor, Job, register_executor
from experiments.machine import set_up_cpu


@register_executor("local")
class Local(Executor):
    """As many processes as workers. The first job that fails stops the others at a checkpoint, and its error is raised."""

    def run(self, jobs: Sequence[Job], *, bar: Bar, at_once: int | None = None) -> list[Any]:
        workers = at_once or self.workers
        context = multiprocessing.get_context("spawn")
        progress, stop, turns = context.Queue(), context.Event(), context.Queue()
        for turn in range(workers):
            turns.put(turn)
        pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(progress, stop, turns))
        before = signal.signal(signal.SIGINT, lambda number, frame: stop.set())
        try:
            futures = [pool.submit(worker.do, function, config) for function, config in jobs]
            _watch(futures, progress, bar)
            done, pending = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [error for future in done if (error := future.exception()) is not None]
            if failed:
                stop.set()
                for future in pending:
                    future.cancel()
                raise failed[0]
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)
            signal.signal(signal.SIGINT, before)


def _watch(futures: Sequence[Future[Any]], progress: Any, bar: Bar) -> None:
    """Show the progress of all workers together until every job has ended or one has failed."""
    while True:
        done = sum(future.done() for future in futures)
        over = done == len(futures)
        bar.state(done)  # judging, after training, takes a while too
        failed = any(future.done() and future.exception() is not None for future in futures)
        try:
            bar.tell(*progress.get(timeout=0.5))
        except Empty:
            if over or failed:
                return


def _start_worker(progress: Any, stop: Any, turns: Any) -> None:
    turn = turns.get()
    if torch.cuda.is_available():
        torch.cuda.set_device(turn % torch.cuda.device_count())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C, and asks for a stop
    set_up_cpu(1)
    worker.connect(lambda name, count: progress.put((name, count)), stop.is_set)
