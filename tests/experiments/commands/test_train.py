from pathlib import Path

from experiments.commands import train as command
from experiments.config import Train, TrainCommand


def test_it_trains_as_it_is_told_and_says_how_to_judge(monkeypatch, capsys):
    told = []
    monkeypatch.setattr(command, "train", lambda config, resume: told.append(config) or Path("runs/x"))
    command.run(TrainCommand(method="ppo"))
    assert told == [Train(method="ppo")]
    assert capsys.readouterr().out == "Run finished in runs/x. Judge it: python -m experiments evaluate runs/x\n"


def test_a_run_is_resumed_as_it_was_configured(monkeypatch):
    told = []
    monkeypatch.setattr(command, "resume_training", lambda folder: told.append(folder) or folder)
    command.run(TrainCommand(resume=Path("runs/y"), method="ppo"))
    assert told == [Path("runs/y")]
