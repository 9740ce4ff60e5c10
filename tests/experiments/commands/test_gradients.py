from experiments.commands import gradients as command
from experiments.config import Gradients


def test_it_does_what_it_is_told_once(monkeypatch):
    told = []
    monkeypatch.setattr(command, "gradients", told.append)
    assert command.run(Gradients()) is None
    assert told == [Gradients()]
