from pathlib import Path

from experiments.commands import evaluate as command
from experiments.config import Evaluate


def test_it_prints_what_was_found(monkeypatch, capsys):
    monkeypatch.setattr(command, "evaluate_run", lambda config: f"found by {type(config).__name__}")
    assert command.run(Evaluate(Path("r"))) is None
    assert capsys.readouterr().out == "found by Evaluate\n"
