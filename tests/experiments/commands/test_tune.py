from experiments.commands import tune as command
from experiments.config import Tune


def test_it_prints_what_was_found(monkeypatch, capsys):
    monkeypatch.setattr(command, "tune", lambda config: f"found by {type(config).__name__}")
    assert command.run(Tune()) is None
    assert capsys.readouterr().out == "found by Tune\n"
