"""Decisions: one value for what was chosen, from the steps of either order and back."""

import io

import numpy as np
import pytest
import torch
from fusion_cases import T, random_decisions, tiny_backbone
from hypothesis import given, settings
from hypothesis import strategies as st

from backbone import Decision, one_hot
from envs.decisions import UNDECIDED, Decisions
from envs.spaces import ORDERS, StepLayout

SITES = tiny_backbone().sites
each_order = pytest.mark.parametrize("order", ORDERS)


def drawn(clips: int = 3, seed: int = 0) -> Decisions:
    chosen = random_decisions(tiny_backbone(), rows=clips, seed=seed)
    return Decisions(SITES, tuple(of_site.numpy().astype(np.int8) for of_site in chosen))


@given(st.sampled_from(ORDERS), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_actions_of_either_order_and_back(order, clips, seed):
    decisions, layout = drawn(clips, seed), StepLayout(SITES, T, order)
    actions = decisions.to_actions(layout)
    assert [step.shape for step in actions] == [(clips, layout.step_frames * layout.decisions)] * layout.num_steps
    np.testing.assert_equal(Decisions.from_actions(actions, layout).to_arrays(), decisions.to_arrays())


@each_order
def test_padding_is_left_out_on_the_way_in_and_use_on_the_way_out(order):
    layout = StepLayout(SITES, T, order)
    skip = [np.full((2, layout.step_frames * layout.decisions), Decision.SKIP)] * layout.num_steps
    decisions = Decisions.from_actions(skip, layout)
    assert (decisions.shares() == [0, 0, 1]).all()
    for index, step in enumerate(decisions.to_actions(layout)):
        padding = ~layout.decision_mask()[index % len(SITES)].numpy()
        assert (step[:, padding] == Decision.USE).all()
        assert (step[:, ~padding] == Decision.SKIP).all()


@each_order
def test_steps_that_were_not_taken_are_undecided(order):
    layout = StepLayout(SITES, T, order)
    decisions = Decisions.from_actions(drawn().to_actions(layout)[:2], layout)
    expected = 3 * layout.step_frames * sum(site.decisions for site in SITES[:2])
    assert decisions.counts().sum() == expected
    assert (decisions.by_site[2] == UNDECIDED).all()
    assert all(chosen.dtype == np.int8 for chosen in decisions.by_site)


def test_one_hot_is_that_of_every_decision():
    decisions = drawn()
    for chosen, hot in zip(decisions.by_site, decisions.one_hot(), strict=True):
        torch.testing.assert_close(hot, one_hot(torch.from_numpy(chosen)), rtol=0, atol=0)
        assert (hot.argmax(-1).numpy() == chosen).all()


def test_clips_are_swapped_repeated_and_joined():
    decisions = drawn(4)
    swapped = decisions.take([1, 0, 3, 2])
    assert (swapped.by_site[2][0] == decisions.by_site[2][1]).all()
    assert len(decisions.take(np.zeros(9, int))) == 9
    again = Decisions.concatenate([decisions.take(slice(0, 1)), decisions.take(slice(1, None))])
    np.testing.assert_equal(again.to_arrays(), decisions.to_arrays())


@pytest.mark.parametrize("size", [1, 3, 5, 64])
def test_batches_say_what_all_say_at_once(size):
    decisions = drawn(5)
    batches = list(decisions.batches(size))
    assert [len(batch[0]) for batch in batches] == [min(size, 5 - first) for first in range(0, 5, size)]
    for whole, parts in zip(decisions.one_hot(), zip(*batches), strict=True):
        assert torch.equal(torch.cat(parts), whole)


def test_shares_by_site_by_frame_and_of_all():
    decisions = drawn(5)
    weights = [site.decisions for site in SITES]
    overall = np.average(decisions.shares(), axis=0, weights=weights)
    np.testing.assert_allclose(decisions.frame_shares().mean((0, 1)), overall)
    np.testing.assert_allclose(decisions.counts() / decisions.counts().sum(), overall)
    assert decisions.frame_shares().shape == (5, T, len(Decision))


def test_they_are_kept_as_arrays_and_taken_back():
    decisions, file = drawn(), io.BytesIO()
    np.savez(file, **decisions.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        again = Decisions.from_arrays(arrays, SITES)
        with pytest.raises(ValueError, match=r"expected 2 decisions of layer1.0 a frame, got arrays"):
            Decisions.from_arrays(arrays, tiny_backbone(group_size=2).sites)
    np.testing.assert_equal(again.to_arrays(), decisions.to_arrays())
