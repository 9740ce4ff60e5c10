"""The report as it is written: whole, the same from the files alone, and honest about what it is."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from report_cases import CLIPS, TEST, facts_of, results_of, with_confusions

from experiments.comparison.pictures import CONFUSION
from experiments.comparison.report import command_of, write_report
from experiments.comparison.results import Results
from experiments.config import Compare, to_json

GUMBEL = [(0.9, 0.4), (0.8, 0.2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    first = results_of(gumbel=GUMBEL, static=GUMBEL, ppo=[(0.9, 0.5), (0.8, 0.3)])
    second = results_of(gumbel=GUMBEL, arm="9 seconds each", group_size=8)
    place = tmp_path_factory.mktemp("report")
    facts = facts_of(accuracies=(85.0,), budgets=(0.35,))
    Results(first.runs + second.runs, first.fixed + second.fixed, TEST, facts).save(place)
    write_report(place, place)
    return place


@pytest.fixture
def without_pictures(monkeypatch):
    """They take the time."""
    for name in ("draw_pareto", "draw_learning"):
        monkeypatch.setattr(f"experiments.comparison.report.{name}", lambda tables, path, **kwargs: None)


def test_it_has_every_table_and_picture(folder):
    names = {"report.md", "report.json", "pareto.png", "learning.png", "learning-clips.png"}
    assert names | {"results.json", "results.npz"} == {file.name for file in folder.iterdir()}
    text = (folder / "report.md").read_text()
    for title in (
        "## 10 rollouts each, per channel", "## 9 seconds each, groups of 8 channels", "### Cost at an accuracy",
        "### Accuracy at a cost", "### Every policy", "### How they were trained", "per pair of mutually reversed classes",
    ):  # fmt: skip
        assert title in text
    assert "static (best blind)" in text
    assert "gumbel-g1 500" in text
    assert "per class" not in text  # older results lack it
    assert "at the same cost weight" not in text
    claims = len(json.loads((folder / "report.json").read_text())["claims"])
    assert f"The report makes {claims} claims." in text


def test_classes_are_shown_where_runs_have_kept_what_clips_were_taken_for(tmp_path, without_pictures):
    results = with_confusions(results_of(gumbel=GUMBEL, ppo=GUMBEL[:1], facts=facts_of()))
    replace(results, test=replace(TEST, groups=np.arange(CLIPS) // 8)).save(tmp_path)
    write_report(tmp_path, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "### Greedy accuracy % per class" in text
    assert "| method | cost weight | mean of classes | right | left | up | down |" in text
    assert "(confusion.png)" in text
    assert "400 test clips of 50 sources." in text
    assert "the clips of one source together" in text
    with Image.open(tmp_path / "confusion.png") as picture:
        assert picture.width > 2 * CONFUSION
    learned = json.loads((tmp_path / "report.json").read_text())["tables"][0]["learned"][0]
    assert set(learned["classes"]) == set(learned["confusion"]) == set(TEST.classes)


def test_the_files_alone_make_the_same_report_again(folder, tmp_path, capsys):
    write_report(folder, tmp_path)
    for name in ("report.md", "report.json", "pareto.png", "learning.png", "learning-clips.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    assert str(tmp_path / "report.md") in capsys.readouterr().out


def test_what_is_printed_fits_a_hundred_columns(folder, tmp_path, capsys, monkeypatch, without_pictures):
    monkeypatch.setenv("COLUMNS", "100")
    write_report(folder, tmp_path)
    tables = [
        line for line in capsys.readouterr().out.splitlines() if not line.startswith(("- ", "Report: ", "The report "))
    ]
    assert max(map(len, tables)) <= 100


def test_one_seed_is_said_to_be_over_clips_alone(tmp_path, without_pictures):
    results = results_of(gumbel=GUMBEL, seeds=1, facts=facts_of(preset="quick"))
    results.save(tmp_path)
    write_report(tmp_path, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "]ˢᶜ |" not in text
    assert "]ᶜ |" in text
    assert text.split("\n\n")[1].startswith(
        "**A demonstration: 12,800 clips of pretraining, 3,072 rollouts an agent and 1 seed"
    )


def test_the_command_names_what_differs_from_its_preset():
    assert command_of(to_json(Compare().settled())) == "python -m experiments compare"
    mine = Compare(preset="full", seeds=(4, 5), rollouts=100, workers=3).settled()
    assert command_of(to_json(mine)) == "python -m experiments compare --preset full --seeds 4 5 --rollouts 100"
    assert command_of(to_json(Compare(reuse=False).settled())) == "python -m experiments compare --no-reuse"
