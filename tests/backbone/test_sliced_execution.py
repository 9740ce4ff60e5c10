"""Cost and logits of every architecture against convolutions that are really cut down, and measured while they run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import pairwise
from unittest import mock

import pytest
import sliced_execution
import torch
from fusion_cases import NUM_CLASSES, SIZE, T, random_frames, tiny_cnn, walk_in_chunks
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sliced_execution import Execution, SlicedCNN, SlicedPlainCNN, execute
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from backbone import BACKBONES, Decision, FusionBackbone, Ledger, create_cnn, one_hot, walk_macs
from backbone.cnns import bn_inception, mobilenet_v2
from backbone.cost.counts import layer_macs
from backbone.cost.ledger import Layer
from backbone.fusion.backbone import HISTORIES

USE, REUSE, SKIP = Decision

# Probabilities of use, reuse and skip; by frame, if there are several rows.
MIXES = {
    "all use": [[1, 0, 0]],
    "all reuse": [[0, 1, 0]],
    "all skip": [[0, 0, 1]],
    "even": [[1, 1, 1]],
    "mostly use": [[6, 1, 1]],
    "mostly reuse": [[1, 6, 1]],
    "mostly skip": [[1, 1, 10]],
    "use or skip": [[1, 0, 1]],
    "use or reuse": [[1, 1, 0]],
    "reuse after skip": [[0, 0, 1], [0, 1, 0]],
    "reuse after use": [[1, 0, 0], [0, 1, 0]],
}
FEW_MIXES = ("even", "all skip", "mostly reuse", "reuse after skip")


# -- models ----------------------------------------------------------------------------------------------------------


def thin_mobilenet_v2() -> nn.Module:
    """All 17 blocks, a few channels each."""
    widths = (8, 4, 8, 4, 6, 5, 7)
    stages = tuple(
        stage._replace(expansion=min(stage.expansion, 2), channels=width)
        for stage, width in zip(mobilenet_v2.STAGES, widths, strict=True)
    )
    with mock.patch.multiple(mobilenet_v2, STAGES=stages, STEM_CHANNELS=8, LAST_CHANNELS=9):
        return create_cnn("mobilenet_v2", num_classes=NUM_CLASSES, size=32)


def thin_bn_inception() -> nn.Module:
    """All ten blocks, a few channels each; each branch has a width of its own."""
    blocks = {
        name: (one and 2 + number % 3, (3, 4 + number % 2), (8, 3, 2 + number % 2), pool, proj and 2 + number % 3)
        for number, (name, (one, _, _, pool, proj)) in enumerate(bn_inception.BLOCKS.items())
    }
    with mock.patch.multiple(bn_inception, BLOCKS=blocks, STEM_CHANNELS=6):
        return create_cnn("bn_inception", num_classes=NUM_CLASSES, size=32)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "basic": lambda: tiny_cnn("basic", widths=(8, 9)),
    "bottleneck": lambda: tiny_cnn("bottleneck", widths=(8, 9)),
    "plain": lambda: tiny_cnn("plain"),
    "mobilenet": thin_mobilenet_v2,
    "inception": thin_bn_inception,
}
SITES = {
    "basic": ["all", "last_stage", ["layer1.0", "layer2.1"]],
    "bottleneck": ["all", "both", "last_stage", "layer1.0.conv2", ["layer1.0", "layer2.0.conv2"]],
    "plain": ["all", "chain.0", ["chain.0", "chain.2"], ["chain.1", "chain.2"]],
    "mobilenet": ["all", "stage1", "last_stage", ["features.2", "features.3", "features.17"]],
    "inception": ["all", "inception_3", ["inception_3c", "inception_4e"], ["inception_3b", "inception_4a"]],
}
SHIFTS = {
    "basic": ("tsm", "tsm-stream", "tsm-adafuse"),
    "bottleneck": ("tsm", "tsm-stream", "tsm-adafuse"),
    "plain": (),
    "mobilenet": ("tsm", "tsm-stream"),
    "inception": ("tsm", "tsm-stream"),
}
MOST = {"bottleneck": "both"}  # the selector that gives a model the most sites, where that is not "all"

each_model = pytest.mark.parametrize("model", MODELS)
each_history = pytest.mark.parametrize("history", HISTORIES)
each_architecture = pytest.mark.parametrize("name", sorted(BACKBONES))


def as_if_trained(cnn: nn.Module) -> nn.Module:
    """Every BatchNorm with parameters of its own, and with statistics at which the signal reaches the logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in cnn.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.4)
        with torch.no_grad():
            cnn.train()(torch.randn(8, 3, cnn.size, cnn.size))
    return cnn.eval()


