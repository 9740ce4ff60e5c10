"""Batches of clips, read ahead by other processes so that the CNN does not wait for them."""

from __future__ import annotations

import copy
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from backbone.common.interruption import interrupts_blocked
from envs.clips.sampler import ClipSampler
from envs.clips.source import BrokenClip, ClipError, ClipSource

# A process forked from one that computes inherits the locks of threads that it has not. A server that does nothing but
# fork costs one import of torch for all workers; where there is none (Windows), each of them costs one.
START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PRELOADED = ("__main__", "envs.clips.loader")  # by that server

Key = tuple[int, int]  # a sampler's seed and position: all that a batch depends on


class Batch(NamedTuple):
    """B clips.

    :param indices: (B,) int64, which clips of the source.
    :param frames: (B, T, H, H, 3) uint8, in pinned memory if asked for.
    :param labels: (B,) int64.
    """

    indices: np.ndarray
    frames: Tensor
    labels: Tensor


class Loader:
    """The batches that a sampler takes, in its order: the same bits for any number of workers.

    The sampler is the state: `next` reads the batch at its position, whoever set it, and moves it behind that batch.
    Reading ahead leaves it alone.

    In training a clip that cannot be read is named once, on stderr, and the clip that the sampler takes next behind the
    batch takes its place; the indices of a batch are those of the clips that are in it. Which clip stands where depends
    on the files and the sampler only. In evaluation such a clip is an error.

    :param sampler: of the source's clips.
    :param batch: clips a batch, B.
    :param train: random segments and crops; False takes the centred ones of evaluation.
    :param workers: processes, of one thread each; 0 reads when asked.
    :param prefetch: batches that each worker reads ahead.
    :param part: (k, n): of the n * B clips that the sampler takes for a batch, the k-th B of them, counted from 0. The
        segments and crops are drawn for all, so that n changes none.
    :param pin_memory: put what the workers read where CUDA copies it from without a detour.
    :raises ClipError: from `next`: a clip that cannot be read, or a worker that died.
    """

    def __init__(
        self,
        source: ClipSource,
        sampler: ClipSampler,
        batch: int,
        *,
        train: bool = True,
        workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if batch < 1 or workers < 0 or prefetch < 1:
            raise ValueError(
                f"expected batch and prefetch of at least 1 and no negative workers, got {batch}, {prefetch} and {workers}"
            )
        self.sampler, self.batch, self.workers, self.prefetch, self.pin_memory = (
            sampler,
            batch * part[1],
            workers,
            prefetch,
            pin_memory,
        )
        self.broken: dict[int, str] = {}  # clips found broken so far, and why
        self.waited = 0.0  # seconds, in all
        self._batches = _Batches(source, copy.copy(sampler), batch * part[1], train, part)
        self._keys = _Keys(batch * part[1])
        self._data_loader: DataLoader | None = None
        self._stream: Iterator | None = None
        self._ahead: Key | None = None  # the batch that the stream gives next
        self._asked: tuple[float, float] | None = None  # when `wait_share` was asked, and `waited` then

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        started = time.perf_counter()
        if self._asked is None:
            self._asked = started, self.waited
        key = self.sampler.seed, self.sampler.position
        try:
            found, broken = self._from_workers(key) if self.workers else self._batches[key]
        finally:
            self.waited += time.perf_counter() - started
        for clip in broken.keys() - self.broken.keys():
            tqdm.write(f"Left out, another clip takes its place: {broken[clip]}", file=sys.stderr)
        self.broken |= broken
        if isinstance(found, Exception):
            raise found
        self.sampler.position += self.batch
        return found

    def wait_share(self) -> float:
        """Share of the time since the last call, at first since the first batch, that `next` took."""
        now = time.perf_counter()
        since, waited = (now, self.waited) if self._asked is None else self._asked
        self._asked = now, self.waited
        return min((self.waited - waited) / max(now - since, 1e-9), 1.0)

    def close(self) -> None:
        """End the workers; the next batch would start others."""
        self._stream = self._data_loader = self._ahead = None

    def _from_workers(self, key: Key) -> tuple[Batch | Exception, dict[int, str]]:
        try:
            stream = self._stream
            if stream is None or key != self._ahead:
                stream = self._start(key)
            self._ahead = None  # whatever interrupts the next line leaves the stream in an unknown place
            result = next(stream)
        except (RuntimeError, OSError, EOFError) as error:  # the latter two while a batch is on its way
            reason = str(error) or "no answer"
            if isinstance(error, RuntimeError) and not reason.startswith(("DataLoader worker", "Pin memory thread")):
                raise
            self.close()
            raise ClipError(
                f"expected {self.workers} processes that read videos, but one has died ({reason}): memory, or shared "
                "memory (/dev/shm), may be too small; take fewer workers or smaller batches"
            ) from error
        self._ahead = key[0], key[1] + self.batch
        return result

    def _start(self, key: Key) -> Iterator:
        if self._data_loader is None:
            if START == "forkserver":
                multiprocessing.set_forkserver_preload(list(PRELOADED))
            self._data_loader = DataLoader(
                self._batches,
                batch_size=None,
                sampler=self._keys,
                num_workers=self.workers,
                prefetch_factor=self.prefetch,
                persistent_workers=True,
                collate_fn=_as_it_is,
                pin_memory=self.pin_memory,
                multiprocessing_context=START,
                worker_init_fn=_start_worker,
                generator=torch.Generator(),  # its own, so that training draws the same with workers and without
            )
        self._keys.start = key
        with interrupts_blocked():
            self._stream = stream = iter(self._data_loader)
        return stream


class _Batches(Dataset):
    """A batch as a function of its key, in whatever process. What it finds broken it does not try again."""

    def __init__(
        self, source: ClipSource, sampler: ClipSampler, count: int, train: bool, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.source, self.sampler, self.count, self.train, self.part = source, sampler, count, train, part
        self.broken: dict[int, str] = {}

    def __getitem__(self, key: Key) -> tuple[Batch | Exception, dict[int, str]]:
        """The batch, or why there is none (an error travels better as a value), and what was found broken so far."""
        try:
            return self._read(key), self.broken
        except (ValueError, OSError) as error:
            return error, self.broken

    def _read(self, key: Key) -> Batch:
        number, parts = self.part
        part = slice(number * self.count // parts, (number + 1) * self.count // parts)
        while True:
            indices, rng = self._take(key)
            try:
                frames, labels = self.source.draw_part(indices, rng if self.train else None, part)
            except BrokenClip as error:
                if not self.train:
                    raise
                self.broken[error.clip] = str(error)
            else:
                return Batch(indices[part], torch.from_numpy(frames), torch.from_numpy(labels))

    def _take(self, key: Key) -> tuple[np.ndarray, np.random.Generator]:
        self.sampler.seed, self.sampler.position = key
        indices, rng = self.sampler.take(self.count)
        if len(self.broken) == self.sampler.size:
            first = next(iter(self.broken.values()))
            raise ClipError(
                f"expected videos that can be read, but none of {self.sampler.size} can; the first: {first}"
            )
        for row in range(self.count):
            while int(indices[row]) in self.broken:
                indices[row] = self.sampler.take(1)[0][0]
        return indices, rng


class _Keys:
    """The keys from `start` on, without end."""

    def __init__(self, step: int) -> None:
        self.start, self.step = (0, 0), step

    def __iter__(self) -> Iterator[Key]:
        seed, position = self.start
        while True:
            yield seed, position
            position += self.step


def _as_it_is(item: object) -> object:
    return item


def _start_worker(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that trains hears Ctrl-C, and ends the workers
    sys.excepthook = _unless_broken_off
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _unless_broken_off(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A trainer interrupted as it took a batch over breaks the connection off: no news for the user."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _end_with_parent() -> None:
    """torch's own watch looks at the process that forked this one: the server, which waits for its children in turn."""
    parent = multiprocessing.parent_process()
    if parent is not None:  # as in every worker
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
