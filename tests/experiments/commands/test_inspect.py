from pathlib import Path

from experiments.commands import inspect as command
from experiments.config import Inspect


def test_it_does_what_it_is_told_once(monkeypatch):
    told = []
    monkeypatch.setattr(command, "inspect", told.append)
    assert command.run(Inspect((Path("r"),))) is None
    assert told == [Inspect((Path("r"),))]
