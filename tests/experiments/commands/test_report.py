"""``python -m experiments report``: whatever results lie in a folder, or one sentence."""

import pytest
from report_cases import facts_of, results_of

from experiments.__main__ import main
from experiments.commands import report as command


def test_it_writes_beside_the_results_or_where_it_is_told(tmp_path, capsys, monkeypatch):
    for name in ("draw_pareto", "draw_learning"):  # which take the time
        monkeypatch.setattr(f"experiments.comparison.report.{name}", lambda tables, path, **kwargs: None)
    results_of(gumbel=(0.9, 0.4), facts=facts_of(accuracies=(85.0,), budgets=(0.35,))).save(tmp_path / "run")
    assert main(["report", str(tmp_path / "run")]) == 0
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "again")]) == 0
    first, second = ((tmp_path / place / "report.json").read_bytes() for place in ("run", "again"))
    assert first == second
    assert not (tmp_path / "again" / "results.json").exists()
    assert str(tmp_path / "again" / "report.md") in capsys.readouterr().out


def test_every_file_that_it_knows_has_its_report(tmp_path, monkeypatch):
    made = []
    for name in ("one.json", "two.json", "absent.json"):
        monkeypatch.setitem(command.REPORTS, name, lambda folder, out, name=name: made.append((name, folder, out)))
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text("{}")
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "x")]) == 0
    assert made == [(name, tmp_path, tmp_path / "x") for name in ("one.json", "two.json")]


@pytest.mark.parametrize("folder", ["empty", "nowhere"])
def test_a_folder_without_results_is_told_in_a_sentence(tmp_path, capsys, folder):
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / folder)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: expected a folder with results.json")
    assert said.count("\n") == 1
    assert str(tmp_path / folder) in said


def test_folds_without_results_or_without_a_place_are_told_in_a_sentence(tmp_path, capsys):
    results_of(gumbel=(0.9, 0.4), facts=facts_of()).save(tmp_path / "fold1")
    assert main(["report", str(tmp_path / "fold1"), str(tmp_path / "fold2"), "--out", str(tmp_path / "all")]) == 1
    assert "expected folds that `compare` has finished, found no results.json in" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "fold1"), str(tmp_path / "fold1")]) == 1
    assert "expected --out, a folder for the folds together" in capsys.readouterr().err
    assert not (tmp_path / "all").exists()
