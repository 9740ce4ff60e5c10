"""Cost: properties of the ledger, a brute-force count beside it, and the figures of published models."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
import torch
from fusion_cases import (
    KINDS,
    PlainBlock,
    PlainCNN,
    T,
    constant_decisions,
    follow,
    random_decisions,
    random_frames,
    tiny_backbone,
    tiny_cnn,
    walk_in_chunks,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from backbone import Decision, FusionBackbone, Ledger, create_cnn
from backbone.cost.ledger import Layer, Live, SiteContext
from backbone.fusion.backbone import HISTORIES

BACKBONES = {(kind, history): tiny_backbone(kind, history=history) for kind in KINDS for history in HISTORIES}
FRAMES = {length: random_frames(1, length) for length in (1, 2, 3, T)}
USE, REUSE, SKIP = Decision

each_backbone = pytest.mark.parametrize("backbone", BACKBONES.values(), ids=map("-".join, BACKBONES))
quick = settings(max_examples=25, deadline=None)


def clip_macs(backbone: FusionBackbone, decisions: list[Tensor]) -> float:
    """MACs of one clip under integer decisions, per site (1, T, C)."""
    with torch.no_grad():
        return backbone(FRAMES[decisions[0].shape[1]], follow(decisions)).macs.item()


def split(table: np.ndarray, backbone: FusionBackbone) -> list[Tensor]:
    """(T, all sites' channels) -> per site (1, T, C)."""
    return list(torch.from_numpy(table).unsqueeze(0).split([site.channels for site in backbone.sites], -1))


def tables(frames: int = T) -> st.SearchStrategy[np.ndarray]:
    """Decisions for all channels that a tiny backbone can have; ``split`` takes its share from the left."""
    return arrays(np.int64, (frames, 20), elements=st.integers(0, 2))


def split_left(table: np.ndarray, backbone: FusionBackbone) -> list[Tensor]:
    return split(np.ascontiguousarray(table[:, : sum(site.channels for site in backbone.sites)]), backbone)


# -- an independent count --------------------------------------------------------------------------------------------


class Conv(NamedTuple):
    """A layer of a tiny CNN, written down by hand: MACs of a pair of channels, channels, sites."""

    macs_per_pair: int
    inputs: int
    outputs: int
    reads: int | None = None
    writes: int | None = None


# feature maps are 8 x 8 up to the first stage and 4 x 4 in the second
TABLES = {
    "basic": [
        Conv(64 * 9, 3, 4),
        Conv(64 * 9, 4, 4, writes=0),
        Conv(64 * 9, 4, 4, reads=0),
        Conv(16 * 9, 4, 6, writes=1),
        Conv(16 * 9, 6, 6, reads=1),
        Conv(16, 4, 6),
        Conv(16 * 9, 6, 6, writes=2),
        Conv(16 * 9, 6, 6, reads=2),
        Conv(1, 6, 8),
    ],
    "bottleneck": [
        Conv(64 * 9, 3, 4),
        Conv(64, 4, 4, writes=0),
        Conv(64 * 9, 4, 4, reads=0),
        Conv(64, 4, 16),
        Conv(64, 4, 16),
        Conv(64, 16, 6, writes=1),
        Conv(16 * 9, 6, 6, reads=1),
        Conv(16, 6, 24),
        Conv(16, 16, 24),
        Conv(1, 24, 8),
    ],
    "both": [
        Conv(64 * 9, 3, 4),
        Conv(64, 4, 4, writes=0),
        Conv(64 * 9, 4, 4, reads=0, writes=1),
        Conv(64, 4, 16, reads=1),
        Conv(64, 4, 16),
        Conv(64, 16, 6, writes=2),
        Conv(16 * 9, 6, 6, reads=2, writes=3),
        Conv(16, 6, 24, reads=3),
        Conv(16, 16, 24),
        Conv(1, 24, 8),
    ],
    "plain": [
        Conv(64 * 9, 3, 4),
        Conv(64 * 9, 4, 4, writes=0),
        Conv(64 * 9, 4, 6, reads=0, writes=1),
        Conv(64 * 9, 6, 5, reads=1, writes=2),
        Conv(1, 5, 8, reads=2),
    ],
}


def brute_force_macs(layers: list[Conv], decisions: list[np.ndarray], history: str, frames: int) -> int:
    """Count pair by pair: which outputs must be computed, and which of their inputs are not known to be zero.

    :param decisions: per site (T, C)
    """

    def is_live(site: int, t: int, channel: int) -> bool:
        """Does the site pass on anything but zero?"""
        decision = decisions[site][t, channel]
        if decision == REUSE:
            return t > 0 and (history == "raw" or is_live(site, t - 1, channel))
        return decision == USE

    def is_computed(site: int, t: int, channel: int) -> bool:
        """Is y_t asked for, by frame t itself or by frame t+1?"""
        wanted_later = history == "raw" and t + 1 < frames and decisions[site][t + 1, channel] == REUSE
        return decisions[site][t, channel] == USE or wanted_later

    total = 0
    for layer, t in itertools.product(layers, range(frames)):
        for output, column in itertools.product(range(layer.outputs), range(layer.inputs)):
            computed = layer.writes is None or is_computed(layer.writes, t, output)
            live = layer.reads is None or is_live(layer.reads, t, column)
            total += layer.macs_per_pair * (computed and live)
    return total


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
@given(table=tables())
@settings(max_examples=20, deadline=None)
def test_ledger_equals_a_brute_force_count(kind, history, table):
    backbone = BACKBONES[kind, history]
    decisions = split_left(table, backbone)
    expected = brute_force_macs(TABLES[kind], [d[0].numpy() for d in decisions], history, T)
    assert clip_macs(backbone, decisions) == expected


@pytest.mark.parametrize("names", [["chain.0"], ["chain.1"], ["chain.0", "chain.2"], ["chain.1", "chain.2"]])
@pytest.mark.parametrize("history", HISTORIES)
def test_ledger_equals_a_brute_force_count_where_blocks_have_no_site(names, history):
    backbone = tiny_backbone("plain", sites=names, history=history)
    place = {int(name[-1]): index for index, name in enumerate(names)}
    layers = [layer._replace(reads=place.get(layer.reads), writes=place.get(layer.writes)) for layer in TABLES["plain"]]
    for seed in range(5):
        decisions = random_decisions(backbone, 1, seed=seed)
        expected = brute_force_macs(layers, [d[0].numpy() for d in decisions], history, T)
        assert clip_macs(backbone, decisions) == expected


def test_control_the_count_tells_a_product_from_a_sum_of_savings():
    backbone = BACKBONES["plain", "raw"]
    decisions = random_decisions(backbone, 1)
    sums = [layer for layer in TABLES["plain"] if layer.reads is None or layer.writes is None]
    sums += [layer._replace(reads=None) for layer in TABLES["plain"] if layer not in sums]
    assert brute_force_macs(sums, [d[0].numpy() for d in decisions], "raw", T) != clip_macs(backbone, decisions)


# -- properties ------------------------------------------------------------------------------------------------------


@each_backbone
def test_all_use_costs_exactly_the_dense_cnn(backbone):
    assert clip_macs(backbone, constant_decisions(backbone, USE)) == T * backbone.ledger.dense_macs


@each_backbone
def test_all_skip_costs_exactly_what_no_decision_touches(backbone):
    untouched = sum(layer.macs for layer in backbone.ledger.layers if layer.reads is None and layer.writes is None)
    assert clip_macs(backbone, constant_decisions(backbone, SKIP)) == T * untouched > 0


@each_backbone
@given(table=tables())
@quick
def test_cost_lies_between_all_skip_and_all_use(backbone, table):
    lowest = clip_macs(backbone, constant_decisions(backbone, SKIP))
    assert 0 < lowest <= clip_macs(backbone, split_left(table, backbone)) <= T * backbone.ledger.dense_macs


@each_backbone
@given(table=tables(), t=st.integers(0, T - 1), channel=st.integers(0, 9))
@quick
def test_turning_a_skip_into_use_never_lowers_the_cost(backbone, table, t, channel):
    table[t, channel] = SKIP
    skipped = clip_macs(backbone, split_left(table, backbone))
    table[t, channel] = USE
    assert clip_macs(backbone, split_left(table, backbone)) >= skipped


@each_backbone
@given(table=tables(), channel=st.integers(0, 9))
@quick
def test_reuse_at_the_first_frame_costs_as_skip_does(backbone, table, channel):
    table[:2, channel] = REUSE, SKIP
    reused = clip_macs(backbone, split_left(table, backbone))
    table[0, channel] = SKIP
    assert clip_macs(backbone, split_left(table, backbone)) == reused


@each_backbone
def test_reuse_everywhere_at_one_frame_costs_as_all_skip(backbone):
    one_frame = {"frames": 1}
    reuse, skip = (constant_decisions(backbone, decision, **one_frame) for decision in (REUSE, SKIP))
    assert clip_macs(backbone, reuse) == clip_macs(backbone, skip)


@each_backbone
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_clips_of_any_length_have_a_cost(backbone, frames):
    use = constant_decisions(backbone, USE, frames=frames)
    assert clip_macs(backbone, use) == frames * backbone.ledger.dense_macs


@each_backbone
def test_the_last_frame_is_charged_with_its_own_decisions(backbone):
    decisions = constant_decisions(backbone, USE)
    for chosen in decisions:
        chosen[:, -1] = SKIP
    one_frame = clip_macs(backbone, constant_decisions(backbone, SKIP, frames=1))
    assert clip_macs(backbone, decisions) == (T - 1) * backbone.ledger.dense_macs + one_frame


@each_backbone
def test_frames_before_the_last_are_not_charged_with_its_decisions(backbone):
    decisions = random_decisions(backbone, 1)
    changed = [chosen.clone() for chosen in decisions]
    for chosen in changed:
        chosen[:, -1] = SKIP
    with torch.no_grad():
        state, other = backbone.begin(FRAMES[T]), backbone.begin(FRAMES[T])
        for _ in backbone.sites:
            state = backbone.advance(state, follow(decisions)(backbone.observe(state)))
            other = backbone.advance(other, follow(changed)(backbone.observe(other)))
    assert torch.equal(state.macs[:, :-1], other.macs[:, :-1])
    assert state.macs[0, -1] > other.macs[0, -1]


@given(table=tables())
@settings(max_examples=50, deadline=None)
def test_causal_charges_sum_to_the_closed_form_with_raw_history(table):
    """sum_t up (1 - (1 - u_t)(1 - r_{t+1})) + down (u_t + r_t [t > 0])"""
    channels, up, down = 20, 2000, 6000
    ledger = Ledger([Layer("up", up, 0, writes=0), Layer("down", down, 0, reads=0)], [channels])
    use, reuse = (table == USE).astype(float), (table == REUSE).astype(float)
    later = np.vstack([reuse[1:], np.zeros((1, channels))])
    expected = (up / channels * (1 - (1 - use) * (1 - later))).sum()
    expected += down / channels * (use.sum() + reuse[1:].sum())
    assert site_macs(ledger, 0, table).sum().item() == expected


@given(table=tables())
@settings(max_examples=50, deadline=None)
def test_with_fused_history_only_use_pays_upstream_and_reuse_of_the_dead_is_dead(table):
    channels, up, down = 20, 2000, 6000
    ledger = Ledger([Layer("up", up, 0, writes=0), Layer("down", down, 0, reads=0)], [channels], "fused")
    live, expected = np.zeros(channels, bool), []
    for row in table:
        live = (row == USE) | ((row == REUSE) & live)
        expected.append(up / channels * (row == USE).sum() + down / channels * live.sum())
    assert site_macs(ledger, 0, table)[0].tolist() == expected


@given(table=tables(), first=st.integers(1, T - 1))
@quick
def test_cost_does_not_depend_on_how_the_clip_is_cut(table, first):
    for (kind, history), backbone in BACKBONES.items():
        decisions = split_left(table, backbone)
        _, macs = walk_in_chunks(backbone, FRAMES[T], decisions, (first, T - first))
        assert macs.item() == clip_macs(backbone, decisions), (kind, history)


def test_the_agents_macs_are_added_once_a_frame(backbone):
    decisions, agent_macs = random_decisions(backbone), [10.0, 200.0, 3000.0]
    with torch.no_grad():
        alone = backbone(random_frames(), follow(decisions)).macs
        charged = backbone(random_frames(), follow(decisions), agent_macs=agent_macs).macs
    assert torch.equal(charged - alone, torch.full((2,), T * 3210.0, dtype=torch.float64))


# -- the official code's second trap: two decided ends of one convolution --------------------------------------------


def three_unit_convolutions() -> Ledger:
    """Site 0 between the first two convolutions, site 1 between the last two; each costs one unit."""
    layers = [Layer("a", 1, 0, writes=0), Layer("b", 1, 1, reads=0, writes=1), Layer("c", 1, 1, reads=1)]
    return Ledger(layers, [2, 2])


def site_macs(ledger: Ledger, site: int, decisions: np.ndarray | Tensor, input_live: Live | None = None) -> Tensor:
    """The ledger's answer for a whole clip: integers (T, C) or probabilities (T, C, 3) -> (1, T)."""
    decisions = torch.as_tensor(decisions)
    if decisions.ndim == 2:
        decisions = nn.functional.one_hot(decisions, 3).double()
    decisions = decisions.unsqueeze(0)
    has_previous = torch.ones(decisions.shape[:2], dtype=decisions.dtype)
    has_previous[:, 0] = 0
    ready = torch.zeros(1, decisions.shape[2], dtype=decisions.dtype)
    return ledger.site_macs(site, decisions, SiteContext(ready, has_previous, input_live))


def chain_macs(ledger: Ledger, decisions: list[Tensor]) -> Tensor:
    """MACs of two sites of which the second's convolution reads the first: probabilities (T, C, 3) each -> scalar."""
    use, reuse = decisions[0][..., USE], decisions[0][..., REUSE]
    live = use.clone()
    for t in range(1, len(live)):
        live[t] += reuse[t] * (live[t - 1] if ledger.history == "fused" else 1)
    now = live.sum(-1).unsqueeze(0)
    before = torch.cat([now.new_zeros(1, 1), now[:, :-1]], 1)
    return site_macs(ledger, 0, decisions[0]).sum() + site_macs(ledger, 1, decisions[1], Live(now, before)).sum()


@pytest.mark.parametrize(
    ("first", "second", "cost"),
    [
        ([USE, USE], [USE, USE], 3),
        ([USE, SKIP], [USE, SKIP], 1.25),
        ([SKIP, SKIP], [SKIP, SKIP], 0),
        ([USE, USE], [SKIP, SKIP], 1),
        ([SKIP, SKIP], [USE, USE], 1),
    ],
)
def test_a_convolution_between_two_sites_costs_the_product(first, second, cost):
    decisions = [nn.functional.one_hot(torch.tensor([row]).long(), 3).double() for row in (first, second)]
    assert chain_macs(three_unit_convolutions(), decisions).item() == cost


def test_the_product_needs_to_know_its_input():
    with pytest.raises(ValueError, match="site 1 reads the decided channels of site 0: input_live is needed"):
        site_macs(three_unit_convolutions(), 1, np.zeros((1, 2), int))


# -- probabilities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", HISTORIES)
def test_probabilities_give_the_exact_expected_cost(history):
    """Two sites of one channel over three frames: all 3^6 clips, weighted, against one call with probabilities."""
    ledger = Ledger(three_unit_convolutions().layers, [1, 1], history)
    probabilities = torch.rand(2, 3, 1, 3, dtype=torch.float64)
    probabilities /= probabilities.sum(-1, keepdim=True)
    expected = 0.0
    for clip in itertools.product(Decision, repeat=6):
        chosen = torch.tensor(clip).view(2, 3, 1)
        weight = probabilities.gather(-1, chosen.unsqueeze(-1)).prod()
        expected += weight * chain_macs(ledger, list(nn.functional.one_hot(chosen, 3).double()))
    torch.testing.assert_close(chain_macs(ledger, list(probabilities)), expected)


@each_backbone
def test_a_walk_with_probabilities_costs_the_mean_over_sampled_walks(backbone):
    rows = 1500
    torch.manual_seed(1)
    probabilities = [torch.randn(1, 2, site.channels, 3).softmax(-1) for site in backbone.sites]
    sampled = [torch.distributions.Categorical(p[0]).sample((rows,)) for p in probabilities]
    frames = random_frames(1, 2, size=4)
    with torch.no_grad():
        exact = backbone(frames, lambda observation: probabilities[observation.site]).macs.item()
        macs = backbone(frames, follow(sampled)).macs
    assert abs(macs.mean().item() - exact) < 4 * macs.std().item() / rows**0.5


# -- figures ---------------------------------------------------------------------------------------------------------


def on_meta(name: str, num_classes: int) -> FusionBackbone:
    with torch.device("meta"):
        return FusionBackbone(create_cnn(name, num_classes=num_classes))


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "conv_gmacs", "fc_gmacs", "millions", "written", "read"),
    [
        ("resnet18", 1.813561, 0.000089, 11.2658, 0.7514, 0.9248),
        ("resnet50", 4.087136, 0.000356, 23.8646, 0.9377, 1.8497),
    ],
)
def test_published_backbones_have_their_published_cost(name, conv_gmacs, fc_gmacs, millions, written, read):
    backbone = on_meta(name, 174)
    layers = backbone.ledger.layers
    assert sum(la.macs for la in layers if la.name != "fc") / 1e9 == pytest.approx(conv_gmacs, abs=5e-7)
    assert sum(la.macs for la in layers if la.name == "fc") / 1e9 == pytest.approx(fc_gmacs, abs=5e-7)
    assert backbone.ledger.dense_macs / 1e9 == pytest.approx(conv_gmacs + fc_gmacs, abs=1e-6)
    assert parameters(backbone) / 1e6 == pytest.approx(millions, abs=5e-5)
    assert sum(la.macs for la in layers if la.writes is not None) / 1e9 == pytest.approx(written, abs=5e-5)
    assert sum(la.macs for la in layers if la.reads is not None) / 1e9 == pytest.approx(read, abs=5e-5)


