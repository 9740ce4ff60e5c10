"""Temporal modes by name, and what it takes to add one."""

from __future__ import annotations

import pytest
import torch
from fusion_cases import T, follow, random_decisions, random_frames, tiny_backbone, walk_in_chunks
from torch import Tensor, nn

from backbone import load_backbone, register_backbone, save_backbone
from backbone.cnns.registry import BACKBONES
from backbone.fusion.sites import Block
from backbone.fusion.temporal import TEMPORAL_MODES, Chunk, TemporalMode, register_temporal


@pytest.fixture
def running_mean():
    """A mode as a user would write it: the mean with the frame before, of every block's input; gone after the test."""

    @register_temporal
    class RunningMean(TemporalMode):
        name = "running-mean"

        def convolve(self, name: str, block: Block, x: Tensor, chunk: Chunk) -> Tensor:
            x = x.unflatten(0, (-1, chunk.frames))
            before = torch.zeros_like(x[:, 0]) if chunk.past is None else chunk.past[name]
            chunk.kept[name] = x[:, -1]
            return block.convolve(((x + torch.cat([before.unsqueeze(1), x[:, :-1]], 1)) / 2).flatten(0, 1))

    yield RunningMean
    del TEMPORAL_MODES[RunningMean.name]


@pytest.mark.parametrize("kind", ["basic", "both", "plain"])
@torch.no_grad()
def test_a_new_mode_walks_whole_clips_and_streams_alike(running_mean, kind):
    backbone, frames = tiny_backbone(kind, temporal="running-mean"), random_frames()
    decisions = random_decisions(backbone)
    whole = backbone(frames, follow(decisions))
    for chunks in ((1, 1, 1, 1), (3, 1)):
        logits, macs = walk_in_chunks(backbone, frames, decisions, chunks)
        torch.testing.assert_close(logits, whole.logits, rtol=0, atol=1e-5)
        assert torch.equal(macs, whole.macs)
    plain = tiny_backbone(kind)(frames, follow(decisions))
    assert (plain.logits - whole.logits).abs().max() > 1e-3
    assert torch.equal(plain.macs, whole.macs)


@torch.no_grad()
def test_a_mode_may_change_what_agents_see_and_how_blocks_end():
    class Backwards(TemporalMode):
        name = "backwards"
        whole_clips_only = True

        def observe(self, name: str, v: Tensor) -> Tensor:
            return v.flip(1)

        def finish(self, name: str, block: Block, given: tuple[Tensor, ...], chunk: Chunk) -> Tensor:
            return 2 * block.finish(*given)

    TEMPORAL_MODES.register(Backwards, Backwards.name)
    try:
        backbone, plain = tiny_backbone(temporal="backwards"), tiny_backbone()
    finally:
        del TEMPORAL_MODES["backwards"]
    state, other = backbone.begin(random_frames()), plain.begin(random_frames())
    assert torch.equal(backbone.observe(state).v, plain.observe(other).v.flip(1))
    chosen = follow(random_decisions(backbone))(plain.observe(other))
    state, other = backbone.advance(state, chosen), plain.advance(other, chosen)
    torch.testing.assert_close(state.x, 2 * other.x)
    assert backbone.whole_clips_only
    assert not plain.whole_clips_only


@pytest.mark.usefixtures("running_mean")
@torch.no_grad()
def test_a_saved_backbone_keeps_its_mode_as_a_name(tmp_path):
    def of_a_test(num_classes: int, size: int) -> nn.Module:
        return tiny_backbone(size=size).cnn

    register_backbone(of_a_test)
    try:
        backbone = tiny_backbone(temporal="running-mean")
        classes = [str(number) for number in range(backbone.num_classes)]
        save_backbone(tmp_path / "b.pt", backbone, architecture="of_a_test", classes=classes)
        loaded, facts = load_backbone(tmp_path / "b.pt")
    finally:
        del BACKBONES["of_a_test"]
    assert facts["temporal"] == loaded.temporal == "running-mean"
    frames = random_frames(1, T)
    torch.testing.assert_close(loaded(frames).logits, backbone(frames).logits)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="temporal mode named tsn is registered already"):
        register_temporal(type("Again", (TemporalMode,), {"name": "tsn"}))


def test_every_mode_says_what_it_does():
    for name, mode in TEMPORAL_MODES.items():
        assert mode.name == name
        assert mode.__doc__
