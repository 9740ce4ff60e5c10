"""The cost of a walk: on the way and from the decisions alone, which must be the same; the ledger's own tests hold both."""

from __future__ import annotations

import functools
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from fusion_cases import KINDS, follow, random_decisions, random_frames, tiny_backbone
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from backbone import CostWalk, Decision, FusionBackbone, Ledger, create_cnn, one_hot, walk_macs
from backbone.fusion.backbone import HISTORIES

GROUP_SIZES = (1, 2, 5)  # 5 divides no site's channels
AGENT_MACS = [0.0, 10.0, 200.5, 3000.0]


@functools.cache
def ledger_of(kind: str, history: str, group_size: int) -> Ledger:
    if kind in KINDS:
        return tiny_backbone(kind, history=history, group_size=group_size).ledger
    with torch.device("meta"):
        cnn = create_cnn(kind, num_classes=3, size=32)
        return FusionBackbone(cnn, history=history, group_size=16 * group_size).ledger


@st.composite
def walks(draw) -> tuple[Ledger, list[Tensor], list[int], int]:
    """A ledger, decisions (R, T, D, 3) per site, lengths of chunks, rollouts of a clip."""
    kind = draw(st.sampled_from(KINDS))
    ledger = ledger_of(kind, draw(st.sampled_from(HISTORIES)), draw(st.sampled_from(GROUP_SIZES)))
    chunks = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    rollouts = draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    weights = torch.rand(3, generator=generator, dtype=torch.float64)
    decisions = []
    for site in range(len(ledger.channels)):
        shape = (2 * rollouts, sum(chunks), ledger.decisions(site))
        if draw(st.booleans()):
            drawn = torch.multinomial(weights, int(np.prod(shape)), replacement=True, generator=generator)
            decisions.append(one_hot(drawn.view(shape), torch.float64))
        else:
            decisions.append(torch.randn(*shape, 3, generator=generator, dtype=torch.float64).softmax(-1))
    return ledger, decisions, chunks, rollouts


def on_the_way(ledger: Ledger, decisions: list[Tensor], chunks: list[int], rollouts: int, agent: list[float]) -> Tensor:
    """What ``CostWalk`` charges: (R, T, S)."""
    walk, start, charged = None, 0, []
    for length in chunks:
        walk = CostWalk.begin(ledger, torch.zeros(len(decisions[0]) // rollouts, length), walk)
        steps, before = [], walk.macs
        for site, chosen in enumerate(decisions):
            assert walk.site == site
            walk = walk.advance(chosen[:, start : start + length], agent_macs=agent[site])
            steps.append(walk.macs - before.repeat_interleave(len(walk.macs) // len(before), 0))
            before = walk.macs
        charged.append(torch.stack(steps, -1))
        start += length
    return torch.cat(charged, 1)


@given(walk=walks(), charged=st.booleans())
@settings(max_examples=40, deadline=None)
def test_at_once_is_what_is_charged_on_the_way(walk, charged):
    ledger, decisions, chunks, rollouts = walk
    agent = (AGENT_MACS * len(decisions))[: len(decisions)] if charged else [0.0] * len(decisions)
    expected = on_the_way(ledger, decisions, chunks, rollouts, agent)
    found = walk_macs(ledger, decisions, agent_macs=agent if charged else ())
    assert found.dtype == torch.float64
    if all(((chosen == 0) | (chosen == 1)).all() for chosen in decisions):
        assert torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("history", HISTORIES)
def test_so_it_is_where_branches_write_ranges_of_a_site_and_read_the_one_before(history):
    ledger = ledger_of("bn_inception", history, 1)
    torch.manual_seed(0)
    shapes = [(2, 3, ledger.decisions(site)) for site in range(len(ledger.channels))]
    decisions = [one_hot(torch.randint(3, shape), torch.float64) for shape in shapes]
    assert torch.equal(walk_macs(ledger, decisions), on_the_way(ledger, decisions, [1, 2], 2, [0.0] * len(shapes)))


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
@torch.no_grad()
def test_at_once_is_what_a_backbone_charged_exactly(kind, history, group_size):
    backbone = tiny_backbone(kind, history=history, group_size=group_size)
    decisions, agent = random_decisions(backbone, rows=6), AGENT_MACS[: len(backbone.sites)]
    walked = backbone(random_frames(2), follow(decisions), agent_macs=agent).macs
    assert torch.equal(walk_macs(backbone.ledger, list(map(one_hot, decisions)), agent_macs=agent).sum((1, 2)), walked)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
def test_both_have_the_same_gradient(kind, history):
    ledger = ledger_of(kind, history, 2)
    torch.manual_seed(0)
    decisions = [torch.randn(2, 3, ledger.decisions(site), 3).softmax(-1) for site in range(len(ledger.channels))]
    decisions = [chosen.double().requires_grad_() for chosen in decisions]
    at_once = torch.autograd.grad(walk_macs(ledger, decisions).sum(), decisions)
    stepwise = on_the_way(ledger, decisions, [1, 2], 1, [0.0] * len(decisions))
    for one, other in zip(at_once, torch.autograd.grad(stepwise.sum(), decisions), strict=True):
        torch.testing.assert_close(one, other)


def test_control_a_chunk_without_the_one_before_costs_otherwise():
    ledger = ledger_of("both", "raw", 1)
    reuse = [one_hot(torch.full((1, 2, channels), int(Decision.REUSE))) for channels in ledger.channels]
    alone = walk_macs(ledger, [chosen[:, 1:] for chosen in reuse]).sum()
    assert walk_macs(ledger, reuse)[:, 1].sum() > alone


@pytest.mark.parametrize("wrong", [slice(1), slice(2)])
def test_decisions_of_fewer_sites_are_refused(wrong):
    ledger = ledger_of("basic", "raw", 1)
    decisions = [torch.zeros(1, 2, channels, 3) for channels in ledger.channels]
    with pytest.raises(ValueError, match=f"expected {sum(ledger.channels)} decisions a frame, of all sites, got"):
        walk_macs(ledger, decisions[wrong])


def test_a_walk_cannot_be_changed_and_may_be_continued_twice():
    ledger = ledger_of("basic", "raw", 1)
    walk = CostWalk.begin(ledger, torch.zeros(1, 2))
    with pytest.raises(FrozenInstanceError):
        walk.macs = 0
    chosen = [one_hot(torch.full((1, 2, ledger.channels[0]), int(decision))) for decision in Decision]
    first, _, last = (walk.advance(one) for one in chosen)
    assert (first.macs > last.macs).all()
    assert walk.macs.eq(0).all()
    assert walk.site == 0
