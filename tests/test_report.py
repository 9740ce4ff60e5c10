import numpy as np
import pytest

from experiments.config import Compare, to_json
from experiments.pictures import draw_learning, draw_pareto
from experiments.report import answer_lines, command_of, table_rows
from experiments.results import Key, Row, compare_methods
from experiments.statistics import bootstrap

FIXED = {
    name: {
        "greedy": {"accuracy": [accuracy] * 3, "cost": [cost] * 3},
        "sampled": {"accuracy": [accuracy] * 3, "cost": [cost] * 3},
        "swap": None,
        "pairs": {},
    }
    for name, accuracy, cost in (("all use", 50.0, 1.0), ("shift 1/4", 90.0, 0.97))
}


def row_of(accuracy, cost, seeds=3, clips=400):
    rng = np.random.default_rng(0)
    arrays = {
        "correct": rng.random((seeds, clips)) < accuracy,
        "macs_ratio": cost + 0.01 * rng.standard_normal((seeds, clips)),
    }
    figures = {"accuracy": bootstrap(100 * arrays["correct"]), "cost": bootstrap(arrays["macs_ratio"])}
    curve = [{"clips": clips, "accuracy": 50 + clips, "cost": 1.0} for clips in (0, 10)]
    return Row(figures, arrays, {}, [curve] * seeds, 10)


def rows_of(**methods):
    return {Key(name, 1.0, "log_prob"): row_of(*figures) for name, figures in methods.items()}


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


def test_methods_are_compared_at_the_same_cost_weight_only():
    rows = {Key("gumbel", 0.5, "log_prob"): row_of(0.8, 0.4), Key("ppo", 1.0, "log_prob"): row_of(0.9, 0.4)}
    assert compare_methods(rows, 1) == []


def test_every_policy_has_a_line_in_the_table():
    rows = rows_of(gumbel=(0.8, 0.4), mine=(0.7, 0.5))
    titles = [cells[0] for cells in table_rows(rows, FIXED)]
    assert titles == ["gumbel", "mine", "all use", "shift 1/4"]


def test_pictures_are_drawn_whole(tmp_path):
    rows = rows_of(gumbel=(0.8, 0.4), mine=(0.7, 0.5))
    draw_pareto(rows, FIXED, tmp_path / "pareto.png")
    draw_learning(rows, tmp_path / "learning.png")
    assert {file.name for file in tmp_path.iterdir()} == {"pareto.png", "learning.png"}
    assert all(file.stat().st_size > 10_000 for file in tmp_path.iterdir())


def test_the_command_names_what_differs_from_the_defaults():
    assert command_of(to_json(Compare())) == "python -m experiments compare"
    assert (
        command_of(to_json(Compare(seeds=(4, 5), clips=100))) == "python -m experiments compare --seeds 4 5 --clips 100"
    )
