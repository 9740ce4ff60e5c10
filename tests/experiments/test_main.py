import inspect
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from experiments.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[2]


HEAVY = ("torch", "stable_baselines3", "av", "gymnasium", "matplotlib", "scipy", "numpy")  # half a second and more
HELP = f"""
import sys
from experiments.__main__ import main
try:
    main(sys.argv[1:])
finally:
    print("heavy:", *sorted(set(sys.modules) & set({HEAVY})))
"""


@pytest.mark.parametrize("command", ["", *sorted(COMMANDS)])
def test_help_comes_before_anything_heavy_is_imported(command):
    words = [word for word in (command, "--help") if word]
    helped = subprocess.run([sys.executable, "-c", HELP, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert helped.returncode == 0
    assert "options" in helped.stdout
    assert helped.stdout.splitlines()[-1].split() == ["heavy:"]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_a_file_that_can_run(command):
    module = import_module(f"experiments.commands.{COMMANDS[command].file}")
    (option,) = inspect.signature(module.run).parameters.values()
    assert option.annotation == COMMANDS[command].options.__name__


def test_every_file_of_a_command_is_in_the_table():
    files = {path.stem for path in (ROOT / "experiments" / "commands").glob("*.py")} - {"__init__"}
    assert {command.file for command in COMMANDS.values()} == files


def test_the_exit_code_is_what_a_command_that_judges_returns(tmp_path, capsys):
    assert main(["check-data", str(tmp_path), "--json"]) == 1
    (tmp_path / "classes.txt").write_text("left\nright\n")
    assert main(["flips", str(tmp_path / "classes.txt"), "--json"]) == 0


def test_the_console_script_finds_plugins_where_it_is_called_but_no_packages_in_place_of_ours(tmp_path):
    (tmp_path / "my_backbones.py").write_text("print('imported')")
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text("raise RuntimeError('not ours')")
    lines = (
        f"import sys; sys.path[:] = [{str(ROOT)!r}, *sys.path[1:]]; from experiments.__main__ import adafuse_rl",
        "sys.argv[1:] = ['describe', 'resnet_small', '--plugin', 'my_backbones', '--json']",
        "sys.exit(adafuse_rl())",
    )
    called = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True)
    assert called.returncode == 0, called.stderr
    assert "imported" in called.stderr


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
