import numpy as np
import pytest
from probe_cases import made_up

from backbone import Decision
from envs.clips.generated.motions import NUM_FRAMES
from experiments.analysis.statistics import CLIPS, EXACT, ClipDraws, Interval
from experiments.probing.difficulty import against_difficulty, phases, rank_correlation, ratio


def against(facts, costs, shares=None, correct=None, cluster=1):
    clips = len(facts.noise)
    shares = np.full((clips, NUM_FRAMES, 3), 1 / 3) if shares is None else shares
    correct = np.ones(clips, bool) if correct is None else correct
    draws = ClipDraws(clips, cluster=cluster, resamples=300)
    return against_difficulty(facts, shares=shares, costs=costs, correct=correct, draws=draws)


def intervals(figures):
    """All of them, wherever they stand."""
    if isinstance(figures, Interval):
        yield figures
    elif isinstance(figures, dict | list):
        for part in figures.values() if isinstance(figures, dict) else figures:
            yield from intervals(part)


# -- the bootstrap -----------------------------------------------------------------------------------------------------


def drawn_clips(draws: ClipDraws) -> list[np.ndarray]:
    """The clips themselves, then those of each draw."""
    units = np.arange(draws.units * draws.cluster).reshape(-1, draws.cluster)
    counts = np.rint(draws.weights * draws.units).astype(int)
    return [units.ravel(), *(np.repeat(units, row, axis=0).ravel() for row in counts)]


