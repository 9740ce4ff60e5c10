import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert leaving.value.code == 0
    assert "options" in capsys.readouterr().out


def test_an_error_is_one_sentence_and_no_traceback(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: expected")
    assert said.count("\n") == 1


def test_a_folder_without_videos_is_one_sentence(tmp_path, capsys):
    code = main(["pretrain", "--data.root", str(tmp_path), "--run", str(tmp_path / "run")])
    assert code == 1
    assert capsys.readouterr().err.startswith("Error: ")


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_resume(videos, backbone_file, tmp_path):
    run = tmp_path / "run"
    words = ["--backbone", backbone_file, "--data.root", videos, "--rollouts", "20000", "--evaluate-every", "100000",
             "--validation-clips", "4", "--run", run, "--device", "cpu"]  # fmt: skip
    command = [sys.executable, "-m", "experiments", "train", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 90
    while not (run / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"train --resume {run}" in said
    assert (run / "checkpoint.pt").exists()
    assert not (run / "result.json").exists()
