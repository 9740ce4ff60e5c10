"""Flat observations and actions: packing, unpacking, masks."""

import json

import pytest
import torch
from fusion_cases import SIZE, T, random_frames, tiny_backbone

from backbone import Decision, Observation, one_hot
from envs.spaces import ORDERS, StepLayout

each_order = pytest.mark.parametrize("order", ORDERS)


def make_layout(order: str, kind: str = "basic", **kwargs) -> StepLayout:
    return StepLayout(tiny_backbone(kind, **kwargs).sites, T, order)


def observe_all(layout: StepLayout, kind: str) -> list[tuple[int, Observation]]:
    """(first frame, observation) of every step of a walk in which use, reuse and skip take turns."""
    backbone, frames = tiny_backbone(kind), random_frames()
    seen, state = [], None
    with torch.no_grad():
        for first in range(0, T, layout.step_frames):
            state = backbone.begin(frames[:, first : first + layout.step_frames], state)
            for site in backbone.sites:
                seen.append((first, backbone.observe(state)))
                turns = torch.arange(2 * layout.step_frames * site.decisions) % len(Decision)
                state = backbone.advance(state, one_hot(turns.view(2, layout.step_frames, site.decisions)))
    return seen


@each_order
def test_an_episode_has_a_step_for_each_decision_point(order):
    layout = make_layout(order)
    assert layout.num_steps * layout.step_frames == 3 * T


@each_order
def test_spaces_have_the_documented_columns(order):
    layout = make_layout(order)
    frames, width, decisions, sites = layout.step_frames, 6, 6, 3
    assert (layout.v_width, layout.decisions) == (width, decisions)
    assert layout.observation_space.shape == (frames * (2 * width + decisions + sites + 4),)
    assert layout.action_space.nvec.tolist() == [3] * (frames * decisions)


@each_order
@pytest.mark.parametrize("kind", ["basic", "plain"])
def test_unpacking_gives_back_what_was_packed(order, kind):
    layout = make_layout(order, kind)
    for first, observation in observe_all(layout, kind):
        flat = layout.pack(observation, first, torch.tensor([0.25, 0.5]))
        assert layout.observation_space.contains(flat[0].numpy())
        rows = layout.unpack(flat)
        site = layout.sites[observation.site]
        assert rows.site.tolist() == [site.index] * 2
        for unpacked, packed in (
            (rows.v[..., : site.in_channels], observation.v),
            (rows.v_previous[..., : site.in_channels], observation.v_previous),
            (rows.ready[..., : site.decisions], observation.cost.ready),
            (rows.has_previous, observation.cost.has_previous),
        ):
            assert torch.equal(unpacked, packed)
        for name in ("now", "before"):
            live = getattr(rows, f"live_{name}")
            assert torch.equal(
                live, getattr(observation.cost.input_live, name) if observation.cost.input_live else 0 * live
            )


@each_order
def test_padding_is_zero(order):
    layout = make_layout(order)
    first, observation = observe_all(layout, "basic")[0]
    rows, site = layout.unpack(layout.pack(observation, first, torch.zeros(2))), layout.sites[0]
    assert site.channels < layout.decisions
    for part in (rows.v[..., site.in_channels :], rows.v_previous[..., site.in_channels :]):
        assert part.numel() > 0
        assert part.eq(0).all()
    assert rows.ready[..., site.decisions :].eq(0).all()


def test_the_scalars_are_time_and_share_spent():
    layout = make_layout("site")
    _, observation = observe_all(layout, "basic")[0]
    scalars = layout.pack(observation, 0, torch.tensor([0.25, 0.5])).unflatten(1, (T, -1))[..., -4:]
    assert scalars[0, :, 0].tolist() == [t / T for t in range(T)]
    assert scalars[..., 1].tolist() == [[0.25] * T, [0.5] * T]


@each_order
@pytest.mark.parametrize("group_size", [1, 4])
def test_masks_allow_everything_but_only_use_in_the_padding(order, group_size):
    layout = make_layout(order, group_size=group_size)
    for site in layout.sites:
        mask = layout.action_mask(site.index).reshape(layout.step_frames, layout.decisions, len(Decision))
        assert mask[:, : site.decisions].all()
        padding = mask[:, site.decisions :]
        assert padding[..., Decision.USE].all()
        assert not padding[..., [Decision.REUSE, Decision.SKIP]].any()


@each_order
def test_decision_mask_marks_the_columns_that_are_not_forced(order):
    layout = make_layout(order)
    for site, real in zip(layout.sites, layout.decision_mask(), strict=True):
        allowed = torch.from_numpy(layout.action_mask(site.index)).unflatten(0, (-1, len(Decision)))
        assert torch.equal(real, allowed.sum(-1) > 1)


def test_an_action_mask_is_a_fresh_array():
    layout = make_layout("site")
    layout.action_mask(0)[:] = False
    assert layout.action_mask(0).any()


@each_order
def test_a_layout_survives_json(order):
    layout = make_layout(order, group_size=4)
    assert StepLayout.from_json(json.loads(json.dumps(layout.to_json()))) == layout


def test_an_unknown_order_is_named_beside_the_known():
    with pytest.raises(ValueError, match="frame, site, got 'zigzag'"):
        StepLayout(tiny_backbone(size=SIZE).sites, T, "zigzag")
