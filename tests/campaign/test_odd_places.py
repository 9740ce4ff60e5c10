"""Paths and homes that nobody tests with."""

import os
import shutil
import subprocess
import sys

import pytest
from campaign_cases import ROOT, TIMES

NAMES = [
    "with spaces",
    'it\'s "quoted"',
    "<img onerror=alert(1)>",
    "a" * 250,
    "日本 ünï",
    "$HOME;`x`",
    "-rf",
    "new\nline",
    b"no \xff text",
]


def call(*words: object, **environment: str | None) -> subprocess.CompletedProcess:
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "experiments", *(word if isinstance(word, bytes) else str(word) for word in words)]
    env = {name: value for name, value in known.items() if value is not None}
    return subprocess.run(command, env=env, capture_output=True, check=False)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_run_in_any_folder_is_written_and_read(name, videos, backbone_file, tmp_path):
    from experiments.config import Data, Train
    from experiments.run import Run

    place = tmp_path / os.fsdecode(name)
    config = Train(backbone=backbone_file, data=Data(root=place / "videos"), run=place / "run")
    Run(config.run).begin(config)
    assert Run(config.run).config() == config


@pytest.mark.parametrize("name", [NAMES[2], NAMES[-1]], ids=ascii)
def test_a_data_set_in_any_folder_is_looked_at(name, videos, tmp_path):
    place = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
    shutil.copytree(os.fsencode(videos), place)
    done = call("check-data", place, "--workers", 1, "--near", -1)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("home", [None, "/nonexistent", "/proc"] if TIMES > 1 else ["/proc"])
def test_no_home_is_needed(home, tmp_path):
    done = call("describe", "resnet_small", "--num-classes", 8, HOME=home, MPLCONFIGDIR=None)
    assert done.returncode == 0, done.stderr
