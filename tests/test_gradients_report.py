import pytest

from experiments.gradients.report import Table, clip_tables, exact_tables, markdown

JUDGED = {
    "max_z": 3.0, "limit": 4.3, "p": 1.0, "biased": False, "relative": 0.0, "floor": 0.1, "variance": 2.0, "snr": 0.5,
    "cosine": 0.6, "cosine_se": 0.1, "seconds": 0.01, "forward_passes": 0.59, "backward_passes": 0.0,
    "variance_times_seconds": 0.02, "rollouts": 128, "rollouts_per_clip": 64,
}  # fmt: skip
BIASED = {**JUDGED, "max_z": 80.0, "p": 1e-60, "biased": True, "relative": 0.4}


@pytest.fixture
def exact() -> dict:
    case = {"joint_decisions": 729, "clips": 2, "coordinates": 225, "additive_r2": [0.5, 0.8],
            "methods": {"reinforce": JUDGED, "gumbel": BIASED}}  # fmt: skip
    return {"estimates": 40, "rollouts": 256, "cases": {"initial": case, "perturbed": case}}


@pytest.fixture
def clips() -> dict:
    row = {**JUDGED, "cosine_of_expectation": 0.95, "own_cosine": 0.5}
    fewer = {**row, "cosine": None, "cosine_se": None, "rollouts": 50}
    reference = {"precision": 0.97, "split_half_precision": 0.96, "rollouts": 9000, "method": "rebar"}
    group = {"reference": reference, "equal_clips": {"reinforce": row, "gumbel": {**row, "variance": 0.2}},
             "equal_compute": {"reinforce": row, "gumbel": fewer}, "rollouts_per_clip": {"2": {"reinforce": row}},
             "time_ratios": {"reinforce": 1.0, "gumbel": 1.04}}  # fmt: skip
    return {"gates": "initial", "cost_weight": 1.0, "groups": {"1": group}}


def test_verdicts_and_the_number_of_rollouts_are_told(exact):
    tables = exact_tables(exact)
    assert [row[:2] for row in tables[0].rows] == [("reinforce", "none found"), ("gumbel", "biased")]
    assert "N = 10,240" in tables[0].note
    assert "R2 0.50, 0.80" in tables[0].note
    assert len(tables) == 4


def test_cosines_stand_with_their_errors_and_clips(clips):
    equal, compute, *_ = tables = clip_tables(clips)
    assert equal.rows[0] == ("reinforce", "0.600 +- 0.100")
    assert compute.rows[1] == ("gumbel", "- (50)")  # a reference drowned in noise
    assert "0.970 by all pairs" in equal.note
    assert "1.00 to 1.04 of its time" in compute.note
    costs = next(table for table in tables if table.title.startswith("What an estimate costs"))
    assert [row[-1] for row in costs.rows] == ["1.000", "0.100"]


def test_every_row_has_a_cell_for_each_column(exact, clips):
    for table in exact_tables(exact) + clip_tables(clips):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_markdown_names_how_it_was_made():
    table = Table("Title", "A note", ("method", "z"), [("reinforce", "1.0")])
    text = markdown([table], ["bias.png"], {"config": {"preset": "full", "seed": 3}, "commit": "abc", "machine": "m"})
    assert "--preset full --seed 3" in text
    assert "| reinforce | 1.0 |" in text
    assert "![bias](bias.png)" in text
