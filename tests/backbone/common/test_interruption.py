import subprocess
import sys
from contextlib import nullcontext

from agent.callbacks import checkpoints
from backbone.common.interruption import Interrupted, interrupts_blocked


def test_an_interruption_passes_where_errors_are_explained():
    assert not issubclass(Interrupted, ValueError | OSError | KeyboardInterrupt)


def test_training_raises_this_one():
    assert checkpoints.Interrupted is Interrupted


def test_processes_never_hear_ctrl_c():
    ask = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    answers = []
    for around in (interrupts_blocked(), nullcontext()):
        with around:
            answers.append(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout)
    assert answers == ["True\n", "False\n"]
