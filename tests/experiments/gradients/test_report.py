from pathlib import Path

import pytest

from backbone.common.files import write_json
from experiments.config import Data, Gradients, to_json
from experiments.gradients.report import Table, along_tables, clip_tables, command, exact_tables, markdown, rebuild

JUDGED = {
    "max_t": 3.0, "p": 1.0, "biased": False, "relative": 0.0, "floor": 0.1, "variance": 2.0, "snr": 0.5,
    "cosine": 0.6, "cosine_se": 0.1, "seconds": 0.01, "forward_passes": 0.59, "backward_passes": 0.0,
    "variance_times_seconds": 0.02, "rollouts": 128, "rollouts_per_clip": 64,
}  # fmt: skip
BIASED = {**JUDGED, "max_t": 80.0, "p": 1e-4, "biased": True, "relative": 0.4}


@pytest.fixture
def exact() -> dict:
    case = {"joint_decisions": 729, "clips": 2, "coordinates": 225, "additive_r2": [0.5, 0.8], "lack": 0.5,
            "methods": {"reinforce": JUDGED, "gumbel": BIASED}}  # fmt: skip
    return {"estimates": 40, "rollouts": 256, "cases": {"initial": case, "perturbed": case}}


@pytest.fixture
def clips() -> dict:
    row = {**JUDGED, "cosine_of_expectation": 0.95, "own_cosine": 0.5}
    fewer = {**row, "cosine": None, "cosine_se": None, "rollouts": 50}
    reference = {"precision": 0.97, "split_half_precision": 0.96, "rollouts": 9000, "method": "rebar"}
    group = {"reference": reference, "equal_rollouts": {"reinforce": row, "gumbel": {**row, "variance": 0.2}},
             "equal_compute": {"reinforce": row, "gumbel": fewer}, "rollouts_per_clip": {"2": {"reinforce": row}},
             "time_ratios": {"reinforce": 1.0, "gumbel": 1.04}}  # fmt: skip
    return {"cost_weight": 1.0, "groups": {"1": group}}


@pytest.fixture
def along() -> dict:
    told = {"cosine": 0.5, "cosine_se": 0.1, "expectation": 0.9, "expectation_se": 0.2, "snr": 0.3}
    drowned = {**dict.fromkeys(told), "snr": -0.1}
    reference = {"rollouts": {"rebar": 1024, "reinforce": 9000}, "weights": {"rebar": 0.4, "reinforce": 0.6},
                 "precision": 0.8, "agreement": None}  # fmt: skip
    points = [{"share": share, "cost_weight": share, "reference": reference, "methods": {"gumbel": row}}
              for share, row in ((0.0, told), (1.0, drowned))]  # fmt: skip
    run = {"method": "gumbel", "cost_weight": 1.0, "group_size": 8, "seed": 0, "difference": 1e-6, "points": points}
    return {"runs/one": run}


def test_verdicts_and_the_number_of_rollouts_are_told(exact):
    tables = exact_tables(exact)
    assert [row[:2] for row in tables[0].rows] == [("reinforce", "none found"), ("gumbel", "biased")]
    assert "N = 10,240" in tables[0].note
    assert "R2 0.50, 0.80" in tables[0].note
    assert len(tables) == 4


def test_why_bias_cannot_be_told_stands_beside_the_table(exact):
    rare = {**exact["cases"]["initial"], "lack": 797.0, "methods": {"reinforce": {**BIASED, "biased": None}}}
    table = exact_tables({**exact, "cases": {"initial": rare}})[0]
    assert table.rows[0][:2] == ("reinforce", "cannot be told")
    assert "carry 797 standard errors" in table.note


def test_methods_whose_estimates_are_too_alike_to_tell_are_named(exact):
    case = {**exact["cases"]["initial"], "methods": {"reinforce": {**JUDGED, "biased": None}, "gumbel": BIASED}}
    table = exact_tables({**exact, "cases": {"initial": case}})[0]
    assert [row[1] for row in table.rows] == ["cannot be told", "biased"]
    assert "Bias of reinforce cannot be told from these estimates" in table.note


def test_cosines_stand_with_their_errors_and_clips(clips):
    equal, compute, *_ = tables = clip_tables(clips)
    assert equal.rows[0] == ("reinforce", "0.600 +- 0.100")
    assert compute.rows[1] == ("gumbel", "- (50)")  # a reference drowned in noise
    assert "0.970 by all pairs" in equal.note
    assert "1.00 to 1.04 of its time" in compute.note
    costs = next(table for table in tables if table.title.startswith("What an estimate costs"))
    assert [row[-1] for row in costs.rows] == ["1.000", "0.100"]


def test_every_row_has_a_cell_for_each_column(exact, clips, along):
    for table in exact_tables(exact) + clip_tables(clips) + along_tables(along):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_what_drowned_along_training_is_a_dash(along):
    reference, cosine, *_ = along_tables(along)
    assert cosine.columns == ("method", "0%", "100%")
    assert cosine.rows == [("gumbel", "0.500 +- 0.100", "-")]
    assert ("weights", *["rebar 0.40, reinforce 0.60"] * 2) in reference.rows
    assert "ended within 1e-06 of its checkpoint" in reference.note


def test_markdown_names_how_it_was_made():
    table = Table("Title", "A note", ("method", "t"), [("reinforce", "1.0")])
    facts = {"config": to_json(Gradients(preset="full", seed=3)), "commit": "abc", "machine": "m"}
    text = markdown([table], ["bias.png"], facts)
    assert "`python -m experiments gradients --preset full --seed 3`" in text
    assert "| reinforce | 1.0 |" in text
    assert "![bias](bias.png)" in text


def test_the_command_holds_every_option_that_is_not_the_usual_one():
    config = Gradients(
        methods=("ppo", "gumbel"), agent=(Path("a b"), Path("c")), data=Data(num_frames=4, skip_broken=True)
    )
    words = "--methods ppo gumbel --agent 'a b' c --data.num-frames 4 --data.skip-broken"
    assert command(to_json(config)) == f"python -m experiments gradients {words}"


def test_tables_and_pictures_are_rebuilt_from_the_figures_alone(exact, clips, along, tmp_path):
    facts = {"config": to_json(Gradients()), "commit": "abc", "machine": "m"}
    write_json(tmp_path / "gradients.json", {"along": along, **facts})
    tables = rebuild(tmp_path, tmp_path / "again")
    assert len(tables) == 4
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"gradients.md", "along.png"}
