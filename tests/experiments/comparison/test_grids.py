"""Cells of tables, and that they can be read where they are printed."""

from report_cases import results_of, table_of

from experiments.comparison.grids import (
    accuracy_grid,
    cost_grid,
    pair_grid,
    policy_grid,
    training_grid,
    volume_grid,
)
from experiments.comparison.tables import tables_of

GUMBEL = [(0.9, 0.4), (0.8, 0.2)]


def test_fronts_stand_by_hypervolume_beside_their_differences():
    header, cells = volume_grid(table_of(ppo=[(0.9, 0.6), (0.8, 0.4)], gumbel=GUMBEL, static=[(0.7, 0.6), (0.6, 0.4)]))
    assert header == ["method", "hypervolume", "minus gumbel", "minus static"]
    assert [row[0] for row in cells] == ["gumbel", "ppo", "static (best blind)"]
    assert cells[0][2] == cells[2][3] == "-"
    assert cells[1][2].startswith("-0.0")
    assert cells[1][3].startswith("+0.")
    assert cells[1][1].endswith("]ˢᶜ")


def test_a_bound_is_shown_as_one_and_has_nothing_beside_it():
    table = table_of(gumbel=GUMBEL, ppo=[(0.97, 0.5), (0.9, 0.35)])
    header, cells = cost_grid(table, (82.0, 99.0))
    assert header == ["method", "cost at 82%", "minus gumbel", "cost at 99%", "minus gumbel"]
    ppo = next(row for row in cells if row[0] == "ppo")
    assert ppo[1].startswith("≤ 0.35")
    assert ppo[2:] == ["-", "no seed", "-"]
    _, cells = accuracy_grid(table, (0.6, 0.1))
    assert {(row[1][0], row[2], row[3], row[4]) for row in cells} == {("≥", "-", "no seed", "-")}


def test_a_cnn_that_learns_too_has_a_difference_to_the_frozen_one():
    header, cells = volume_grid(table_of(**{"ppo": (0.9, 0.4), "ppo-joint": (0.95, 0.4), "reinmax-joint": (0.9, 0.4)}))
    at = header.index("minus frozen")
    assert {row[0]: row[at] == "-" for row in cells} == {"ppo": True, "ppo-joint": False, "reinmax-joint": True}
    assert "minus frozen" not in volume_grid(table_of(ppo=(0.9, 0.4)))[0]


def test_every_policy_has_a_line_with_every_selection():
    header, cells = policy_grid(table_of(gumbel=(0.8, 0.4), mine=(0.7, 0.5)))
    assert [row[0] for row in cells] == ["gumbel", "mine", "all use", "shift 1/4"]
    assert len(header) == 2 + 3 * 2 + 2
    assert cells[-1][header.index("top-k: cost")] == "-"  # a fixed policy is played one way
    assert cells[0][header.index("top-k: cost")].startswith("0.4")
    assert policy_grid(table_of(gumbel=(0.8, 0.4)), ("greedy",))[0][2:] == ["greedy: accuracy %", "greedy: cost"]


def test_how_each_policy_was_trained():
    header, (row,) = training_grid(table_of(gumbel=(0.8, 0.4)))
    assert dict(zip(header, row)) == {
        "method": "gumbel", "cost weight": "1", "rollouts": "1,280", "clips drawn": "160", "updates": "20",
        "rollouts an update": "64", "updates shortened %": "10.0", "learning rate": "0.01", "warm-up": "0.2",
        "seconds": "30",
    }  # fmt: skip
    unknown = results_of(gumbel=(0.8, 0.4))
    for run in unknown.runs:
        run.training.clear(), run.training.update(seconds=1.0)
    (table,) = tables_of(unknown)
    assert training_grid(table)[1] == [["gumbel", "1", *["-"] * 7, "1"]]


def test_pairs_of_classes_have_columns_where_there_are_any():
    header, cells = pair_grid(table_of(gumbel=(0.8, 0.4)))
    assert header == ["method", "cost weight", "right / left", "up / down"]
    assert len(cells) == 3
