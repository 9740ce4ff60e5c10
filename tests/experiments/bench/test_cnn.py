import torch
from fusion_cases import random_frames

from backbone.cnns.resnet import Bottleneck, ResNet
from experiments.bench.cnn import cnn_ratios, in_sequence, saved_bytes


@torch.no_grad()
def test_the_layers_in_a_sequence_are_the_cnn():
    cnn = ResNet(Bottleneck, (1, 2), (4, 6), num_classes=5, size=16, small=True).eval()
    frames = random_frames(1)[0]
    torch.testing.assert_close(in_sequence(cnn, frames), cnn(frames))


def test_saved_bytes_counts_each_storage_once():
    x = torch.randn(10, requires_grad=True)

    def run():
        (x.exp() * x).sum().backward()  # saves exp's result, for itself and the product, and x

    assert saved_bytes(run) == 2 * 10 * 4


def test_every_measure_of_the_cnn_is_taken():
    found = cnn_ratios(repeats=1, size=32)
    assert len(found) == 5
    assert all(ratio.ratio > 0 for ratio in found)
    memory = found[-1]
    assert memory.low == memory.ratio == memory.high
    assert 1 < memory.ratio < 2
