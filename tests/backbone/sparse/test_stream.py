"""A stream against the reference walk: the same decisions, logits and charged MACs, whatever computes them."""

import pytest
import torch
from fusion_cases import (
    NUM_CLASSES,
    PlainCNN,
    constant_decisions,
    random_decisions,
    random_frames,
    tiny_backbone,
)
from torch import Tensor

from backbone import Decision, FusionBackbone, Observation, create_cnn, one_hot
from backbone.fusion.backbone import HISTORIES
from backbone.fusion.consensus import Consensus
from backbone.sparse import Stream
from backbone.sparse.engines import ENGINES


def told(decisions: list[Tensor]):
    """A policy that does as it is told, per site (1, T, D), frame after frame."""
    frame = 0

    def policy(observation: Observation) -> Tensor:
        nonlocal frame
        chosen = decisions[observation.site][0, frame]
        frame += observation.site == len(decisions) - 1
        return chosen

    return policy


def reference(backbone: FusionBackbone, frames: Tensor, decisions: list[Tensor]) -> tuple[Tensor, Tensor, float]:
    """Frame by frame: logits (T, classes), causal predictions (T, classes), MACs."""
    state, logits, macs = None, [], 0.0
    for t in range(frames.shape[1]):
        state = backbone.begin(frames[:, t : t + 1], state)
        for site in backbone.sites:
            state = backbone.advance(state, one_hot(decisions[site.index][:, t : t + 1]), agent_macs=7.0)
        logits.append(backbone.logits(state)[:, 0])
        macs += float(state.macs.sum())
    stacked = torch.stack(logits, 1)
    return stacked[0], backbone.consensus.causal(stacked)[0], macs


def assert_same(backbone: FusionBackbone, frames: Tensor, seed: int = 0) -> None:
    for engine in ENGINES:
        assert_same_in(engine, backbone, frames, seed)


@torch.no_grad()
def assert_same_in(engine: str, backbone: FusionBackbone, frames: Tensor, seed: int) -> None:
    decisions = random_decisions(backbone, 1, frames.shape[1], seed)
    logits, causal, macs = reference(backbone, frames, decisions)
    stream = Stream(backbone, told(decisions), agent_macs=[7.0] * len(backbone.sites), engine=engine)
    bound = 1e-5 * float(logits.abs().max())
    for t in range(frames.shape[1]):
        scores = stream.step(frames[0, t])
        torch.testing.assert_close(stream.logits, logits[t], rtol=0, atol=bound)
        torch.testing.assert_close(scores, causal[t], rtol=0, atol=bound)
        assert [chosen.tolist() for chosen in stream.decisions] == [d[0, t].tolist() for d in decisions]
    assert stream.macs == macs


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("temporal", ["tsn", "tsm-stream"])
@pytest.mark.parametrize("group_size", [1, 3])
@pytest.mark.parametrize("kind", ["basic", "bottleneck", "both"])
def test_a_stream_equals_the_walk(kind: str, group_size: int, temporal: str, history: str) -> None:
    backbone = tiny_backbone(kind, widths=(9, 17), group_size=group_size, temporal=temporal, history=history)
    assert_same(backbone, random_frames(1))


@pytest.mark.parametrize("history", HISTORIES)
def test_a_chain_without_shortcuts(history: str) -> None:
    assert_same(tiny_backbone("plain", history=history), random_frames(1))


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0", "bn_inception"])
def test_other_architectures(name: str, history: str) -> None:
    torch.manual_seed(0)
    cnn = create_cnn(name, num_classes=NUM_CLASSES, size=32).eval()
    backbone = FusionBackbone(cnn, group_size=4, temporal="tsm-stream", history=history).eval()
    assert_same(backbone, random_frames(1, 3, 32))


@pytest.mark.parametrize("sites", ["last_stage", "layer1", ["layer2.0.conv2"]])
def test_some_sites(sites: str | list[str]) -> None:
    assert_same(tiny_backbone("both", sites=sites), random_frames(1))


def test_an_lstm_and_a_consensus_of_ones_own() -> None:
    assert_same(tiny_backbone("basic", consensus="lstm", lstm_hidden=8), random_frames(1))


class Latest(Consensus):
    """The last frame alone."""

    def scores(self, features: Tensor, classifier: torch.nn.Linear, memory: None) -> tuple[Tensor, None]:
        return classifier(features), None

    def causal(self, logits: Tensor) -> Tensor:
        return logits.cummax(1).values


class WholeClip(Latest):
    def causal(self, logits: Tensor) -> Tensor:
        raise NotImplementedError


def test_a_consensus_of_ones_own_sees_all_frames() -> None:
    backbone = tiny_backbone()
    backbone.consensus = Latest()
    assert_same(backbone, random_frames(1))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("decision", list(Decision))
