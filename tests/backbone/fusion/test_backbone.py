"""The fusion formula and the walk, mostly as equivalences between ways to compute the same."""

import copy
from dataclasses import replace

import pytest
import torch
from fusion_cases import (
    KINDS,
    NUM_CLASSES,
    SIZE,
    PlainCNN,
    T,
    constant_decisions,
    follow,
    random_decisions,
    random_frames,
    run_block,
    tiny_backbone,
    tiny_cnn,
    walk_in_chunks,
)
from torch import Tensor, nn

from backbone import (
    BACKBONES,
    Decision,
    FusionBackbone,
    Observation,
    create_cnn,
    load_backbone,
    one_hot,
    register_backbone,
)
from backbone import save_backbone as save
from backbone.fusion.backbone import HISTORIES
from backbone.fusion.sites import all_blocks
from backbone.fusion.state import Memory

CHUNKS = [(1, 1, 1, 1), (2, 2), (1, 3), (3, 1)]


def assert_same_walk(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> None:
    """Logits within 1e-5, MACs exactly."""
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=1e-5)
    assert torch.equal(one[1], other[1])


def walk(backbone: FusionBackbone, frames: Tensor, decisions: list[Tensor]) -> tuple[Tensor, Tensor]:
    result = backbone(frames, follow(decisions))
    return result.logits, result.macs


