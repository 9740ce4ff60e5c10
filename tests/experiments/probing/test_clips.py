from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_cases import hand_made

from experiments.analysis.statistics import ClipDraws
from experiments.probing.clips import clips_of, drawn_figures, outcomes, policies_of

GREEDY, OTHER = hand_made([0] * 4, [1, 1, 0, 1]), hand_made([0] * 4, [1, 0, 0, 0])
SWAP = SimpleNamespace(correct=np.array([1, 0, 0, 0], bool), followed=np.array([0, 1, 1, 0], bool))


def test_every_probe_is_kept_with_what_it_has():
    clips = clips_of({"greedy": GREEDY, "top_k": OTHER}, SWAP, {"shares": OTHER})
    assert list(outcomes(clips)) == ["greedy", "top_k", "shares"]
    assert [policy.correct.sum() for policy in policies_of(clips)] == [3, 1]
    assert clips["swap/follows"].sum() == 2


def test_a_swap_of_some_clips_only_is_left_out():
    some = SimpleNamespace(correct=SWAP.correct[:2], followed=SWAP.followed[:2])
    assert not any(name.startswith("swap") for swap in (some, None) for name in clips_of({"greedy": GREEDY}, swap, {}))


def test_figures_are_those_of_the_clips_by_hand():
    clips = clips_of({"greedy": GREEDY}, SWAP, {"shares": OTHER})
    found = drawn_figures(clips, [], ClipDraws(4, cluster=2, resamples=10))
    assert {drawn.shape for drawn in found.values()} == {(11,)}
    first = {path: drawn[0] for path, drawn in found.items()}
    assert first == pytest.approx({
        ("accuracy",): 75, ("cost",): 0.25, ("swap", "accuracy"): 25, ("swap", "follows"): 50,
        ("without_adaptivity", "shares", "accuracy"): 25, ("without_adaptivity", "shares", "cost"): 0.25,
        ("without_adaptivity", "shares", "adaptive_minus_this", "accuracy"): 50,
        ("without_adaptivity", "shares", "adaptive_minus_this", "cost"): 0,
    })  # fmt: skip


def test_an_agent_and_its_rivals_are_drawn_together():
    """Against itself it has no lead on any resample."""
    clips = clips_of({"greedy": GREEDY}, None, {})
    found = drawn_figures(clips, policies_of(clips), ClipDraws(4, resamples=10))
    np.testing.assert_allclose(found["best_blind", "lead"], 0, atol=1e-9)
    np.testing.assert_allclose(found["best_blind", "accuracy"], found["accuracy",])
