"""Folds as one: each clip once, each source apart, and nothing that is not a fold of the same comparison."""

from dataclasses import replace

import numpy as np
import pytest
from report_cases import CLIPS, TEST, facts_of, results_of

from experiments.comparison.folds import pool
from experiments.comparison.report import write_report
from experiments.comparison.results import Results


def fold(number: int, accuracy: float = 0.9, groups: bool = True) -> Results:
    facts = facts_of()
    data = {**facts["config"]["data"], "folds": 5, "fold": number}
    facts["config"] = {**facts["config"], "data": data, "backbone": f"fold{number}/backbone.pt", "run": f"fold{number}"}
    found = results_of(ppo=(accuracy, 0.3), gumbel=(0.95, 0.2), facts=facts)
    runs = [replace(run, confusion={"right": {"left": number}}) for run in found.runs]
    test = replace(TEST, groups=np.arange(CLIPS) // 100 + number) if groups else TEST
    return replace(found, runs=runs, test=test)


def test_every_clip_of_every_fold_counts_once():
    one, other = fold(1, 0.9), fold(2, 0.5)
    found = pool([one, other])
    assert len(found.test) == 2 * CLIPS
    for run, *parts in zip(found.runs, one.runs, other.runs):
        for name, values in run.clips.items():
            assert np.array_equal(values, np.concatenate([part.clips[name] for part in parts]))
        assert run.confusion == {"right": {"left": 3}}
        assert run.training == parts[0].training
        assert run.curve == parts[0].curve
    assert [run.method for run in found.fixed] == [run.method for run in one.fixed]


def test_sources_of_different_folds_stay_apart():
    found = pool([fold(1), fold(2)])
    assert len(np.unique(found.test.groups)) == 8  # their numbers overlap
    assert pool([fold(1, groups=False), fold(2, groups=False)]).test.groups is None


def test_what_was_measured_is_the_mean_over_folds():
    one, other = fold(1), fold(2)
    other.runs[0].training["seconds"] = 90.0
    other.runs[0].curve[1]["accuracy"] = 80.0
    found = pool([one, other])
    assert found.runs[0].training["seconds"] == 60.0
    assert found.runs[0].curve[1]["accuracy"] == 70.0
    assert found.facts["seconds"] == one.facts["seconds"] + other.facts["seconds"]


def test_folds_make_one_report(tmp_path, capsys):
    pool([fold(1), fold(2), fold(3)]).save(tmp_path)
    write_report(tmp_path, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "1,200 test clips of 12 sources" in text
    assert "--data.folds 5 --data.fold '1, 2, 3'" in text
    assert "fold1/backbone.pt, fold2/backbone.pt, fold3/backbone.pt" in text


def without_fold() -> Results:
    one = fold(3)
    one.facts["config"]["data"]["fold"] = None
    return one


def of_other_settings() -> Results:
    one = fold(3)
    one.facts["config"]["rollouts"] = 5
    return one


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: fold(1), "expected each fold once, got 1, 1"),
        (without_fold, "expected each fold once, got 1, None"),
        (of_other_settings, "expected folds of one comparison, got different rollouts"),
        (lambda: replace(fold(3), runs=[]), "expected the same classes and runs in every fold"),
    ],
)
def test_what_is_no_fold_of_the_same_comparison_is_refused(other, said):
    with pytest.raises(ValueError, match=said):
        pool([fold(1), other()])


def test_one_fold_alone_is_refused():
    with pytest.raises(ValueError, match="expected at least two folds"):
        pool([fold(1)])
