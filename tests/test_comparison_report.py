import json

import pytest
from report_cases import row_of, table_of

from experiments.comparison.report import (
    answer_lines,
    as_json,
    command_of,
    cost_grid,
    front_lines,
    markdown,
    policy_grid,
    volume_grid,
)
from experiments.comparison.results import Key
from experiments.config import Compare, to_json

FACTS = {
    "config": to_json(Compare().settled()),
    "packages": {"torch": "2"},
    "machine": "a machine",
    "seconds": 60.0,
    "python": "3.11",
    "commit": "c0ffee",
    "data": {"test": "f00d"},
    "rates": {"gumbel-g1": {"clips_per_second": 500.0}},
}
GUMBEL = [(0.9, 0.4), (0.8, 0.2)]


class Clips:
    """Test clips, as far as a report asks."""

    skipped = ()

    def __len__(self):
        return 400


def said(accuracies=(82.0,), **methods):
    table = table_of(gumbel=GUMBEL, **methods)
    return answer_lines(table, front_lines(table, accuracies))


@pytest.mark.parametrize(
    ("ppo", "volume", "cost"),
    [
        ([(0.9, 0.6), (0.8, 0.4)], "ppo smaller (-0.0", "ppo dearer (+0.2"),
        ([(0.95, 0.3), (0.85, 0.1)], "ppo larger (+0.09", "ppo cheaper (-0.2"),
        (GUMBEL, "ppo not measurably smaller (+0.000", "ppo not measurably cheaper (+0.000"),
    ],
)
def test_sentences_follow_the_intervals(ppo, volume, cost):
    first, second, *_ = said(ppo=ppo)
    assert volume in first
    assert cost in second


def test_a_difference_within_its_interval_is_not_called_one():
    table = table_of(gumbel=GUMBEL, ppo=[(0.9, 0.41), (0.8, 0.21)])
    noisy = table_of(gumbel=GUMBEL, spread=0.1)
    for weight, point in enumerate([(0.9, 0.41), (0.8, 0.21)], start=1):
        noisy.rows[Key("ppo", float(weight), "log_prob")] = row_of(*point, spread=0.1, seed=1)
    assert "ppo smaller" in answer_lines(table, front_lines(table, ()))[0]
    assert "not measurably" in answer_lines(noisy, front_lines(noisy, ()))[0]


def test_an_accuracy_that_is_not_reached_is_said_so():
    lines = said(accuracies=(82.0, 99.0), ppo=[(0.79, 0.3), (0.75, 0.2)])
    assert "ppo reaches it in 0 of 3 seeds" in lines[1]
    assert "0 of 3 seeds of the relaxation reach 99%" in lines[2]
    header, cells = cost_grid(front_lines(table_of(gumbel=GUMBEL), (99.0,)), (99.0,))
    assert cells == [["gumbel", "reached in 0 of 3 seeds"]]  # and nothing beside it to subtract
    assert header == ["method", "cost at 99%"]


def test_what_looks_at_the_clip_is_set_against_what_does_not():
    *_, last = said(static=[(0.9, 0.6), (0.8, 0.5)])
    assert "decisions learned blindly" in last
    assert "gumbel larger (+0.1" in last


def test_a_comparison_without_the_relaxation_says_nothing_of_it():
    table = table_of(ppo=GUMBEL)
    assert answer_lines(table, front_lines(table, (85.0,))) == []


def test_a_cnn_that_learns_too_is_set_against_the_frozen_one():
    lines = front_lines(
        table_of(**{"ppo": [(0.9, 0.4)], "ppo-joint": [(0.95, 0.4)], "reinmax-joint": [(0.9, 0.4)]}), [90.0]
    )
    gaps = {line.method: line.against.get("frozen") for line in lines}
    assert gaps["ppo"] is None
    assert gaps["reinmax-joint"] is None  # which has no frozen one beside it
    assert gaps["ppo-joint"].difference.low > 0
    header, cells = volume_grid(lines)
    assert "minus frozen" in header
    assert [row[header.index("minus frozen")] == "-" for row in cells] == [line.method != "ppo-joint" for line in lines]
    assert "minus frozen" not in volume_grid(front_lines(table_of(ppo=[(0.9, 0.4)]), [90.0]))[0]


def test_every_policy_has_a_line_in_the_table():
    _, cells = policy_grid(table_of(gumbel=(0.8, 0.4), mine=(0.7, 0.5)))
    assert [row[0] for row in cells] == ["gumbel", "mine", "all use", "shift 1/4"]
    assert cells[0][-1] == "10"


def test_the_report_has_every_table_and_is_json():
    tables = [table_of(gumbel=GUMBEL, static=GUMBEL), table_of(gumbel=GUMBEL, arm="9 seconds each", group_size=8)]
    text = markdown(tables, ["an answer"], FACTS, Clips(), (85.0,))
    assert "## 10 clips each, per channel" in text
    assert "## 9 seconds each, groups of 8 channels" in text
    assert "### Minus static at the same cost weight" in text
    assert "gumbel-g1 500" in text
    written = json.dumps(as_json(tables, ["an answer"], FACTS, (85.0, 99.0)), allow_nan=False)
    first, second = json.loads(written)["tables"]
    assert [front["method"] for front in first["fronts"]] == ["gumbel", "static"]
    assert first["fronts"][0]["cost_at"]["99"] == {"cost": [None] * 3, "seeds_reaching": 0, "minus": {"static": None}}
    assert second["group_size"] == 8


def test_the_command_names_what_differs_from_its_preset():
    assert command_of(to_json(Compare().settled())) == "python -m experiments compare"
    mine = Compare(preset="full", seeds=(4, 5), clips=100, workers=3).settled()
    assert command_of(to_json(mine)) == "python -m experiments compare --preset full --seeds 4 5 --clips 100"
