import json
import os
import subprocess
import sys
import time

import pytest

from experiments.executors import lock
from experiments.executors.lock import DRIVER, driving, token_of


def left_behind(folder, **changed):
    found = {"token": "x", "host": lock.platform.node(), "pid": os.getpid(), "beat": time.time(), **changed}
    (folder / DRIVER).write_text(json.dumps(found))


def test_two_drivers_on_one_folder_are_refused_with_a_sentence(tmp_path):
    with driving(tmp_path):
        token = token_of(tmp_path)
        said = rf"process {os.getpid()} on .* does already .* name another folder"
        with pytest.raises(ValueError, match=said), driving(tmp_path):
            pass
        assert token_of(tmp_path) == token is not None
    assert token_of(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_driver_that_was_killed_here_is_followed_at_once(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left_behind(tmp_path, pid=dead.pid)
    with driving(tmp_path):
        assert token_of(tmp_path) != "x"


def test_one_that_was_killed_but_not_buried_is_dead_too(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    while not lock._zombie(dead.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    left_behind(tmp_path, pid=dead.pid)
    with driving(tmp_path):
        pass
    dead.wait()


def test_one_on_another_machine_is_followed_once_it_is_silent(tmp_path):
    left_behind(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(ValueError, match=r"process 1 on elsewhere .* taken for dead after 60 s"), driving(tmp_path):
        pass
    left_behind(tmp_path, host="elsewhere", pid=1, beat=time.time() - lock.SILENT - 1)
    with driving(tmp_path):
        pass


def test_whoever_drives_shows_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with driving(tmp_path):
        first = lock._read(tmp_path / DRIVER)["beat"]
        deadline = time.monotonic() + 10
        while lock._read(tmp_path / DRIVER)["beat"] == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lock._read(tmp_path / DRIVER)["beat"] > first


def test_a_file_that_is_no_lock_is_not_taken_for_one(tmp_path):
    (tmp_path / DRIVER).write_text("{")
    with driving(tmp_path):
        pass
