import pytest
from report_cases import FIXED, rows_of

from experiments.config import Compare, to_json
from experiments.report import answer_lines, command_of, table_rows
from experiments.results import compare_methods


@pytest.mark.parametrize(
    ("ppo", "verdict"),
    [((0.99, 0.2), "wins on both"), ((0.5, 0.9), "loses on both"), ((0.99, 0.9), "trades one for the other")],
)
def test_the_verdict_follows_the_figures(ppo, verdict):
    rows = rows_of(gumbel=(0.8, 0.4), ppo=ppo)
    (line, *_) = answer_lines(rows, compare_methods(rows, 1), FIXED)
    assert verdict in line


def test_what_cannot_be_told_apart_is_not_called_a_win():
    rows = rows_of(gumbel=(0.8, 0.4), ppo=(0.8, 0.4))
    (line, *_) = answer_lines(rows, compare_methods(rows, 1), FIXED)
    assert "cannot be told apart" in line
    assert "not measurably" in line


def test_every_policy_has_a_line_in_the_table():
    rows = rows_of(gumbel=(0.8, 0.4), mine=(0.7, 0.5))
    titles = [cells[0] for cells in table_rows(rows, FIXED)]
    assert titles == ["gumbel", "mine", "all use", "shift 1/4"]


def test_the_command_names_what_differs_from_the_defaults():
    assert command_of(to_json(Compare())) == "python -m experiments compare"
    assert (
        command_of(to_json(Compare(seeds=(4, 5), clips=100))) == "python -m experiments compare --seeds 4 5 --clips 100"
    )
