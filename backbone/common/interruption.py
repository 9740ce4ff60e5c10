"""Ctrl-C: what long work raises when it is asked to stop, and how processes that it starts are spared it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


class Interrupted(Exception):
    """Work was asked to stop, as by Ctrl-C; what was done is kept, and it can be taken up again."""


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes started inside never hear Ctrl-C, which a terminal sends to all: it is for the parent alone."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would unblock them on its way
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