def as_tuple(found: Interval) -> tuple[float, float, float]:
    return found.mean, found.low, found.high


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of ranks, equal values at their mean rank."""
    ranks = [(v[:, None] > v).sum(1) + ((v[:, None] == v).sum(1) - 1) / 2 for v in (x, y)]
    return float(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("cluster", [1, 2])
@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlations_are_those_of_the_clips_drawn(ties, cluster):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, 30) if ties else rng.normal(size=30)
    y = np.exp(rng.normal(size=30) + x)
    draws = ClipDraws(30, cluster=cluster, resamples=40)
    by_hand = [spearman(x[clips], y[clips]) for clips in drawn_clips(draws)]
    found = as_tuple(rank_correlation(draws, x, y))
    np.testing.assert_allclose(found, (by_hand[0], *np.quantile(by_hand[1:], (0.025, 0.975))), atol=1e-12)


def test_ratios_are_those_of_the_clips_drawn():
    rng = np.random.default_rng(0)
    up, down, draws = rng.random(30), rng.random(30), ClipDraws(30, cluster=2, resamples=40)
    by_hand = [up[clips].sum() / down[clips].sum() for clips in drawn_clips(draws)]
    expected = (by_hand[0], *np.quantile(by_hand[1:], (0.025, 0.975)))
    np.testing.assert_allclose(as_tuple(ratio(draws, up, down)), expected, rtol=1e-12)


def test_what_no_draw_changes_is_exact_and_else_it_is_over_clips():
    draws, rng = ClipDraws(30, resamples=40), np.random.default_rng(0)
    assert ratio(draws, np.full(30, 0.1), np.ones(30)).kind == EXACT
    assert ratio(draws, rng.random(30), np.ones(30)).kind == CLIPS
    assert rank_correlation(draws, rng.random(30), rng.random(30)).kind == CLIPS


def test_figures_that_do_not_exist_are_none():
    draws = ClipDraws(10)
    assert ratio(draws, np.ones(10), np.zeros(10)) is None
    assert rank_correlation(draws, np.ones(10), np.arange(10)) is None


def test_the_interval_holds_the_truth_as_often_as_it_says_for_clusters_too():
    """Clips of a pair are copies: intervals that took them for independent would be too narrow."""
    hits, rng = {1: 0, 2: 0}, np.random.default_rng(0)
    for _ in range(200):
        values = np.repeat(rng.normal(size=40), 2)
        for cluster in hits:
            draws = ClipDraws(80, cluster=cluster, seed=int(rng.integers(1 << 30)), resamples=200)
            _, low, high = as_tuple(ratio(draws, values, np.ones(80)))
            hits[cluster] += low <= 0 <= high
    assert hits[2] > 178
    assert hits[1] < 172


# -- decisions against difficulty --------------------------------------------------------------------------------------


def test_every_frame_has_one_phase():
    facts = made_up()
    before, inside, after = phases(facts, NUM_FRAMES).values()
    assert (before.astype(int) + inside + after == 1).all()
    np.testing.assert_array_equal(inside.sum(1), facts.length)
    np.testing.assert_array_equal(before.sum(1), facts.start)
    back = phases(facts.backwards(), NUM_FRAMES)
    np.testing.assert_array_equal(back["before"][:, ::-1], after)
    np.testing.assert_array_equal(back["inside"][:, ::-1], inside)


def test_a_policy_that_spends_inside_the_window_only_is_seen_to():
    facts = made_up()
    inside = phases(facts, NUM_FRAMES)["inside"]
    shares = np.where(inside[..., None], np.eye(3)[Decision.USE], np.eye(3)[Decision.SKIP])
    found = against(facts, 1.0 * inside, shares)
    assert [found["phases"][phase]["cost"].mean for phase in ("before", "inside", "after")] == [0, 1, 0]
    assert [found["phases"][phase]["use"].mean for phase in ("before", "inside", "after")] == [0, 1, 0]
    assert found["phases"]["inside"]["cost_above_position"].low > 0
    assert found["phases"]["before"]["cost_above_position"].high < 0
    correlations = found["rank_correlation_of_cost"]
    assert correlations["length"].mean == pytest.approx(1)
    assert all(abs(correlations[name].mean) < 0.4 for name in ("noise", "contrast", "speed"))  # of 60 clips
    assert [row["cost"].mean for row in found["length"]] == pytest.approx(
        [row["length"] / 8 for row in found["length"]]
    )


def test_a_schedule_differs_between_phases_but_not_from_its_position():
    facts = made_up()
    found = against(facts, np.tile(np.arange(NUM_FRAMES) / NUM_FRAMES, (60, 1)))
    costs = [found["phases"][phase]["cost"].mean for phase in ("before", "inside", "after")]
    assert costs == sorted(costs)
    assert costs[0] < costs[2]
    for part in found["phases"].values():
        np.testing.assert_allclose(as_tuple(part["cost_above_position"]), 0, atol=1e-12)
    assert set(found["rank_correlation_of_cost"].values()) == {None}


def test_clips_are_sorted_by_noise_into_thirds():
    facts = made_up()
    cost = np.repeat(facts.noise[:, None], NUM_FRAMES, 1)
    found = against(facts, cost, correct=facts.noise < np.median(facts.noise))
    assert [part["clips"] for part in found["noise"]] == [20, 20, 20]
    for part in found["noise"]:
        assert part["from"] <= part["cost"].mean <= part["to"]
    assert [part["accuracy"].mean for part in found["noise"]] == pytest.approx([100, 50, 0])
    assert found["rank_correlation_of_cost"]["noise"].mean == pytest.approx(1)
    assert sum(part["clips"] for part in found["length"]) == 60


@pytest.mark.parametrize("cost", [0.1, 1 / 3, 0.2 + 1e-9])
@pytest.mark.parametrize("cluster", [1, 2])
def test_no_interval_excludes_its_estimate(cost, cluster):
    """Of figures that hardly vary, or not at all: rounding of the draws must not push them past the clips' own."""
    costs = np.full((60, NUM_FRAMES), cost)
    shares = np.broadcast_to(np.array([cost, 0.2, 0.8 - cost]), (60, NUM_FRAMES, 3))
    costs[0] += 1e-12
    found = list(intervals(against(made_up(), costs, shares, cluster=cluster)))
    assert len(found) > 30
    for one in found:
        assert one.low <= one.mean <= one.high
