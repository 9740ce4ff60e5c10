from experiments.commands import pretrain as command
from experiments.config import Pretrain


def test_it_pretrains_as_it_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(command, "pretrain", told.append)
    command.run(Pretrain(clips=7))
    assert told == [Pretrain(clips=7)]
