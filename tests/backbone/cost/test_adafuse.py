"""Two counts of the same decisions: ours, equal to the walk's, and the one of AdaFuse's code with its errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusion_cases import KINDS, T, constant_decisions, follow, random_decisions, random_frames, tiny_backbone

from backbone import Decision, FusionBackbone, Ledger, create_cnn, one_hot
from backbone.cost.adafuse import ACCOUNTINGS, clip_macs
from backbone.cost.ledger import Layer
from backbone.fusion.backbone import HISTORIES

USE, REUSE, SKIP = Decision


def count(ledger: Ledger, *decisions: list[int], accounting: str = "adafuse") -> float:
    """Of one clip; per site the decisions of its frames, the same for all channels."""
    chosen = [
        one_hot(torch.tensor(frames)).view(1, -1, 1, 3).expand(-1, -1, channels, -1)
        for frames, channels in zip(decisions, ledger.channels)
    ]
    return clip_macs(ledger, chosen, accounting=accounting).item()


def between_two(channels: int = 1) -> Ledger:
    return Ledger([Layer("up", 1, 0, writes=0), Layer("down", 1, 0, reads=0)], [channels])


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_causal_count_is_the_walks(kind, history):
    backbone = tiny_backbone(kind, history=history, group_size=2)
    decisions, own = random_decisions(backbone, rows=3), [7.0 * (i + 1) for i in range(len(backbone.sites))]
    with torch.no_grad():
        walked = backbone(random_frames(3), follow(decisions), agent_macs=own).macs
    assert torch.equal(clip_macs(backbone.ledger, list(map(one_hot, decisions)), agent_macs=own), walked)


def official_loop(backbone, decisions: list[np.ndarray]) -> float:
    """AdaFuse's ``compute_gflops_by_mask`` for ResNets, frame by frame, of one clip: (T, C) per site -> MACs per frame.

    Masks have the official columns: 0 skip, 1 reuse, 2 use.
    """
    macs = {layer.name: layer.macs for layer in backbone.ledger.layers}
    real = float(sum(macs.values()))
    for site, chosen in zip(backbone.sites, decisions):
        mask = np.stack([chosen == SKIP, chosen == REUSE, chosen == USE], -1).astype(float)
        upsave = np.zeros(chosen.shape)
        for t in range(len(chosen) - 1):
            upsave[t] = (1 - mask[t, :, -1]) * (1 - mask[t + 1, :, -2])
        upsave[-1] = 1 - mask[t, :, -1]
        block, second = site.name.removesuffix(".conv2"), site.name.endswith(".conv2")
        real -= upsave.mean() * macs[f"{block}.{'conv2' if second else 'conv1'}"]
        real -= mask[..., 0].mean() * macs[f"{block}.{'conv3' if second else 'conv2'}"]
    return real


@pytest.mark.parametrize("kind", ["basic", "bottleneck", "both"])
@pytest.mark.parametrize("seed", range(3))
def test_the_official_count_equals_a_loop_written_from_the_official_code(kind, seed):
    backbone = tiny_backbone(kind)
    decisions = random_decisions(backbone, rows=2, seed=seed)
    found = clip_macs(backbone.ledger, list(map(one_hot, decisions)), accounting="adafuse")
    for clip in range(2):
        expected = T * official_loop(backbone, [chosen[clip].numpy() for chosen in decisions])
        assert found[clip].item() == pytest.approx(expected, rel=1e-12)


def test_the_worked_example_of_the_module():
    assert count(between_two(), [SKIP, USE], accounting="causal") == 2
    assert count(between_two(), [SKIP, USE]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_both_counts_agree_on_the_dense_cnn(kind):
    backbone = tiny_backbone(kind)
    chosen = list(map(one_hot, constant_decisions(backbone, USE)))
    for accounting in ACCOUNTINGS:
        assert clip_macs(backbone.ledger, chosen, accounting=accounting) == T * backbone.ledger.dense_macs


def test_trap_1_the_last_frame_is_charged_with_the_decisions_before_it():
    last_skipped, last_used = [USE, USE, SKIP], [USE, USE, USE]
    up_only = Ledger([Layer("up", 1, 0, writes=0)], [1])
    assert count(up_only, last_skipped) == count(up_only, last_used) == 3
    assert count(up_only, last_skipped, accounting="causal") == 2


def test_trap_2_savings_are_added_where_the_product_is_right():
    layers = [Layer("a", 1, 0, writes=0), Layer("b", 1, 1, reads=0, writes=1), Layer("c", 1, 1, reads=1)]
    ledger = Ledger(layers, [2, 2])
    assert count(ledger, [SKIP, SKIP], [SKIP, SKIP]) == 2 * -1.0
    assert count(ledger, [SKIP, SKIP], [SKIP, SKIP], accounting="causal") == 0
    half = one_hot(torch.tensor([[[USE, SKIP]] * 2]))
    assert clip_macs(ledger, [half, half], accounting="adafuse").item() == 2 * 1.0
    assert clip_macs(ledger, [half, half]).item() == 2 * 1.25


def test_a_clip_of_one_frame_has_no_official_count():
    with pytest.raises(ValueError, match="at least 2 frames"):
        count(between_two(), [USE])
    assert count(between_two(), [USE], accounting="causal") == 2


def test_an_unknown_accounting_lists_the_known():
    with pytest.raises(ValueError, match="causal, adafuse, got 'thop'"):
        count(between_two(), [USE], accounting="thop")


def test_trap_3_bn_inceptions_convolutions_between_two_sites_save_twice():
    with torch.device("meta"):
        ledger = FusionBackbone(create_cnn("bn_inception", num_classes=8)).ledger
    skip = [one_hot(torch.full((1, 2, channels), int(SKIP))) for channels in ledger.channels]
    between = sum(layer.macs for layer in ledger.layers if layer.reads is not None and layer.writes is not None)
    classifier = sum(layer.macs for layer in ledger.layers if layer.linear)
    assert between > 0
    exact, official = (clip_macs(ledger, skip, accounting=name).item() for name in ("causal", "adafuse"))
    assert exact - official == pytest.approx(2 * (between - classifier))  # the classifier saves in ours only


@pytest.mark.parametrize("accounting", ACCOUNTINGS)
def test_a_group_is_counted_as_its_channels(accounting):
    """The last group is smaller than the others."""
    ledger = Ledger(between_two(5).layers, [5], group_size=2)
    decisions = torch.tensor([[[USE, REUSE, SKIP], [SKIP, REUSE, USE], [REUSE, REUSE, SKIP]]])
    channelwise = decisions[..., [0, 0, 1, 1, 2]]
    found = clip_macs(ledger, [one_hot(decisions)], accounting=accounting)
    assert found.item() == pytest.approx(
        clip_macs(between_two(5), [one_hot(channelwise)], accounting=accounting).item(), rel=1e-12
    )


@pytest.mark.parametrize("accounting", ACCOUNTINGS)
def test_decisions_of_other_groups_are_refused(accounting):
    ledger = Ledger(between_two(5).layers, [5], group_size=2)
    with pytest.raises(ValueError, match=r"expected 3 decisions .*, got 5"):
        clip_macs(ledger, [one_hot(torch.zeros(1, 2, 5))], accounting=accounting)
