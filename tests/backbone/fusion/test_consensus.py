"""From frames to a clip: mean and LSTM, their causal predictions and what the LSTM costs."""

from __future__ import annotations

import pytest
import torch
from fusion_cases import NUM_CLASSES, T, follow, random_decisions, random_frames, tiny_backbone, walk_in_chunks
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from backbone import FusionBackbone, one_hot
from backbone.fusion.consensus import CONSENSUS, LSTMConsensus, make_consensus

HIDDEN = 12


def lstm_backbone(kind: str = "basic", **kwargs) -> FusionBackbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return tiny_backbone(kind, consensus="lstm", lstm_hidden=HIDDEN, **kwargs)


def finished(backbone: FusionBackbone, frames):
    state = backbone.begin(frames)
    for decisions in random_decisions(backbone, len(frames), frames.shape[1]):
        state = backbone.advance(state, one_hot(decisions))
    return state


@pytest.mark.parametrize("consensus", CONSENSUS)
@torch.no_grad()
def test_the_last_causal_prediction_is_the_clips(consensus):
    backbone = tiny_backbone(consensus=consensus)
    logits = backbone.logits(finished(backbone, random_frames()))
    causal = backbone.consensus.causal(logits)
    assert causal.shape == (2, T, NUM_CLASSES)
    torch.testing.assert_close(causal[:, -1], backbone.consensus(logits))


@torch.no_grad()
def test_the_causal_mean_is_the_mean_so_far():
    logits = torch.randn(2, T, 5)
    causal = make_consensus("mean", nn.Linear(3, 5), 1).causal(logits)
    for t in range(T):
        torch.testing.assert_close(causal[:, t], logits[:, : t + 1].mean(1))


@torch.no_grad()
def test_lstm_equals_a_loop_over_its_cell():
    consensus, features = LSTMConsensus(6, HIDDEN, 5), torch.randn(2, T, 6)
    lstm = consensus.lstm
    hidden = cell = torch.zeros(2, HIDDEN)
    logits, _ = consensus.scores(features, nn.Linear(6, 5), None)
    for t in range(T):
        parts = features[:, t] @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + hidden @ lstm.weight_hh_l0.T + lstm.bias_hh_l0
        enter, forget, new, out = parts.chunk(4, 1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        torch.testing.assert_close(logits[:, t], consensus.classifier(hidden))


@pytest.mark.parametrize("kind", ["basic", "both", "plain"])
@pytest.mark.parametrize("chunks", [(1, 1, 1, 1), (3, 1)])
@torch.no_grad()
def test_an_lstm_remembers_across_chunks(kind, chunks):
    backbone, frames = lstm_backbone(kind), random_frames()
    decisions = random_decisions(backbone, rows=4)
    whole = backbone(frames, follow(decisions))
    logits, macs = walk_in_chunks(backbone, frames, decisions, chunks)
    torch.testing.assert_close(logits, whole.logits, rtol=0, atol=1e-5)
    assert torch.equal(macs, whole.macs)


@torch.no_grad()
def test_control_the_order_of_frames_matters_to_the_lstm_only():
    frames = random_frames()
    for consensus, same in (("mean", True), ("lstm", False)):
        backbone = tiny_backbone(consensus=consensus, lstm_hidden=HIDDEN)
        assert torch.allclose(backbone(frames).logits, backbone(frames.flip(1)).logits, atol=1e-5) is same


def test_the_lstms_macs_are_those_that_torch_counts():
    backbone, plain = lstm_backbone(), tiny_backbone()
    features = plain.cnn.classifier.in_features
    cell, classifier = nn.LSTMCell(features, HIDDEN), nn.Linear(HIDDEN, NUM_CLASSES)
    with FlopCounterMode(display=False) as counter:
        classifier(cell(torch.randn(1, features))[0])
    head = features * NUM_CLASSES
    assert backbone.ledger.dense_macs - plain.ledger.dense_macs == counter.get_total_flops() // 2 - head
    assert "fc" not in [layer.name for layer in backbone.ledger.layers]


def test_the_lstm_saves_the_columns_of_dead_features_only():
    reads = {layer.name: layer.reads for layer in lstm_backbone("plain").ledger.layers}
    assert reads["consensus.lstm.input"] == 2
    assert reads["consensus.lstm.hidden"] is None
    assert reads["consensus.classifier"] is None


def test_gradients_reach_the_lstm_and_the_cnn_but_not_the_unused_classifier():
    backbone = lstm_backbone()
    backbone(random_frames()).logits.sum().backward()
    assert backbone.consensus.lstm.weight_ih_l0.grad.abs().sum() > 0
    assert backbone.cnn.conv1.weight.grad.abs().sum() > 0
    assert backbone.cnn.fc.weight.grad is None


def test_what_cannot_be_is_told():
    with pytest.raises(ValueError, match="expected a consensus among lstm, mean, got 'max'"):
        tiny_backbone(consensus="max")
    with pytest.raises(ValueError, match="at least 1 hidden unit"):
        tiny_backbone(consensus="lstm", lstm_hidden=0)
