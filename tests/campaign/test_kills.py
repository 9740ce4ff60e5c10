"""kill -9 at random moments, then --resume: the same tensors, curves and logged steps as without; nothing half-written, no orphans."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from campaign_cases import ROOT, TIMES
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from backbone.common.files import load_checkpoint

METHODS = ("gumbel", "reinforce", "ppo", "rebar", "static")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "experiments", *map(str, words), "--threads", "1", "--device", "cpu"]


def start(words: list[str]) -> subprocess.Popen:
    """In a group of its own, so that what it leaves behind can be found."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, cwd=ROOT, env=environment, start_new_session=True, **quiet)


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def kill_after(process: subprocess.Popen, seconds: float) -> None:
    """Kill it, and whatever it has started; nothing of that is left."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    os.kill(process.pid, signal.SIGKILL)  # not its group: its children must notice
    process.communicate()
    until = time.monotonic() + 30
    while not is_gone(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert is_gone(process.pid)


def next_sitting(run: Path, first: list[str]) -> list[str]:
    """To go on where there is something to go on from; else from the start, in an empty folder."""
    if (run / "checkpoint.pt").exists():
        return command("train", "--resume", run)
    shutil.rmtree(run, ignore_errors=True)
    return first


def steps_of(run: Path) -> dict[str, list[int]]:
    board = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return {tag: [point.step for point in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS if TIMES > 1 else METHODS[:1])
def test_a_killed_training_ends_as_if_nothing_had_been(method, videos, backbone_file, tmp_path):
    options = ["--method", method, "--backbone", backbone_file, "--data.root", videos, "--rollouts", 256]
    options += [
        "--num-clips",
        4,
        "--rollouts-per-clip",
        4,
        "--batch-size",
        16,
        "--evaluate-every",
        32,
        "--validation-clips",
        4,
    ]
    began = time.monotonic()
    assert start(command("train", *options, "--run", tmp_path / "whole")).wait() == 0
    lasted = time.monotonic() - began
    rng = random.Random(method)
    run, first = tmp_path / "parts", command("train", *options, "--run", tmp_path / "parts")
    for _ in range(max(TIMES // len(METHODS), 1)):
        kill_after(start(next_sitting(run, first)), rng.uniform(0.4, 1.0) * lasted)
        if (run / "checkpoint.pt").exists():
            load_checkpoint(run / "checkpoint.pt", "agent")  # whole, at every moment
        if (run / "result.json").exists():
            break
    if not (run / "result.json").exists():
        assert start(next_sitting(run, first)).wait() == 0
    whole, parts = (load_checkpoint(place / "checkpoint.pt", "agent")[1] for place in (tmp_path / "whole", run))
    assert all(
        torch.equal(part, parts["parameters"]["policy"][key]) for key, part in whole["parameters"]["policy"].items()
    )
    curves = [json.loads((place / "learning.json").read_text()) for place in (tmp_path / "whole", run)]
    assert curves[0] == curves[1]
    assert steps_of(tmp_path / "whole") == steps_of(run)
    assert not [path for path in run.iterdir() if path.name.endswith(".part")]
