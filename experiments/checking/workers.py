"""Many clips, looked at side by side in processes that may die of one."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from backbone.common.interruption import interrupts_blocked
from backbone.common.progress import Bar
from experiments.checking.clip import Clip, Finding, inspect


def inspect_all(clips: dict[str, Clip], num_frames: int, workers: int) -> Iterator[tuple[str, Finding]]:
    """`inspect` each clip, side by side, with a progress bar on a terminal."""
    bar = Bar(total=len(clips), desc="checking", unit="clip", disable=None)
    found = inspect_here(clips, num_frames) if workers == 1 else inspect_apart(clips, num_frames, workers, 4 * workers)
    with bar:
        for name, finding in found:
            bar.update()
            yield name, finding


def inspect_here(clips: dict[str, Clip], num_frames: int) -> Iterator[tuple[str, Finding]]:
    """In this process."""
    for name, clip in clips.items():
        yield name, inspect(clip, num_frames)


def inspect_apart(clips: dict[str, Clip], num_frames: int, workers: int, at_once: int) -> Iterator[tuple[str, Finding]]:
    """In processes, `at_once` clips being under way. If a process dies, these are looked at again, one by one."""
    waiting = deque(clips)
    others = set(multiprocessing.active_children())
    while waiting:
        running: dict[Future, str] = {}
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    with interrupts_blocked():
                        future = pool.submit(inspect, clips[waiting[0]], num_frames)  # fails if the pool is broken
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finding = future.result()
                    yield running.pop(future), finding
        except BrokenProcessPool:
            suspects = {name: clips[name] for name in running.values()}
            if at_once > 1:
                yield from inspect_apart(suspects, num_frames, 1, 1)
            for name, clip in suspects.items() if at_once == 1 else ():
                reason = f"{clip.path}: expected a video, but the process that decoded it died; take it off the list"
                yield name, Finding("unreadable", reason)
        except (KeyboardInterrupt, GeneratorExit):  # nobody waits for what is under way
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
