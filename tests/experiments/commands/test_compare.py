from experiments.commands import compare as command
from experiments.config import Compare


def test_it_does_what_it_is_told_once(monkeypatch):
    told = []
    monkeypatch.setattr(command, "compare", told.append)
    assert command.run(Compare()) == 0
    assert told == [Compare()]