def paper_loop(
    backbone: FusionBackbone, frames: Tensor, decisions: list[Tensor], history: str, group_size: int = 1
) -> Tensor:
    """Equation 2 of the paper, frame by frame and channel by channel; shares no code with the walk."""
    cnn, sites = backbone.cnn, [site.name for site in backbone.sites]
    clip_logits = []
    for clip in range(len(frames)):
        past: dict[int, Tensor] = {}
        frame_logits = []
        for t in range(frames.shape[1]):
            x, carry = cnn.stem(frames[clip, t].unsqueeze(0)), None
            for name, block in all_blocks(cnn).items():
                y = block.convolve(x)
                if name not in sites:
                    x, carry = run_block(block, x, y, carry)
                    continue
                site = sites.index(name)
                fused = torch.zeros_like(y)
                for channel in range(y.shape[1]):
                    p = int(decisions[site][clip, t, channel // group_size])
                    if p == 0:
                        fused[:, channel] = y[:, channel]
                    elif p == 1 and t > 0:
                        fused[:, channel] = past[site][:, channel]
                past[site] = y.clone() if history == "raw" else fused.clone()
                x, carry = run_block(block, x, fused, carry)
            frame_logits.append(cnn.classifier(cnn.features(x)))
        clip_logits.append(torch.stack(frame_logits).mean(0))
    return torch.cat(clip_logits)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group_size", [1, 4])
@torch.no_grad()
def test_walk_equals_a_loop_written_from_the_paper(kind, history, group_size):
    backbone = tiny_backbone(kind, history=history, group_size=group_size)
    frames, decisions = random_frames(), random_decisions(backbone)
    expected = paper_loop(backbone, frames, decisions, history, group_size)
    torch.testing.assert_close(backbone(frames, follow(decisions)).logits, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_control_the_loop_tells_the_histories_apart():
    backbone = tiny_backbone(history="raw")
    frames, decisions = random_frames(), random_decisions(backbone)
    other = paper_loop(backbone, frames, decisions, "fused")
    assert (backbone(frames, follow(decisions)).logits - other).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("history", HISTORIES)
@torch.no_grad()
def test_all_use_equals_the_plain_cnn(kind, history):
    backbone, frames = tiny_backbone(kind, history=history), random_frames()
    plain = backbone.cnn(frames.flatten(0, 1)).unflatten(0, (2, T)).mean(1)
    torch.testing.assert_close(backbone(frames).logits, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_all_skip_sees_no_output_of_a_site(kind):
    backbone, frames = tiny_backbone(kind), random_frames(1)
    skip = walk(backbone, frames, constant_decisions(backbone, Decision.SKIP))
    for layer in backbone.ledger.layers:
        if layer.writes is not None:
            backbone.cnn.get_submodule(layer.name).weight.mul_(-3)
    assert_same_walk(walk(backbone, frames, constant_decisions(backbone, Decision.SKIP)), skip)


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_walks_in_chunks_equal_the_walk_in_site_order(kind, history, chunks):
    backbone = tiny_backbone(kind, history=history, group_size=2)
    frames, decisions = random_frames(), random_decisions(backbone)
    assert_same_walk(walk_in_chunks(backbone, frames, decisions, chunks), walk(backbone, frames, decisions))


@torch.no_grad()
def test_control_a_walk_without_memory_differs():
    backbone = tiny_backbone()
    frames, decisions = random_frames(), random_decisions(backbone)
    halves = [walk(backbone, frames[:, part], [d[:, part] for d in decisions]) for part in (slice(0, 2), slice(2, 4))]
    logits, macs = walk(backbone, frames, decisions)
    assert ((halves[0][0] + halves[1][0]) / 2 - logits).abs().max() > 1e-3
    assert not torch.equal(halves[0][1] + halves[1][1], macs)


@pytest.mark.parametrize("chunks", [(4,), (1, 1, 1, 1), (3, 1)])
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_rollouts_of_a_clip_equal_repeated_clips(kind, history, chunks):
    backbone, rollouts = tiny_backbone(kind, history=history), 3
    frames, decisions = random_frames(2), random_decisions(backbone, 2 * rollouts)
    repeated = frames.repeat_interleave(rollouts, 0)
    assert_same_walk(
        walk_in_chunks(backbone, frames, decisions, chunks), walk_in_chunks(backbone, repeated, decisions, chunks)
    )


@pytest.mark.parametrize("chunks", [(T,), (1, 3)])
@torch.no_grad()
def test_a_walk_needs_no_cost(chunks):
    """What is not counted on the way is priced afterwards; features and observations are the same."""
    backbone, frames = tiny_backbone("both", history="fused"), random_frames(2)
    decisions, state, start, seen = random_decisions(backbone, 6), None, 0, []
    expected = walk_in_chunks(backbone, frames, decisions, chunks)[0]
    for length in chunks:
        state = backbone.begin(frames[:, start : start + length], state)
        state = state if start else replace(state, cost=None)
        for site in backbone.sites:
            assert backbone.observe(state).cost is None
            state = backbone.advance(state, one_hot(decisions[site.index][:, start : start + length]))
        seen.append(backbone.logits(state))
        start += length
    assert state.cost is None
    assert torch.equal(backbone.consensus(torch.cat(seen, 1)), expected)


@torch.no_grad()
def test_row_i_plays_clip_i_over_k():
    backbone, frames = tiny_backbone(), random_frames(2)
    one = random_decisions(backbone, 1)
    logits, _ = walk(backbone, frames, [d.expand(6, -1, -1) for d in one])
    alone = torch.cat([walk(backbone, frames[i : i + 1], one)[0] for i in range(2)])
    torch.testing.assert_close(logits, alone.repeat_interleave(3, 0), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_stem_runs_once_a_clip():
    backbone, seen = tiny_backbone(), []
    backbone.cnn.conv1.register_forward_hook(lambda layer, inputs, output: seen.append(len(output)))
    walk(backbone, random_frames(2), random_decisions(backbone, 6))
    assert seen == [2 * T]


@pytest.mark.parametrize("group_size", [1, 2, 4, 5, 100])
@torch.no_grad()
def test_a_group_decides_for_its_channels(group_size):
    grouped, single, frames = tiny_backbone(group_size=group_size), tiny_backbone(), random_frames()
    decisions = random_decisions(grouped)
    assert [site.decisions for site in grouped.sites] == [-(-site.channels // group_size) for site in grouped.sites]
    spread = [
        d[..., torch.arange(site.channels) // group_size] for d, site in zip(decisions, single.sites, strict=True)
    ]
    assert_same_walk(walk(grouped, frames, decisions), walk(single, frames, spread))


def test_last_stage_has_the_blocks_of_the_last_stage():
    assert tiny_backbone(sites="last_stage").site_names == ["layer2.0", "layer2.1"]


def test_sites_named_in_any_order_stand_in_the_order_of_the_cnn():
    backbone = tiny_backbone(sites=["layer2.1", "layer1.0"])
    assert [(site.index, site.name) for site in backbone.sites] == [(0, "layer1.0"), (1, "layer2.1")]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_fewer_sites_equal_all_sites_with_use_at_the_others(kind):
    every = tiny_backbone(kind)
    for name in every.site_names:
        some = tiny_backbone(kind, sites=[name])
        decisions = random_decisions(some)
        padded = constant_decisions(every, Decision.USE, rows=2)
        padded[every.site_names.index(name)] = decisions[0]
        assert_same_walk(walk(some, random_frames(), decisions), walk(every, random_frames(), padded))
        chunked = walk_in_chunks(some, random_frames(), decisions, (1, 1, 1, 1))
        assert_same_walk(walk(some, random_frames(), decisions), chunked)


def test_sites_report_their_channels():
    sites = tiny_backbone("bottleneck").sites
    assert [(site.in_channels, site.channels) for site in sites] == [(4, 4), (16, 6)]


@torch.no_grad()
def test_observations_are_the_averages_of_the_convolutions_inputs():
    backbone, frames, seen, averages = tiny_backbone(), random_frames(), [], []
    for name in backbone.site_names:
        conv = backbone.cnn.get_submodule(f"{name}.conv1")
        conv.register_forward_pre_hook(lambda layer, inputs: averages.append(inputs[0].mean((-2, -1))))
    policy = follow(random_decisions(backbone))

    def decide(observation):
        seen.append(observation)
        return policy(observation)

    backbone(frames, decide)
    for observation, average in zip(seen, averages, strict=True):
        average = average.unflatten(0, (2, T))
        torch.testing.assert_close(observation.v, average)
        torch.testing.assert_close(observation.v_previous[:, 1:], average[:, :-1])
        assert observation.v_previous[:, 0].eq(0).all()
        assert observation.cost is None  # nothing is counted on the way


def test_a_walk_that_counts_says_what_the_cost_will_depend_on():
    backbone = tiny_backbone()
    cost = backbone.observe(backbone.begin(random_frames())).cost
    assert cost.has_previous.tolist() == [[0, 1, 1, 1]] * 2
    assert cost.ready.eq(0).all()


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_observations_in_chunks_are_those_of_the_whole_clip(kind, history):
    backbone, frames = tiny_backbone(kind, history=history), random_frames()
    decisions = random_decisions(backbone)
    chunked: list[list[Observation]] = [[] for _ in backbone.sites]
    state = None
    for start, stop in ((0, 1), (1, 3), (3, 4)):
        state = backbone.begin(frames[:, start:stop], state)
        for site in backbone.sites:
            chunked[site.index].append(backbone.observe(state))
            state = backbone.advance(state, one_hot(decisions[site.index][:, start:stop]))
    state = backbone.begin(frames)
    for site, parts in zip(backbone.sites, chunked, strict=True):
        whole = backbone.observe(state)
        for name in ("v", "v_previous"):
            joined = torch.cat([getattr(part, name) for part in parts], 1)
            torch.testing.assert_close(joined, getattr(whole, name), rtol=0, atol=1e-5)
        assert torch.equal(torch.cat([part.cost.has_previous for part in parts], 1), whole.cost.has_previous)
        if whole.cost.input_live is not None:
            for name in ("now", "before"):
                joined = torch.cat([getattr(part.cost.input_live, name) for part in parts], 1)
                assert torch.equal(joined, getattr(whole.cost.input_live, name))
        state = backbone.advance(state, one_hot(decisions[site.index]))


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("group_size", [1, 2, 4])
@torch.no_grad()
def test_ready_in_the_next_chunk_is_what_makes_reuse_free(history, group_size):
    backbone, frames = tiny_backbone(history=history, group_size=group_size), random_frames()
    decisions = random_decisions(backbone)
    state = backbone.begin(frames[:, :2])
    for site in backbone.sites:
        state = backbone.advance(state, one_hot(decisions[site.index][:, :2]))
    state = backbone.begin(frames[:, 2:], state)
    for chosen in decisions:
        first, second = chosen[:, 0], chosen[:, 1]
        ready = second == Decision.USE
        if history == "fused":
            ready |= (first == Decision.USE) & (second == Decision.REUSE)
        assert torch.equal(backbone.observe(state).cost.ready.bool(), ready)
        state = backbone.advance(state, one_hot(chosen[:, 2:]))


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_relaxed_decisions_through_logits_and_cost(kind, history):
    backbone = tiny_backbone(kind, history=history)
    relaxed = [torch.randn(2, T, site.decisions, 3).softmax(-1).requires_grad_(True) for site in backbone.sites]
    result = backbone(random_frames(), lambda observation: relaxed[observation.site])
    for value in (result.logits.square().sum(), result.macs.sum()):
        for gradient in torch.autograd.grad(value, relaxed, retain_graph=True):
            assert gradient.isfinite().all()
            assert gradient[..., Decision.USE].abs().sum() > 0
            assert gradient[:, 1:, :, Decision.REUSE].abs().sum() > 0
            assert gradient[:, 0, :, Decision.REUSE].eq(0).all()


def test_straight_through_decisions_take_the_hard_values():
    backbone, frames = tiny_backbone(), random_frames()
    decisions = random_decisions(backbone)
    soft = [torch.randn(2, T, site.decisions, 3, requires_grad=True) for site in backbone.sites]

    def decide(observation):
        relaxed = soft[observation.site].softmax(-1)
        return one_hot(decisions[observation.site]) + relaxed - relaxed.detach()

    result = backbone(frames, decide)
    with torch.no_grad():
        torch.testing.assert_close(result.logits, walk(backbone, frames, decisions)[0], rtol=0, atol=1e-4)
    result.logits.square().sum().backward()
    assert all(logits.grad.abs().sum() > 0 for logits in soft)


def test_a_state_may_be_continued_twice(backbone):
    with torch.no_grad():
        start = backbone.begin(random_frames())
        decisions = one_hot(random_decisions(backbone)[0])
        one, other = backbone.advance(start, decisions), backbone.advance(start, decisions)
    assert torch.equal(one.x, other.x)
    assert start.site == 0


def test_a_frozen_backbone_keeps_its_batch_norm_still(backbone):
    before = {name: value.clone() for name, value in backbone.cnn.state_dict().items()}
    walk(backbone, random_frames() + 3, random_decisions(backbone))
    assert all(torch.equal(value, before[name]) for name, value in backbone.cnn.state_dict().items())


def test_control_training_mode_moves_batch_norm(backbone):
    before = backbone.cnn.bn1.running_mean.clone()
    walk(backbone.train(), random_frames() + 3, random_decisions(backbone))
    assert not torch.equal(backbone.cnn.bn1.running_mean, before)


def test_preprocess_normalises_colours(backbone):
    pixels = torch.randint(256, (2, T, SIZE, SIZE, 3), dtype=torch.uint8)
    mean, std = torch.tensor(backbone.cnn.mean), torch.tensor(backbone.cnn.std)
    expected = ((pixels / 255.0 - mean) / std).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(backbone.preprocess(pixels), expected)


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"history": "cooked"}, ["raw, fused", "cooked"]),
        ({"group_size": 0}, ["group size", "0"]),
        ({"sites": "first"}, ["layer1.0, layer2.0, layer2.1", "first"]),
        ({"sites": ["layer1.0", "layer9.9"]}, ["layer2.1", "layer9.9"]),
        ({"sites": []}, ["sites", "none"]),
    ],
)
def test_what_is_unknown_is_named_beside_what_is_known(kwargs, words):
    with pytest.raises(ValueError, match="expected") as caught:
        tiny_backbone(**kwargs)
    assert all(word in str(caught.value) for word in words)


def test_an_unknown_backbone_is_named_beside_the_known_ones():
    with pytest.raises(ValueError, match=r"resnet18, .*resnet_small.*'vgg'"):
        create_cnn("vgg", num_classes=2)


def test_logits_of_an_unfinished_walk_are_refused(backbone):
    with pytest.raises(ValueError, match="all 3 sites"):
        backbone.logits(backbone.begin(random_frames()))


def test_a_chunk_after_an_unfinished_one_is_refused(backbone):
    with pytest.raises(ValueError, match="previous chunk to be finished"):
        backbone.begin(random_frames(), backbone.begin(random_frames()))


def test_a_chunk_after_the_last_one_is_refused(backbone):
    state = backbone.begin(random_frames(), last=True)
    for decisions in random_decisions(backbone):
        state = backbone.advance(state, one_hot(decisions))
    assert state.memory == Memory()
    with pytest.raises(ValueError, match="begun as the clip's last"):
        backbone.begin(random_frames(), state)


# -- a user's own backbone -------------------------------------------------------------------------------------------


@pytest.fixture
def plain_registered(monkeypatch):
    """PlainCNN in the registry, as a user's own file would put it there; gone after the test."""
    monkeypatch.setattr("backbone.cnns.registry.BACKBONES", copy.copy(BACKBONES))

    @register_backbone
    def plain(num_classes: int, size: int = SIZE) -> PlainCNN:
        return PlainCNN(num_classes=num_classes, size=size)

    return plain


@torch.no_grad()
def test_a_users_own_backbone_is_created_saved_and_loaded_by_name(plain_registered, tmp_path):
    backbone = FusionBackbone(create_cnn("plain", num_classes=5)).eval()
    save(tmp_path / "own.pt", backbone, architecture="plain", classes=list("abcde"))
    loaded, _ = load_backbone(tmp_path / "own.pt")
    decisions = random_decisions(backbone)
    assert_same_walk(walk(backbone, random_frames(), decisions), walk(loaded, random_frames(), decisions))


@pytest.mark.usefixtures("plain_registered")
def test_a_name_is_registered_once():
    def plain(num_classes: int) -> PlainCNN: ...

    with pytest.raises(ValueError, match="plain is registered already"):
        register_backbone(plain)


def test_registering_in_a_test_does_not_leak():
    assert "plain" not in BACKBONES
    with pytest.raises(ValueError, match="expected a backbone among"):
        create_cnn("plain", num_classes=2)


@pytest.mark.parametrize("name", sorted(BACKBONES))
@torch.no_grad()
def test_every_registered_backbone_becomes_a_fusion_backbone(name):
    with torch.device("meta"):
        backbone = FusionBackbone(create_cnn(name, num_classes=NUM_CLASSES, size=32), group_size=16).eval()
        logits = backbone(torch.empty(1, 2, 3, 32, 32)).logits
    assert logits.shape == (1, NUM_CLASSES)
    assert backbone.ledger.dense_macs > 0


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_forward_of_a_block_is_its_two_halves(kind):
    cnn = tiny_cnn(kind)
    x, carry = cnn.stem(random_frames(1)[0]), None
    for block in all_blocks(cnn).values():
        if isinstance(block, nn.Module):
            expected = block(x)
        x, carry = run_block(block, x, block.convolve(x), carry)
        if carry is None:
            torch.testing.assert_close(x, expected)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_in_bf16_the_cnn_alone_computes_otherwise(kind, history):
    single, half = (tiny_backbone(kind, history=history).set_precision(name) for name in ("fp32", "bf16"))
    decisions, seen = random_decisions(single), []

    def decide(observation):
        seen.append(observation)
        return one_hot(decisions[observation.site])

    expected, found = single(random_frames(), decide), half(random_frames(), decide)
    assert found.logits.dtype == torch.float32
    assert all(observation.v.dtype == torch.float32 for observation in seen)
    assert torch.equal(found.macs, expected.macs)
    scale = expected.logits.abs().max()
    assert 0 < (found.logits - expected.logits).abs().max() < 0.05 * scale


@torch.no_grad()
def test_in_bf16_chunks_give_what_whole_clips_give():
    backbone = tiny_backbone().set_precision("bf16")
    decisions = random_decisions(backbone)
    logits, macs = walk_in_chunks(backbone, random_frames(), decisions, [1, 3])
    whole = backbone(random_frames(), follow(decisions))
    torch.testing.assert_close(logits, whole.logits, rtol=0.05, atol=0.05)
    assert torch.equal(macs, whole.macs)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="expected precision to be one of fp32, bf16, got 'bf61': did you mean 'bf16'"):
        tiny_backbone().set_precision("bf61")