@lru_cache(maxsize=len(MODELS) + 1)
def trained(model: str) -> nn.Module:
    """A thin model, or a registered one at its real width and the smallest size that all of them accept."""
    torch.manual_seed(0)
    build = MODELS.get(model) or (lambda: create_cnn(model, num_classes=NUM_CLASSES, size=32))
    return as_if_trained(build())


@cache
def macs_of(model: str) -> dict[str, int]:
    """By layer, what every FusionBackbone of a model would count anew: that takes longer than a walk."""
    cnn = trained(model)
    return layer_macs(cnn, lambda ghost: ghost(torch.empty(1, 3, cnn.size, cnn.size, device="meta")))


def make(model: str, **kwargs) -> FusionBackbone:
    """In float64: the order in which sums are taken shall not matter."""
    torch.manual_seed(0)
    kwargs.setdefault("sites", MOST.get(model, "all"))
    with mock.patch("backbone.fusion.sites.layer_macs", return_value=macs_of(model)):
        return FusionBackbone(copy.deepcopy(trained(model)), lstm_hidden=7, **kwargs).double().eval()


@cache
def shared(model: str, history: str = "raw") -> FusionBackbone:
    """A thin model with all of its sites that many tests may look at."""
    return make(model, history=history)


@cache
def on_meta(name: str) -> FusionBackbone:
    """A registered CNN at its published size and with every site that it has, without numbers."""
    with torch.device("meta"):
        size = {"resnet_small": 32}.get(name, 224)
        return FusionBackbone(create_cnn(name, num_classes=174, size=size), sites="both").eval()


