from dataclasses import replace

import numpy as np
import pytest
import torch
from agent_cases import noise_clips, tiny_backbone
from evaluation_cases import ORDERS, assert_same, hand_made, varied
from torch import nn

from agent import FIXED, GateOptions, evaluate, fixed_policy, pair_accuracy, swap_test
from agent.evaluation import agent_macs
from agent.probes import (
    adaptivity,
    clips_of_partners,
    frame_costs,
    most_common,
    other_clips,
    redrawn,
    replay,
    without_adaptivity,
)
from backbone import Decision
from envs.clips import ArrayClips
from envs.decisions import Decisions
from envs.spaces import StepLayout


@pytest.fixture(scope="module", params=ORDERS)
def case(request):
    backbone, clips = tiny_backbone(), noise_clips(7)
    return varied(backbone, clips, request.param), backbone, clips, request.param


def test_replaying_its_own_decisions_reproduces_it(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    again = replay(result.decisions, backbone, clips, order=order, batch_size=3)
    assert_same(again, result, but=("macs_ratio",))
    own = sum(model.policy.agent_macs) / backbone.ledger.dense_macs
    np.testing.assert_allclose(again.macs_ratio + own, result.macs_ratio)


def test_replaying_other_clips_decisions_takes_theirs(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    sources = np.roll(np.arange(len(clips)), 2)
    swapped = replay(result.decisions, backbone, clips, sources=sources, order=order, batch_size=4)
    for taken, chosen in zip(swapped.decisions.by_site, result.decisions.by_site, strict=True):
        np.testing.assert_array_equal(taken, chosen[sources])
    np.testing.assert_array_equal(swapped.label, clips.labels)


# -- pairs and swaps ---------------------------------------------------------------------------------------------------


def paired_clips(num_pairs: int = 6) -> ArrayClips:
    """Clip 2i grows brighter (class 0), clip 2i + 1 is the same one backwards (class 1)."""
    rng = np.random.default_rng(0)
    forward = rng.integers(0, 60, (num_pairs, 1, 8, 8, 3)) + np.array([0, 150])[:, None, None, None]
    frames = np.stack([forward, forward[:, ::-1]], 1).reshape(-1, 2, 8, 8, 3).astype(np.uint8)
    labels, partners = np.arange(2 * num_pairs) % 2, np.arange(2 * num_pairs) ^ 1
    return ArrayClips(frames, labels, ["up", "down"], reversals=partners, reversed_class=(1, 0))


class Signaller:
    """Sees which way the clip runs, and tells the CNN by skipping all of the last site, or nothing."""

    agent_macs = (0, 0, 0)

    def __init__(self, layout: StepLayout) -> None:
        self.layout = layout

    def predict(self, observation, deterministic=True):
        rows = self.layout.unpack(torch.from_numpy(observation))
        brightness = rows.v.mean(-1)
        if int(rows.site[0]) == 0:
            self.falls = (brightness[:, 1] < brightness[:, 0]).numpy()
        actions = np.full((len(observation), self.layout.step_frames * self.layout.decisions), int(Decision.USE))
        if int(rows.site[0]) == 2:
            actions[self.falls] = Decision.SKIP
        return actions, None


def listening_backbone(clips: ArrayClips):
    """Its class scores tell a last site that was skipped from one that was used."""
    backbone = tiny_backbone()
    with torch.no_grad():
        backbone.cnn.conv1.weight.abs_()  # so that brighter frames have larger features
        backbone.cnn.fc = nn.Identity()
        pixels = backbone.preprocess(torch.from_numpy(clips.frames(range(len(clips)))))

        def skip_last(observation):
            decisions = backbone.all_use(observation)
            return decisions.roll(int(Decision.SKIP), -1) if observation.site == 2 else decisions

        used, skipped = backbone(pixels).logits, backbone(pixels, skip_last).logits
        direction = (used - skipped).mean(0)
        fc = nn.Linear(64, 2)
        fc.weight.copy_(torch.stack([direction, -direction]))
        middle = ((used + skipped) / 2).mean(0) @ direction
        fc.bias.copy_(torch.stack([-middle, middle]))
        backbone.cnn.fc = fc
    return backbone


def test_a_policy_that_signals_the_class_is_caught():
    clips = paired_clips()
    backbone = listening_backbone(clips)
    result = evaluate(Signaller(StepLayout(backbone.sites, 2, "site")), backbone, clips)
    swapped = swap_test(result, backbone, clips)
    assert result.accuracy == 100
    assert swapped.accuracy == 0
    assert swapped.follows == 100


@pytest.mark.parametrize("name", [name for name in FIXED if not name.startswith("random")])
def test_fixed_decisions_signal_nothing(name):
    clips, backbone = paired_clips(), tiny_backbone()
    result = evaluate(fixed_policy(name, StepLayout(backbone.sites, 2, "site")), backbone, clips)
    swapped = swap_test(result, backbone, clips)
    assert swapped.accuracy == result.accuracy
    assert swapped.follows == 100 - result.accuracy


@pytest.mark.parametrize("order", ORDERS)
def test_static_decisions_signal_nothing(order):
    clips, backbone = paired_clips(), tiny_backbone()
    model = varied(backbone, clips, order, policy_kwargs={"gate": GateOptions(static=True)})
    result = evaluate(model, backbone, clips, order=order)
    assert swap_test(result, backbone, clips, order=order).accuracy == result.accuracy


def test_clips_without_their_reversal_are_left_out_of_the_swap():
    clips = paired_clips()
    backbone = listening_backbone(clips)
    part = clips.subset([0, 1, 2, 4, 7])  # one whole pair, three without partner
    result = evaluate(Signaller(StepLayout(backbone.sites, 2, "site")), backbone, part)
    swapped = swap_test(result, backbone, part)
    assert (swapped.accuracy, swapped.follows) == (0, 100)


def test_without_reversals_there_is_no_swap():
    backbone, clips = tiny_backbone(), noise_clips(2)
    result = evaluate(fixed_policy("all use", StepLayout(backbone.sites, 2, "site")), backbone, clips)
    assert swap_test(result, backbone, clips) is None
    assert pair_accuracy(result, clips) == {}


def test_pair_accuracy_by_hand():
    frames = np.zeros((2, 2, 8, 8, 3), np.uint8)
    clips = ArrayClips(frames, np.zeros(2), ["a", "b", "c", "d", "e", "f"], reversed_class=(1, 0, 4, 3, 2, 5))
    result = hand_made(label=[0, 0, 1, 1, 2, 4, 4, 3, 3], correct=[1, 0, 1, 1, 1, 0, 0, 1, 0])
    assert pair_accuracy(result, clips) == {"a / b": 75.0, "c / e": pytest.approx(100 / 3)}


# -- how decisions vary ------------------------------------------------------------------------------------------------


def decided(decisions, layout):
    """An evaluation in which these decisions were taken: per site (N, T, D_site)."""
    clips = len(decisions[0])
    return replace(hand_made([0] * clips, [1] * clips), decisions=Decisions(layout.sites, tuple(decisions)))


def drawn(rng, layout, clips, frames):
    """Random decisions of ``clips`` clips and ``frames`` frames, repeated to those of the layout: 1 for no change."""
    shape = (40, layout.num_frames)
    return [
        np.broadcast_to(rng.integers(3, size=(clips, frames, site.decisions)), (*shape, site.decisions))
        for site in layout.sites
    ]


@pytest.fixture(scope="module", params=ORDERS)
def layout(request):
    return StepLayout(tiny_backbone().sites, 8, request.param)


@pytest.mark.parametrize(
    ("clips", "frames", "only"), [(40, 1, "between_clips"), (1, 8, "between_frames"), (1, 1, None)]
)
def test_what_varies_with_one_thing_alone_is_counted_there(layout, clips, frames, only):
    found = adaptivity(decided(drawn(np.random.default_rng(0), layout, clips, frames), layout))
    assert list(found) == ["all", *(site.name for site in layout.sites)]
    for part in found.values():
        for name in ("between_clips", "between_frames", "rest"):
            assert getattr(part, name) == pytest.approx(float(name == only), abs=1e-12)
        assert (part.variance > 0) == (part.constant < 1) == (only is not None)


def test_what_depends_on_clip_and_frame_together_is_the_rest(layout):
    """Half the clips alternate use and skip, the other half skip and use: neither mean varies."""
    rest = (np.arange(40)[:, None] + np.arange(8)) % 2 * int(Decision.SKIP)
    decisions = [np.repeat(rest[..., None], site.decisions, -1) for site in layout.sites]
    found = adaptivity(decided(decisions, layout))["all"]
    assert (found.variance, found.between_clips, found.between_frames, found.rest) == (0.5, 0, 0, 1)


def test_coins_give_the_shares_that_chance_gives(layout):
    found = adaptivity(decided(drawn(np.random.default_rng(0), layout, 40, 8), layout))["all"]
    expected = {"variance": 2 / 3, "between_clips": 1 / 8, "between_frames": 1 / 40, "rest": 1 - 1 / 8 - 1 / 40}
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=0.15)
    assert found.constant == 0


def test_the_parts_are_those_of_the_formula(case):
    """The law of total variance, term by term from the one-hot vectors; overall, sums over all decisions."""
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    found, sums = adaptivity(result), []
    for site, chosen in zip(backbone.sites, result.decisions.by_site, strict=True):
        x = np.eye(len(Decision))[chosen]
        clip, frame, grand = x.mean(1, keepdims=True), x.mean(0, keepdims=True), x.mean((0, 1), keepdims=True)
        parts = [x - grand, clip - grand, frame - grand, x - clip - frame + grand]
        total, *shares = [(np.broadcast_to(part, x.shape) ** 2).sum(-1).mean((0, 1)).sum() for part in parts]
        sums.append([total, *shares])
        part = found[site.name]
        np.testing.assert_allclose(
            (part.between_clips, part.between_frames, part.rest), np.array(shares) / total, atol=1e-12
        )
        assert part.variance == pytest.approx(total / site.decisions)
        assert part.constant == pytest.approx(np.mean((chosen == chosen[:1, :1]).all((0, 1))))
    total, *shares = np.sum(sums, 0)
    overall = found["all"]
    np.testing.assert_allclose(
        (overall.between_clips, overall.between_frames, overall.rest), np.array(shares) / total, atol=1e-12
    )


def test_static_decisions_do_not_vary(case):
    _, backbone, clips, order = case
    model = varied(backbone, clips, order, policy_kwargs={"gate": GateOptions(static=True)})
    result = evaluate(model, backbone, clips, order=order)
    overall = adaptivity(result)["all"]
    assert (overall.variance, overall.constant) == (0, 1)


def test_frames_add_up_to_clips(case):
    model, backbone, clips, order = case
    layout = StepLayout(backbone.sites, clips.num_frames, order)
    result = evaluate(model, backbone, clips, order=order)
    costs = frame_costs(result, backbone, agent_macs(model, layout))
    assert costs.shape == (len(clips), clips.num_frames)
    np.testing.assert_allclose(costs.mean(1), result.macs_ratio, rtol=1e-12)
    assert np.ptp(costs) > 0
    shares = result.decisions.frame_shares()
    np.testing.assert_allclose(shares.sum(-1), 1)
    weights = [site.decisions for site in backbone.sites]
    np.testing.assert_allclose(shares.mean((0, 1)), np.average(result.shares, axis=0, weights=weights))


# -- what it is worth that they vary -----------------------------------------------------------------------------------


def test_the_most_common_decision_by_hand(layout):
    rng = np.random.default_rng(0)
    decisions = [rng.integers(3, size=(9, 8, site.decisions)) for site in layout.sites]
    frozen = most_common(Decisions(layout.sites, tuple(decisions))).by_site
    for chosen, common in zip(decisions, frozen):
        assert common.shape == (1, 8, chosen.shape[-1])
        for frame in range(8):
            by_hand = [np.bincount(column, minlength=3).argmax() for column in chosen[:, frame].T]
            np.testing.assert_array_equal(common[0, frame], by_hand)


def test_what_is_redrawn_keeps_every_share_and_nothing_of_the_clip(layout):
    """All decisions of a clip are alike, so that any one tells all others: redrawn, they tell each other nothing."""
    alike = np.arange(300) % 3
    decisions = [np.broadcast_to(alike[:, None, None], (300, 8, site.decisions)) for site in layout.sites]
    found = redrawn(Decisions(layout.sites, tuple(decisions)), layout, np.random.default_rng(0)).by_site
    for chosen in found:
        for decision in Decision:
            assert ((chosen == decision).sum(0) == 100).all()
    columns = np.concatenate([chosen.reshape(300, -1) for chosen in found], 1)
    agree = (columns[:, :1] == columns[:, 1:]).mean(0)
    assert agree.mean() == pytest.approx(1 / 3, abs=0.02)
    assert (columns == alike[:, None]).mean() == pytest.approx(1 / 3, abs=0.02)


def test_shuffles_give_every_clip_another_of_its_group():
    rng = np.random.default_rng(0)
    groups = np.array([0, 1, 0, 1, 1, 0, 2, 0])
    for _ in range(20):
        sources = other_clips(groups, rng)
        np.testing.assert_array_equal(groups[sources], groups)
        assert sorted(sources) == list(range(8))
        assert (sources != np.arange(8)).tolist() == (groups != 2).tolist()
    found = np.array([other_clips(groups, rng)[0] for _ in range(300)])
    assert set(found) == {2, 5, 7}
    partners = clips_of_partners(groups[:6], (1, 0), rng)
    np.testing.assert_array_equal(groups[partners], 1 - groups[:6])
    assert clips_of_partners(groups, (1, 0, 3), rng) is None


def test_a_signal_of_the_class_is_lost_step_by_step():
    """Decisions that are the class alone: another clip of the class does as well, one of the reversed class misleads."""
    clips = paired_clips(20)
    backbone, model = listening_backbone(clips), Signaller(StepLayout(tiny_backbone().sites, 2, "site"))
    result = evaluate(model, backbone, clips)
    others = without_adaptivity(result, backbone, clips, agent_macs=[0.0] * 3)
    assert list(others) == ["same class", "reversed class", "any class", "shares", "most common"]
    assert others["same class"].accuracy == 100
    assert others["reversed class"].accuracy == 0
    assert 0 < others["any class"].accuracy < 100
    assert 0 < others["shares"].accuracy < 100
    assert others["most common"].accuracy == 50  # one answer for all


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_is_lost_by_freezing_what_never_changes(order):
    backbone, clips = tiny_backbone(), paired_clips()
    model = varied(backbone, clips, order, policy_kwargs={"gate": GateOptions(static=True)})
    result = evaluate(model, backbone, clips, order=order)
    for other in without_adaptivity(result, backbone, clips, agent_macs=[0.0] * 3, order=order).values():
        assert_same(other, result)


def test_who_still_decides_is_charged_for_it_and_who_is_blind_is_not(case):
    model, backbone, clips, order = case
    result, own = evaluate(model, backbone, clips, order=order), model.policy.agent_macs
    others = without_adaptivity(result, backbone, clips, agent_macs=own, order=order)
    assert list(others) == ["same class", "any class", "shares", "most common"]  # these clips know no reversals
    for name in ("same class", "any class"):
        np.testing.assert_allclose(np.sort(others[name].macs_ratio), np.sort(result.macs_ratio))
    np.testing.assert_allclose(others["shares"].shares, result.shares)
    assert np.ptp(others["most common"].macs_ratio) == 0
    for chosen in others["most common"].decisions.by_site:
        assert (chosen == chosen[0]).all()


def test_a_frozen_policy_pays_for_no_agent():
    backbone, clips = tiny_backbone(), paired_clips()
    model = varied(backbone, clips, policy_kwargs={"gate": GateOptions(static=True)})
    result = evaluate(model, backbone, clips)
    others = without_adaptivity(result, backbone, clips, agent_macs=[backbone.ledger.dense_macs / 3] * 3)
    assert others["any class"].cost == pytest.approx(result.cost + 1)
    assert others["most common"].cost == others["shares"].cost == pytest.approx(result.cost)
