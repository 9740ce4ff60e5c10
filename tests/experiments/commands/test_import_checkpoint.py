from pathlib import Path

from experiments.commands import import_checkpoint as command
from experiments.config import Import


def test_it_says_where_the_run_is_and_how_to_judge_it(monkeypatch, capsys):
    monkeypatch.setattr(command, "import_adafuse", lambda config: config.run)
    command.run(Import(Path("x.pth.tar"), run=Path("runs/y")))
    assert capsys.readouterr().out == "Imported into runs/y. Judge it: python -m experiments evaluate runs/y\n"