def draw(backbone: FusionBackbone, mix: str, rows: int = 1, frames: int = T, seed: int = 0) -> list[Tensor]:
    """Per site, integer decisions (R, T, D)."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor(MIXES[mix]).float()
    weights = weights[torch.arange(frames) % len(weights)]
    return [
        torch.stack([row.multinomial(rows * site.decisions, True, generator=generator) for row in weights])
        .unflatten(1, (rows, site.decisions))
        .transpose(0, 1)
        for site in backbone.sites
    ]


# -- comparison ------------------------------------------------------------------------------------------------------


def clips_for(backbone: FusionBackbone, clips: int = 1, frames: int = T) -> Tensor:
    return random_frames(clips, frames, backbone.cnn.size).double()


@torch.no_grad()
def walk(backbone: FusionBackbone, frames: Tensor, decisions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Logits (R, classes) and MACs (R, T, S) of a walk, less those of an agent that is charged for on the way."""
    state, spent = backbone.begin(frames), [torch.zeros(1)]
    for site, chosen in zip(backbone.sites, decisions, strict=True):
        state = backbone.advance(state, one_hot(chosen, torch.float64), agent_macs=11.0 * (site.index + 1))
        spent.append(state.macs - 11 * (site.index + 1) * (site.index + 2) // 2)
    steps = torch.stack([after - before for before, after in pairwise(spent)], -1)
    return backbone.consensus(backbone.logits(state)), steps


def assert_same(backbone: FusionBackbone, frames: Tensor, decisions: Sequence[Tensor]) -> list[Execution]:
    """Equal logits, and exactly equal MACs in each frame and step; ``decisions``: per site integers (R, T, D)."""
    logits, steps = walk(backbone, frames, decisions)
    per_clip = len(logits) // len(frames)
    executions = [
        execute(backbone, frames[row // per_clip], [chosen[row] for chosen in decisions]) for row in range(len(logits))
    ]
    for row, execution in enumerate(executions):
        torch.testing.assert_close(execution.logits, logits[row], rtol=1e-9, atol=1e-9)
        assert torch.equal(execution.macs.double(), steps[row])
    with torch.no_grad():
        macs = backbone(frames, lambda observation: one_hot(decisions[observation.site], torch.float64)).macs
    assert macs.tolist() == [execution.macs.sum().item() for execution in executions]
    return executions


@pytest.mark.parametrize(("model", "sites"), [(model, sites) for model in MODELS for sites in SITES[model]], ids=str)
@each_history
def test_any_mix_of_decisions_at_any_sites(model, sites, history):
    backbone = make(model, sites=sites, history=history)
    most = sites == MOST.get(model, "all")
    frames = T if most else 3
    for seed, mix in enumerate(MIXES if most else FEW_MIXES):
        assert_same(backbone, clips_for(backbone, frames=frames), draw(backbone, mix, frames=frames, seed=seed))


@pytest.mark.parametrize(
    ("model", "temporal"), [(model, temporal) for model in MODELS for temporal in ("tsn", *SHIFTS[model])]
)
@pytest.mark.parametrize(("consensus", "group_size"), [("mean", 3), ("lstm", 1)])
@each_history
def test_every_shift_consensus_and_group_size(model, temporal, consensus, group_size, history):
    backbone = make(model, history=history, temporal=temporal, consensus=consensus, group_size=group_size)
    assert_same(backbone, clips_for(backbone, frames=3), draw(backbone, "even", frames=3))


@each_architecture
def test_registered_architectures_at_their_real_width(name):
    backbone = make(name, sites="both")
    assert_same(backbone, clips_for(backbone, frames=3), draw(backbone, "even", frames=3))


@each_model
@each_history
def test_clips_of_any_length(model, history):
    backbone = shared(model, history)
    for frames in (1, 2, 3):
        assert_same(backbone, clips_for(backbone, frames=frames), draw(backbone, "mostly reuse", frames=frames))


@each_model
@each_history
def test_several_rollouts_of_several_clips(model, history):
    backbone = shared(model, history)
    assert_same(backbone, clips_for(backbone, clips=2, frames=2), draw(backbone, "even", rows=4, frames=2))


@pytest.mark.parametrize(
    ("model", "temporal"), [(model, temporal) for model in MODELS for temporal in ("tsn", *SHIFTS[model][1:2])]
)
@each_history
@torch.no_grad()
def test_streams_cut_into_chunks(model, temporal, history):
    backbone = make(model, history=history, temporal=temporal, consensus="lstm")
    frames, decisions = clips_for(backbone), draw(backbone, "even")
    execution = execute(backbone, frames[0], [chosen[0] for chosen in decisions])
    logits, macs = walk_in_chunks(backbone, frames, decisions, (1, 1, 2))
    torch.testing.assert_close(logits[0], execution.logits, rtol=1e-9, atol=1e-9)
    assert macs.item() == execution.macs.sum()


@pytest.mark.parametrize("model", ["basic", "bottleneck", "plain", "inception"])
@each_history
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_decisions_drawn_one_by_one(model, history, data):
    backbone = shared(model, history)
    widths = [site.decisions for site in backbone.sites]
    table = data.draw(arrays("int64", (3, sum(widths)), elements=st.integers(0, 2)))
    decisions = torch.from_numpy(table).unsqueeze(0).split(widths, -1)
    assert_same(backbone, clips_for(backbone, frames=3), decisions)


@each_model
def test_nothing_runs_beside_the_calls(model):
    backbone = shared(model)
    frames, decisions = clips_for(backbone, frames=2), draw(backbone, "even", frames=2)
    with FlopCounterMode(display=False) as counter:
        execution = execute(backbone, frames[0], [chosen[0] for chosen in decisions])
    assert counter.get_total_flops() == 2 * sum(call.macs for call in execution.calls) == 2 * execution.macs.sum()


def test_what_is_skipped_does_not_run():
    backbone = shared("bottleneck")
    (execution,) = assert_same(backbone, clips_for(backbone), draw(backbone, "all skip"))
    assert {call.layer for call in execution.calls} == {"conv1", "layer1.0.downsample.0", "layer2.0.downsample.0", "fc"}


def test_what_is_reused_runs_late_and_only_if_it_must():
    backbone = make("plain", sites="chain.1")
    (late,) = assert_same(backbone, clips_for(backbone), draw(backbone, "reuse after skip"))
    (ready,) = assert_same(backbone, clips_for(backbone), draw(backbone, "reuse after use"))
    for execution, expected in ((late, [1, 3]), (ready, [0, 2])):
        assert [call.frame for call in execution.calls if call.layer == "chain.1.conv"] == expected


# -- without numbers: the published sizes ----------------------------------------------------------------------------


@each_architecture
def test_each_layer_costs_what_is_measured_of_it(name):
    backbone = on_meta(name)
    size = backbone.cnn.size
    execution = execute(
        backbone, torch.empty(1, 3, size, size, device="meta"), [c[0] for c in draw(backbone, "all use", frames=1)]
    )
    measured = {call.layer: call.macs for call in execution.calls}
    assert measured == {layer.name: layer.macs for layer in backbone.ledger.layers}
    assert len(measured) == len(execution.calls)
    with FlopCounterMode(display=False) as counter:
        backbone.cnn(torch.empty(1, 3, size, size, device="meta"))
    assert counter.get_total_flops() == 2 * backbone.ledger.dense_macs == 2 * execution.macs.sum()


@each_architecture
@each_history
def test_decisions_at_the_published_size(name, history):
    backbone = on_meta(name)
    ledger = Ledger(backbone.ledger.layers, backbone.ledger.channels, history)
    size = backbone.cnn.size
    decisions = draw(backbone, "even", frames=2)
    with mock.patch.object(backbone, "history", history):
        execution = execute(backbone, torch.empty(2, 3, size, size, device="meta"), [chosen[0] for chosen in decisions])
    assert torch.equal(walk_macs(ledger, [one_hot(c, torch.float64) for c in decisions])[0], execution.macs.double())


@pytest.mark.parametrize(
    ("groups", "macs"), [(1, 25 * 8 * 16 * 9), (4, 25 * 8 * 16 * 9 // 4), (8, 25 * 8 * 16 * 9 // 8)]
)
def test_the_flop_counter_counts_two_per_mac_in_grouped_convolutions_too(groups, macs):
    conv = nn.Conv2d(8, 16, 3, padding=1, groups=groups)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        conv(torch.randn(1, 8, 5, 5))
    assert counter.get_total_flops() == 2 * macs


# -- properties of the ledger, over every registered architecture ----------------------------------------------------

drawn = given(mix=st.sampled_from(sorted(MIXES)), frames=st.integers(1, 5), seed=st.integers(0, 2**31))
few = settings(max_examples=10, deadline=None)


def ledger_of(name: str, history: str) -> Ledger:
    return Ledger(on_meta(name).ledger.layers, on_meta(name).ledger.channels, history)


def drawn_one_hot(name: str, mix: str, frames: int, seed: int) -> list[Tensor]:
    return [one_hot(chosen, torch.float64) for chosen in draw(on_meta(name), mix, 1, frames, seed)]


def closed_form(ledger: Ledger, decisions: Sequence[Tensor]) -> Tensor:
    """MACs of a clip by frames that need them, not by when they are paid for; scalar, float64.

    Raw: sum_t up (1 - (1 - u_t)(1 - r_{t+1})) + down (u_t + r_t [t > 0]); fused: up u_t, and reuse of the dead is dead.
    A layer with both ends decided costs the product of its two shares.
    """
    total = torch.zeros((), dtype=torch.float64)
    for layer in ledger.layers:
        share = torch.ones(decisions[0].shape[1], dtype=torch.float64)
        if layer.writes is not None:
            use, reuse = (decisions[layer.writes][0, ..., kind] for kind in (USE, REUSE))
            needed = use
            if ledger.history == "raw":
                needed = 1 - (1 - use) * (1 - F.pad(reuse[1:], (0, 0, 0, 1)))
            start, stop = layer.outputs or (0, needed.shape[1])
            share = share * needed[:, start:stop].sum(1) / (stop - start)
        if layer.reads is not None:
            use, reuse = (decisions[layer.reads][0, ..., kind] for kind in (USE, REUSE))
            live = use.clone()
            for t in range(1, len(live)):
                live[t] += reuse[t] * (live[t - 1] if ledger.history == "fused" else 1)
            share = share * live.mean(1)
        total += (share * layer.macs).round().sum()  # whole MACs: a share is one of two ratios of counts
    return total


@each_architecture
@each_history
@drawn
@few
def test_causal_charges_sum_to_the_closed_form(name, history, mix, frames, seed):
    ledger, decisions = ledger_of(name, history), drawn_one_hot(name, mix, frames, seed)
    assert walk_macs(ledger, decisions).sum() == closed_form(ledger, decisions)


@each_architecture
@each_history
@drawn
@few
def test_cost_lies_between_all_skip_and_all_use(name, history, mix, frames, seed):
    ledger = ledger_of(name, history)
    lowest, macs, highest = (
        walk_macs(ledger, drawn_one_hot(name, m, frames, seed)) for m in ("all skip", mix, "all use")
    )
    untouched = sum(layer.macs for layer in ledger.layers if layer.reads is None and layer.writes is None)
    assert lowest.min() >= 0
    assert lowest.sum() == frames * untouched > 0
    assert highest.sum() == frames * ledger.dense_macs
    assert (lowest <= macs).all()
    assert macs.sum() <= highest.sum()


@each_architecture
@each_history
@drawn
@few
def test_turning_skips_into_use_never_lowers_the_cost(name, history, mix, frames, seed):
    ledger, decisions = ledger_of(name, history), draw(on_meta(name), mix, 1, frames, seed)
    generator = torch.Generator().manual_seed(seed)
    used = [
        torch.where((chosen == SKIP) & (torch.rand(chosen.shape, generator=generator) < 0.1), int(USE), chosen)
        for chosen in decisions
    ]
    before, after = (
        walk_macs(ledger, [one_hot(chosen, torch.float64) for chosen in clip]).sum() for clip in (decisions, used)
    )
    changed = any((one != other).any() for one, other in zip(decisions, used, strict=True))
    assert after > before if changed else after == before


@each_architecture
def test_fused_history_costs_no_more_than_raw(name):
    for mix in MIXES:
        decisions = drawn_one_hot(name, mix, T, 0)
        raw, fused = (walk_macs(ledger_of(name, history), decisions).sum() for history in ("raw", "fused"))
        assert fused <= raw


# -- controls: the official code's first three traps, and more -------------------------------------------------------


@each_model
@torch.no_grad()
def test_control_logits_depend_on_what_is_decided(model):
    backbone = shared(model)
    one, other = (walk(backbone, clips_for(backbone), draw(backbone, "even", seed=seed)) for seed in (0, 1))
    assert (one[0] - other[0]).abs().max() > 1e-3
    assert one[1].sum() != other[1].sum()


@each_model
@each_history
def test_control_charging_the_last_frame_with_the_decisions_of_the_one_before(model, history):
    backbone = shared(model, history)
    frames, decisions = clips_for(backbone), draw(backbone, "even")
    (right,) = assert_same(backbone, frames, decisions)
    for chosen in decisions:
        chosen[:, -1] = chosen[:, -2]
    wrong = execute(backbone, frames[0], [chosen[0] for chosen in decisions])
    assert torch.equal(wrong.macs[:-1], right.macs[:-1])
    assert wrong.macs[-1].sum() != right.macs[-1].sum()


def halves(model: str) -> tuple[Execution, Execution]:
    """Every second channel of every site skipped, and nothing skipped: one frame."""
    backbone = shared(model)
    dense = draw(backbone, "all use", frames=1)
    half = [torch.where(torch.arange(chosen.shape[-1]) % 2 == 0, chosen, int(SKIP)) for chosen in dense]
    frames = clips_for(backbone, frames=1)
    return assert_same(backbone, frames, half)[0], assert_same(backbone, frames, dense)[0]


def added_savings(half: Execution, dense: Execution) -> dict[str, float]:
    """By layer, the cost if what rows save and what columns save were added up."""
    full = {call.layer: call for call in dense.calls}
    return {
        call.layer: call.macs
        if call.columns == full[call.layer].columns
        else full[call.layer].macs * (call.rows / full[call.layer].rows + call.columns / full[call.layer].columns - 1)
        for call in half.calls
    }


@pytest.mark.parametrize(
    ("model", "between"),
    [
        ("bottleneck", {"layer1.0.conv2", "layer2.0.conv2"}),
        ("plain", {"chain.1.conv", "chain.2.conv"}),
        (
            "inception",
            {
                f"inception_{block}.{end}"
                for block in ("3b", "4a", "4b", "4c", "4d", "5a", "5b")
                for end in ("1x1", "pool_proj")
            },
        ),
    ],
)
def test_control_adding_up_the_savings_of_rows_and_columns(model, between):
    half, dense = halves(model)
    wrong, right = added_savings(half, dense), {call.layer: call.macs for call in half.calls}
    assert {layer for layer in right if round(wrong[layer]) != right[layer]} == between
    assert sum(wrong.values()) < sum(right.values()) == half.macs.sum()


# What a ledger may make of a layer with both ends decided. The official code does the first, in BN-Inception too.
MISTAKES: dict[str, Callable[[Layer], list[Layer]]] = {
    "savings added up": lambda layer: [
        replace(layer, reads=None),
        replace(layer, writes=None, outputs=None),
        replace(layer, macs=-layer.macs, reads=None, writes=None, outputs=None),
    ],
    "charged twice": lambda layer: [layer, layer],
    "dead columns not saved": lambda layer: [replace(layer, reads=None)],
    "outputs not saved": lambda layer: [replace(layer, writes=None, outputs=None)],
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("model", ["bottleneck", "plain", "inception"])
@each_history
def test_control_a_ledger_that_is_wrong_about_layers_between_two_sites(model, history, mistake):
    backbone = shared(model, history)
    decisions = draw(backbone, "even")
    measured = execute(backbone, clips_for(backbone)[0], [chosen[0] for chosen in decisions]).macs.sum()
    wrong = []
    for layer in backbone.ledger.layers:
        between = layer.reads is not None and layer.writes is not None
        wrong += MISTAKES[mistake](layer) if between else [layer]
    right, other = (
        walk_macs(
            Ledger(layers, backbone.ledger.channels, history), [one_hot(c, torch.float64) for c in decisions]
        ).sum()
        for layers in (backbone.ledger.layers, wrong)
    )
    assert right == measured
    assert abs(other - measured) >= 1


class LateFromThisFrame(SlicedPlainCNN):
    """Computes late what frame t-1 has left out, but from frame t's input."""

    def decide(self, name: str, channels: int, inputs: object, write: Callable[..., Tensor]):
        if name in self.past:
            self.past[name] = self.past[name]._replace(inputs=inputs)
        return super().decide(name, channels, inputs, write)


class ReuseOfTheDeadIsDead(SlicedPlainCNN):
    """Reuses nothing that has not been computed already."""

    def decide(self, name: str, channels: int, inputs: object, write: Callable[..., Tensor]):
        rows = self.past[name].kept if name in self.past else {}
        chosen = self.decisions[name][self.now]
        self.decisions[name][self.now] = [
            SKIP if decision == REUSE and channel not in rows else decision for channel, decision in enumerate(chosen)
        ]
        return super().decide(name, channels, inputs, write)


@pytest.mark.parametrize("wrong", [LateFromThisFrame, ReuseOfTheDeadIsDead])
def test_control_an_execution_that_reuses_wrongly_differs_in_both(wrong: type[SlicedCNN], monkeypatch):
    backbone = shared("plain")
    frames, decisions = clips_for(backbone), draw(backbone, "even")
    (right,) = assert_same(backbone, frames, decisions)
    monkeypatch.setitem(sliced_execution.EXECUTIONS, type(backbone.cnn), wrong)
    other = execute(backbone, frames[0], [chosen[0] for chosen in decisions])
    assert other.macs.sum() != right.macs.sum()
    assert (other.logits - right.logits).abs().max() > 1e-6


def test_a_cnn_without_a_sliced_execution_is_named():
    class Own(nn.Module):
        pass

    with pytest.raises(TypeError, match=r"ResNet, .*got Own: write its execution"):
        execute(mock.Mock(cnn=Own()), torch.empty(1, 3, SIZE, SIZE), [])
