"""The temporal shift: against a loop written from TSM's definition, in chunks, and inside each kind of block."""

from __future__ import annotations

import pytest
import torch
from fusion_cases import (
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
from torch import Tensor

from backbone import Decision, FusionBackbone, create_cnn, one_hot
from backbone.fusion.sites import all_blocks
from backbone.fusion.temporal.shift import shift_one_way, shift_two_way, shifting_blocks

RESIDUAL = ("basic", "bottleneck", "both")


def wide(kind: str, **kwargs) -> FusionBackbone:
    """Tiny CNNs have too few channels for an eighth: a narrower fold would leave nothing to shift."""
    return tiny_backbone(kind, widths=(8, 16), **kwargs)


def shift_loop(x: Tensor, *, two_way: bool) -> Tensor:
    """TSM's definition, channel by channel; (T, C, H, W)."""
    frames, channels = x.shape[:2]
    fold, out = channels // 8, torch.zeros_like(x)
    for t in range(frames):
        for channel in range(channels):
            if channel < fold:
                source = t + 1 if two_way else t - 1
            elif channel < 2 * fold and two_way:
                source = t - 1
            else:
                source = t
            if 0 <= source < frames:
                out[t, channel] = x[source, channel]
    return out


@pytest.mark.parametrize("channels", [3, 8, 17, 64])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_shifts_equal_a_loop_written_from_the_definition(channels, frames):
    x = torch.randn(2, frames, channels, 3, 3)
    before = x.clone()
    for clip in range(2):
        assert torch.equal(shift_two_way(x)[clip], shift_loop(x[clip], two_way=True))
        assert torch.equal(shift_one_way(x, None)[0][clip], shift_loop(x[clip], two_way=False))
    assert torch.equal(x, before)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_one_way_shift_goes_on_in_the_next_chunk(cut):
    x = torch.randn(2, 4, 16, 3, 3)
    first, kept = shift_one_way(x[:, :cut], None)
    second, _ = shift_one_way(x[:, cut:], kept)
    assert torch.equal(torch.cat([first, second], 1), shift_one_way(x, None)[0])


def shifted_loop(backbone: FusionBackbone, frames: Tensor, *, two_way: bool, official: bool = False) -> Tensor:
    """All-use logits of one clip (T, 3, H, W): every block's branch sees the shifted input, the shortcut does not."""
    cnn = backbone.cnn
    x, carry = cnn.stem(frames), None
    for name, block in all_blocks(cnn).items():
        module = cnn.get_submodule(name) if block.shifts else None
        branch = x if module is None else shift_loop(x, two_way=two_way)
        y = block.convolve(branch)
        fitted = official and module is not None and module.downsample is not None
        x, carry = run_block(block, branch if fitted else x, y, carry)
    return cnn.classifier(cnn.features(x)).mean(0)


@pytest.mark.parametrize("kind", RESIDUAL)
@pytest.mark.parametrize("temporal", ["tsm", "tsm-stream", "tsm-adafuse"])
@torch.no_grad()
def test_all_use_equals_a_shifted_cnn_at_the_dense_cost(kind, temporal):
    backbone, frames = wide(kind, temporal=temporal), random_frames()
    result = backbone(frames)
    for clip in range(len(frames)):
        expected = shifted_loop(
            backbone, frames[clip], two_way=temporal != "tsm-stream", official=temporal == "tsm-adafuse"
        )
        torch.testing.assert_close(result.logits[clip], expected, rtol=0, atol=1e-5)
    assert torch.equal(result.macs, torch.full((2,), T * backbone.ledger.dense_macs, dtype=torch.float64))


@torch.no_grad()
def test_control_the_kinds_of_shift_differ():
    frames = random_frames()
    logits = [wide("bottleneck", temporal=kind)(frames).logits for kind in ("tsn", "tsm", "tsm-stream", "tsm-adafuse")]
    for index, one in enumerate(logits):
        for other in logits[index + 1 :]:
            assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("history", ["raw", "fused"])
@pytest.mark.parametrize("kind", RESIDUAL)
@pytest.mark.parametrize("sites", ["all", "last_stage"])
@torch.no_grad()
def test_streams_give_what_whole_clips_give(kind, history, sites):
    backbone = wide(kind, temporal="tsm-stream", history=history, sites=sites)
    frames, decisions = random_frames(), random_decisions(backbone)
    whole = backbone(frames, follow(decisions))
    for chunks in ((1, 1, 1, 1), (1, 3), (2, 2)):
        logits, macs = walk_in_chunks(backbone, frames, decisions, chunks)
        torch.testing.assert_close(logits, whole.logits, rtol=0, atol=1e-5)
        assert torch.equal(macs, whole.macs)


@torch.no_grad()
def test_rollouts_of_a_clip_stream_as_repeated_clips_do():
    backbone = wide("basic", temporal="tsm-stream")
    frames, decisions = random_frames(), random_decisions(backbone, rows=6)
    one = walk_in_chunks(backbone, frames, decisions, (1, 3))
    other = walk_in_chunks(backbone, frames.repeat_interleave(3, 0), decisions, (1, 3))
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=1e-5)
    assert torch.equal(one[1], other[1])


