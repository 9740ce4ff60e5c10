from pathlib import Path

from experiments.commands import probe as command
from experiments.config import Probe


def test_it_prints_what_was_found(monkeypatch, capsys):
    monkeypatch.setattr(command, "probe", lambda config: f"found by {type(config).__name__}")
    assert command.run(Probe((Path("r"),))) is None
    assert capsys.readouterr().out == "found by Probe\n"
