"""Ctrl-C, pressed by a test."""

import os
import signal
import threading
import time


def press_ctrl_c_when(seen):
    """SIGINT to this process alone, once ``seen()`` is true."""

    def wait():
        deadline = time.monotonic() + 60
        while not seen() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()
