"""A stream against the reference walk: the same decisions, logits and charged MACs, whatever computes them."""

import pytest
import torch
from fusion_cases import NUM_CLASSES, T, random_decisions, random_frames, tiny_backbone
from torch import Tensor

from backbone import Decision, FusionBackbone, Observation, create_cnn, one_hot
from backbone.fusion.backbone import HISTORIES
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