def test_the_same_decision_everywhere(decision: Decision, engine: str) -> None:
    backbone, frames = tiny_backbone("both", history="fused"), random_frames(1)
    decisions = constant_decisions(backbone, decision)
    logits, _, _ = reference(backbone, frames, decisions)
    stream = Stream(backbone, told(decisions), engine=engine)
    for t in range(frames.shape[1]):
        stream.step(frames[0, t])
        torch.testing.assert_close(stream.logits, logits[t], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_other_decisions_give_other_logits(engine: str) -> None:
    """A control: what the tests above compare does tell decisions apart."""
    backbone, frames = tiny_backbone(), random_frames(1)
    one, other = (Stream(backbone, told(random_decisions(backbone, 1, seed=seed)), engine=engine) for seed in (0, 1))
    assert not torch.allclose(one.step(frames[0, 0]), other.step(frames[0, 0]), rtol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_agents_see_what_the_walk_shows(engine: str) -> None:
    backbone, frames = tiny_backbone("both"), random_frames(1)
    seen: list[list[Observation]] = [[], []]

    def by_average(observation: Observation) -> Tensor:
        """Decisions that follow from the features, so that they would differ where those do."""
        decisions = backbone.sites[observation.site].decisions
        return (observation.v - observation.v_previous).mean().mul(1000).long().abs().add(torch.arange(decisions)) % 3

    def looking(observation: Observation) -> Tensor:
        seen[0].append(observation)
        return by_average(observation)

    stream, state = Stream(backbone, looking, engine=engine), None
    for t in range(frames.shape[1]):
        stream.step(frames[0, t])
        state = backbone.begin(frames[:, t : t + 1], state)
        for _ in backbone.sites:
            observation = backbone.observe(state)
            seen[1].append(observation)
            state = backbone.advance(state, one_hot(by_average(observation))[None, None])
    for mine, walked in zip(*seen, strict=True):
        assert mine.site == walked.site
        torch.testing.assert_close(mine.v, walked.v, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(mine.v_previous, walked.v_previous, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_reset_leaves_nothing_behind(engine: str) -> None:
    backbone, frames = tiny_backbone(temporal="tsm-stream"), random_frames(1)
    stream = Stream(backbone, engine=engine)
    scores, macs = stream.step(frames[0, 0]), stream.macs
    stream.step(frames[0, 1])
    stream.reset()
    assert stream.frames == 0
    assert torch.equal(stream.step(frames[0, 0]), scores)
    assert stream.macs == macs


def test_threads_are_the_callers() -> None:
    torch.manual_seed(0)
    backbone = FusionBackbone(create_cnn("resnet18", num_classes=5, size=64).eval(), group_size=16)
    frame, threads = torch.randn(3, 64, 64), torch.get_num_threads()
    alone = Stream(backbone, engine="kernels").step(frame)
    try:
        torch.set_num_threads(3)
        together = Stream(backbone, engine="kernels").step(frame)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_uint8_frames_are_normalised() -> None:
    backbone = tiny_backbone()
    frame = torch.randint(256, (16, 16, 3), dtype=torch.uint8)
    expected = Stream(backbone).step(backbone.preprocess(frame[None, None])[0, 0])
    assert torch.equal(Stream(backbone).step(frame), expected)


def test_another_size_is_refused_in_mid_stream_only() -> None:
    stream = Stream(tiny_backbone())
    stream.step(torch.zeros(3, 16, 16))
    with pytest.raises(ValueError, match=r"frames of \(16, 16\) pixels as before, got \(32, 32\) in mid-stream"):
        stream.step(torch.zeros(3, 32, 32))
    stream.reset()
    stream.step(torch.zeros(3, 32, 32))


def test_a_frame_of_another_form_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"expected a frame \(H, W, 3\) of uint8 .* got torch.float32 \(1, 3, 16, 16\)"
    ):
        Stream(tiny_backbone()).step(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize("engine", ENGINES)
def test_decisions_that_are_none_are_refused(engine: str) -> None:
    backbone = tiny_backbone()
    with pytest.raises(ValueError, match="expected decisions of 0 to 2, got another number"):
        Stream(backbone, lambda seen: torch.full((backbone.sites[seen.site].decisions,), 3), engine=engine).step(
            torch.zeros(3, 16, 16)
        )
    with pytest.raises(ValueError, match=r"expected a policy to give 4 decisions at site layer1.0, got \(5,\)"):
        Stream(backbone, lambda seen: torch.zeros(5, dtype=torch.long), engine=engine).step(torch.zeros(3, 16, 16))


@pytest.mark.parametrize(
    ("temporal", "message"),
    [
        ("tsm", 'which looks at the next frame: pretrain with temporal="tsm-stream"'),
        ("tsm-adafuse", "looks at the next"),
    ],
)
def test_what_looks_ahead_is_no_stream(temporal: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stream(tiny_backbone(temporal=temporal))


def test_a_consensus_that_needs_the_whole_clip_is_no_stream() -> None:
    backbone = tiny_backbone()
    backbone.consensus = WholeClip()
    with pytest.raises(ValueError, match="got WholeClip, which needs the whole clip: take mean or lstm"):
        Stream(backbone)


class Odd(PlainCNN):
    def stem(self, frames: Tensor) -> Tensor:
        return torch.sigmoid(self.first(frames))


def test_an_operation_without_a_place_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"concatenation of channels, got 'sigmoid' .*: stream it with the walk itself"
    ):
        Stream(FusionBackbone(Odd().eval()))