def test_resnet18_costs_the_published_sum():
    assert round(on_meta("resnet18", 174).ledger.dense_macs / 1e9, 6) == 1.813650


def test_the_small_resnet_has_the_recipes_cost():
    backbone = on_meta("resnet_small", 8)
    assert backbone.ledger.dense_macs == 3_125_760
    assert parameters(backbone) == 77_912
    assert sum(site.channels for site in backbone.sites) == 112


def test_cost_is_counted_at_the_size_of_the_cnn_not_of_the_frames(backbone):
    with torch.no_grad():
        macs = backbone(random_frames(1, 2, size=32)).macs
    assert macs.item() == 2 * backbone.ledger.dense_macs


# -- which layers are counted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_stands_in_the_ledger_once(kind):
    backbone = tiny_backbone(kind)
    weighted = [name for name, m in backbone.cnn.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sorted(layer.name for layer in backbone.ledger.layers) == sorted(weighted)


class TwoLayerHead(PlainCNN):
    """Only the first layer of its head reads the last site."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = nn.Linear(5, 7)
        self.classifier = nn.Linear(7, 8)

    def features(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.neck(super().features(x)))


def test_only_the_first_layer_of_the_head_saves_dead_columns():
    backbone = FusionBackbone(TwoLayerHead())
    reads = {layer.name: layer.reads for layer in backbone.ledger.layers}
    assert reads["neck"] == 2
    assert reads["classifier"] is None


@pytest.mark.parametrize("wrong", [{"reads": ("typo",)}, {"writes": ("typo",)}])
def test_a_block_that_names_layers_it_lacks_is_refused(monkeypatch, wrong):
    for name, value in wrong.items():
        monkeypatch.setattr(PlainBlock, name, value)
    with pytest.raises(ValueError, match=r"chain\.0\.conv; got chain\.0\.typo"):
        FusionBackbone(PlainCNN())


def test_a_cnn_in_double_precision_is_counted_alike():
    double, single = FusionBackbone(tiny_cnn("plain").double()), FusionBackbone(tiny_cnn("plain"))
    assert double.ledger.dense_macs == single.ledger.dense_macs
