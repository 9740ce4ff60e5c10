"""Sentences: each with its difference and a p-value corrected for all of them; fronts at one cost, not at one weight."""

import pytest
from report_cases import fixed_of, results_of, runs_of, table_of

from experiments.comparison.claims import claims_of, sentences_of
from experiments.comparison.tables import tables_of

GUMBEL = [(0.9, 0.4), (0.8, 0.2)]


def said(accuracies=(82.0,), budgets=(0.35,), **methods):
    return sentences_of([table_of(gumbel=GUMBEL, **methods)], accuracies, budgets)


def claim(sentences, measure, method="ppo"):
    (found,) = [one for one in claims_of(sentences) if one.measure == measure and one.subject == method]
    return found


@pytest.mark.parametrize(
    ("ppo", "volume", "cost", "accuracy"),
    [
        ([(0.9, 0.5), (0.8, 0.3)], "smaller", "dearer", "lower"),
        ([(0.95, 0.38), (0.81, 0.12)], "larger", "cheaper", "higher"),
        (GUMBEL, "not measurably smaller", "not measurably cheaper", "not measurably lower"),
    ],
)
def test_verdicts_follow_the_corrected_p(ppo, volume, cost, accuracy):
    sentences = said(ppo=ppo)
    assert claim(sentences, "hypervolume").conclusion == volume
    assert claim(sentences, "cost at 82%").conclusion == cost
    assert claim(sentences, "accuracy % at cost 0.35").conclusion == accuracy
    first = str(sentences[0])
    assert first.startswith("hypervolume, against the relaxation (gumbel: 0.2")
    assert f"ppo {volume} (" in first
    assert "p " in first


def test_a_claim_at_a_budget_compares_two_fronts_at_one_cost():
    """Of equal cost weights the second method's policies are the more accurate ones, and by far the dearer ones."""
    sentences = said(ppo=[(0.95, 0.8), (0.89, 0.6)], budgets=(0.35,), accuracies=())
    ppo = [text for sentence in sentences for method, text in sentence.findings.items() if method == "ppo"]
    assert "not compared: no seed" in ppo  # it has nothing at a cost of 0.35, whatever its weights
    wide = said(ppo=[(0.95, 0.8), (0.81, 0.3)], budgets=(0.35,), accuracies=())
    found = claim(wide, "accuracy % at cost 0.35")
    at_equal_weights = 100 * ((0.95 + 0.81) / 2 - (0.9 + 0.8) / 2)
    assert at_equal_weights > 0
    assert found.conclusion == "lower"
    on_the_fronts = 100 * ((0.81 + 0.05 / 0.5 * 0.14) - (0.8 + 0.15 / 0.2 * 0.1))
    assert found.difference.mean == pytest.approx(on_the_fronts, abs=1.5)


def test_a_censored_cost_is_said_as_a_bound_and_is_no_claim():
    sentences = said(ppo=[(0.97, 0.5), (0.9, 0.35)])  # more accurate than 82% throughout
    (cost,) = [sentence for sentence in sentences if sentence.start.startswith("cost at 82%")]
    assert cost.findings["ppo"].startswith("not compared: ≤ 0.35")
    assert "cost at 82%" not in {one.measure for one in claims_of(sentences)}


def test_an_accuracy_that_is_not_reached_is_said_so():
    sentences = said(accuracies=(99.0,), ppo=GUMBEL)
    (cost,) = [sentence for sentence in sentences if sentence.start.startswith("cost at 99%")]
    assert cost.start.endswith("(gumbel: no seed)")
    assert cost.findings == {"ppo": "not compared: no seed"}


def test_what_looks_at_the_clip_is_set_against_the_best_blind_policy():
    sentences = said(static=[(0.9, 0.6), (0.8, 0.5)], ppo=GUMBEL)
    blind = [sentence for sentence in sentences if "the best blind policy (static:" in sentence.start]
    assert [sentence.start.split(",")[0] for sentence in blind] == ["hypervolume", "accuracy % at cost 0.35"]
    assert claim(blind, "hypervolume", "gumbel").conclusion == "larger"
    assert set(blind[0].findings) == {"gumbel", "ppo"}


def test_holm_counts_every_claim_of_the_report():
    """A difference that stands alone falls among many: what a report words, it answers for together."""
    results = results_of(gumbel=GUMBEL, spread=0.01)
    for weight, (accuracy, cost) in enumerate(GUMBEL, start=1):
        results.runs.extend(runs_of("ppo", accuracy, cost + 0.06, weight=weight, spread=0.01, seed=1))
    tables = tables_of(results)
    alone = claim(sentences_of(tables, (), ()), "hypervolume")
    among = claim(sentences_of(tables, (81.0, 82.0, 83.0), (0.28, 0.3, 0.32)), "hypervolume")
    assert alone.difference == among.difference
    assert alone.p < 0.05 < among.p
    assert (alone.conclusion, among.conclusion) == ("smaller", "not measurably smaller")
    assert "smaller (-0.0" in str(alone)
    assert f"p = {among.p:.2g}" in str(among)


def test_a_comparison_without_rivals_says_nothing_of_them():
    (fixed,) = sentences_of([table_of(ppo=GUMBEL)], (85.0,), (0.3,))
    assert fixed.table == "Fixed policies"
    assert "shift 1/4 higher in this one seed (+4" in str(fixed)


def test_a_cnn_that_learns_too_is_set_against_the_frozen_one():
    sentences = sentences_of(
        [table_of(**{"ppo": [(0.9, 0.4)], "ppo-joint": [(0.95, 0.4)], "reinmax-joint": [(0.9, 0.4)]})], (), ()
    )
    (learning,) = [sentence for sentence in sentences if "on a frozen CNN" in sentence.start]
    assert set(learning.findings) == {"ppo-joint"}
    assert learning.findings["ppo-joint"].conclusion == "larger"


def test_a_cnn_that_learns_too_is_set_against_rivals_whose_cnn_learns_too():
    names = ("gumbel", "ppo", "static", "gumbel-joint", "ppo-joint", "static-joint")
    claims = claims_of(sentences_of([table_of(**dict.fromkeys(names, GUMBEL))], (), ()))
    pairs = {(one.subject, one.rival) for one in claims if one.measure == "hypervolume"}
    assert pairs == {
        ("ppo", "gumbel"), ("ppo-joint", "gumbel-joint"), ("gumbel-joint", "gumbel"), ("ppo-joint", "ppo"),
        *((method, "static") for method in ("gumbel", "ppo")),
        *((method, "static-joint") for method in ("gumbel-joint", "ppo-joint")),
    }  # fmt: skip
    assert len(pairs) == sum(one.measure == "hypervolume" for one in claims)  # none twice


def test_one_seed_says_nothing_of_a_method():
    (volume, *_) = claims_of(sentences_of([table_of(seeds=1, gumbel=GUMBEL, ppo=[(0.7, 0.5), (0.6, 0.3)])], (), ()))
    assert volume.conclusion == "smaller in this one seed"


def test_no_sentence_counts_seeds_that_agree():
    assert "of 3 seeds" not in " ".join(map(str, said(ppo=[(0.9, 0.5), (0.8, 0.3)], static=GUMBEL)))


def test_methods_of_other_seeds_are_not_compared():
    results = results_of(gumbel=GUMBEL)
    for weight, point in enumerate(GUMBEL, start=1):
        results.runs.extend(runs_of("ppo", *point, weight=weight, seeds=2))
    results.fixed.append(fixed_of("more", 0.5, 0.5))
    assert "hypervolume" not in {one.measure for one in claims_of(sentences_of(tables_of(results), (), ()))}