@torch.no_grad()
def test_no_future_frame_touches_the_past_of_a_stream():
    backbone = wide("basic", temporal="tsm-stream")
    frames, changed = random_frames(1), random_frames(1)
    changed[:, -1] += 1

    def frame_logits(frames: Tensor) -> Tensor:
        state = backbone.begin(frames)
        for decisions in constant_decisions(backbone, Decision.USE):
            state = backbone.advance(state, one_hot(decisions))
        return backbone.logits(state)

    one, other = frame_logits(frames), frame_logits(changed)
    torch.testing.assert_close(one[:, :-1], other[:, :-1])
    assert not torch.allclose(one[:, -1], other[:, -1])


@pytest.mark.parametrize("temporal", ["tsm", "tsm-adafuse"])
def test_a_second_chunk_is_refused_where_frames_look_ahead(temporal):
    backbone = wide("basic", temporal=temporal)
    state = backbone.begin(random_frames())
    for decisions in random_decisions(backbone):
        state = backbone.advance(state, one_hot(decisions))
    with pytest.raises(ValueError, match=f'whole clips, as temporal="{temporal}" looks at the next frame'):
        backbone.begin(random_frames(), state)


@torch.no_grad()
def test_only_in_the_official_variant_does_the_gate_see_the_shifted_features():
    frames = random_frames(1)
    seen = {kind: wide("basic", temporal=kind) for kind in ("tsn", "tsm", "tsm-adafuse")}
    seen = {kind: backbone.observe(backbone.begin(frames)).v for kind, backbone in seen.items()}
    assert torch.equal(seen["tsm"], seen["tsn"])
    assert torch.equal(seen["tsm-adafuse"], shift_two_way(seen["tsn"]))


def test_deep_resnets_shift_every_second_block_and_others_all():
    with torch.device("meta"):
        deep, shallow = create_cnn("resnet101", num_classes=2), create_cnn("resnet50", num_classes=2)
    expected = {f"layer{stage}.{place}" for stage, n in enumerate((3, 4, 23, 3), 1) for place in range(0, n, 2)}
    assert shifting_blocks(deep.stages()) == expected
    assert len(shifting_blocks(shallow.stages())) == 16
    assert len(shifting_blocks(deep.stages(), sparse=False)) == 33  # AdaFuse's code has no such exception


def test_a_cnn_that_cannot_shift_is_refused():
    with pytest.raises(ValueError, match="expected a CNN with blocks that can be shifted"):
        FusionBackbone(tiny_cnn("plain"), temporal="tsm")


def test_a_shift_of_decided_channels_is_refused(monkeypatch):
    cnn = tiny_cnn("plain")
    monkeypatch.setattr(type(cnn.chain[0]), "shifts", ("conv",))
    with pytest.raises(ValueError, match=r"no shift of an input that a site decides on, got one at chain\.1"):
        FusionBackbone(cnn, temporal="tsm")


def test_the_official_variant_is_for_resnets():
    with torch.device("meta"), pytest.raises(ValueError, match='blocks of a ResNet for temporal="tsm-adafuse"'):
        FusionBackbone(create_cnn("mobilenet_v2", num_classes=2), temporal="tsm-adafuse")


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(
        ValueError, match="expected a temporal mode among tsm, tsm-adafuse, tsm-stream, tsn, got 'shift'"
    ):
        tiny_backbone(temporal="shift")
