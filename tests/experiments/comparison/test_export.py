"""report.json: every figure with its kind, bounds marked, null where there is nothing."""

import json

import pytest
from report_cases import facts_of, table_of

from experiments.analysis.statistics import SEEDS_AND_CLIPS
from experiments.comparison.claims import sentences_of
from experiments.comparison.export import as_json

ACCURACIES, BUDGETS = (82.0, 99.0), (0.35,)


@pytest.fixture(scope="module")
def written():
    table = table_of(gumbel=[(0.9, 0.4), (0.8, 0.2)], ppo=[(0.97, 0.5), (0.9, 0.36)], spread=0.01)
    content = as_json([table], sentences_of([table], ACCURACIES, BUDGETS), facts_of(), ACCURACIES, BUDGETS)
    return json.loads(json.dumps(content, allow_nan=False))


def test_a_figure_has_its_interval_its_kind_and_those_of_each_seed(written):
    row = written["tables"][0]["learned"][0]
    assert set(row["accuracy"]) == {"mean", "low", "high", "kind", "p"}
    assert row["accuracy"]["kind"] == SEEDS_AND_CLIPS
    assert len(row["of_each_seed"]["top_k_cost"]) == 3
    assert sum(row["of_each_seed"]["accuracy"]) / 3 == pytest.approx(row["accuracy"]["mean"], abs=1e-3)
    assert row["training"][0]["updates"] == 20
    assert set(row["pairs"]) == {"right / left", "up / down"}
    assert set(written["tables"][0]["fixed"]) == {"all use", "shift 1/4"}


def test_bounds_are_marked_and_what_is_not_there_is_null(written):
    gumbel, ppo = written["tables"][0]["fronts"]
    assert 0.2 < gumbel["cost at 82%"]["value"]["mean"] < 0.4
    assert "at_most" not in gumbel["cost at 82%"]
    bound = ppo["cost at 82%"]
    assert bound["value"] is None
    assert bound["at_most"] == pytest.approx(0.36, abs=0.02)
    assert bound["of_each_seed_a_bound"] == [True] * 3
    assert bound["minus"] == {"gumbel": None}
    assert gumbel["cost at 99%"]["value"] is None
    assert gumbel["cost at 99%"]["of_each_seed"] == [None] * 3
    assert gumbel["cost at 99%"]["seeds_reaching"] == 0


def test_claims_have_both_their_own_p_and_the_corrected_one(written):
    assert len(written["claims"]) == 2  # hypervolume, and the fixed policies
    for claim in written["claims"]:
        assert claim["difference"]["p"] <= claim["p_corrected"]
        assert claim["verdict"] in " ".join(written["answer"])
