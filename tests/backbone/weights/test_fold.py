import pytest
import torch
from fusion_cases import follow, random_decisions, random_frames, tiny_backbone, tiny_cnn
from torch import nn

from backbone import FusionBackbone, fold_batchnorm, recalibrate
from backbone.cnns.resnet import BasicBlock
from backbone.weights.fold import fold_again


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize("history", ["raw", "fused"])
def test_a_folded_backbone_decides_the_same_logits_and_macs(kind, history):
    backbone = tiny_backbone(kind, history=history, group_size=2)
    folded = fold_batchnorm(backbone)
    decisions, frames = random_decisions(backbone), random_frames()
    with torch.no_grad():
        expected, found = (walked(frames, follow(decisions)) for walked in (backbone, folded))
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-4)
    assert torch.equal(found.macs, expected.macs)
    assert folded.sites == backbone.sites


def test_no_batchnorm_is_left_and_the_given_one_is_untouched():
    backbone = tiny_backbone()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    folded = fold_batchnorm(backbone)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


class NormFirst(BasicBlock):
    """Registers its norm behind the convolution, and runs it before."""

    def convolve(self, x):
        return torch.relu(self.conv1(self.bn1(x)))


def test_a_cnn_whose_norm_runs_elsewhere_is_left_as_it_is():
    cnn = tiny_cnn("basic")
    cnn.layer1[0].__class__ = NormFirst
    backbone = FusionBackbone(cnn)
    assert fold_batchnorm(backbone) is backbone


def test_a_cnn_without_norms_folds_to_itself_in_value():
    backbone = tiny_backbone("plain")
    frames = random_frames()
    with torch.no_grad():
        assert torch.equal(fold_batchnorm(backbone)(frames).logits, backbone(frames).logits)


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_folded_again_it_follows_the_statistics(kind):
    backbone, frames = tiny_backbone(kind), random_frames()
    folded = fold_batchnorm(backbone)
    recalibrate(backbone, [random_frames(clips=4, seed=1)], None)
    with torch.no_grad():
        expected = backbone(frames).logits
        assert not torch.allclose(folded(frames).logits, expected, atol=1e-3)
        fold_again(folded, backbone)
        torch.testing.assert_close(folded(frames).logits, expected, atol=1e-5, rtol=1e-4)


def test_what_could_not_be_folded_is_left_alone():
    backbone = tiny_backbone()
    before = {name: part.clone() for name, part in backbone.state_dict().items()}
    fold_again(backbone, backbone)
    assert all(torch.equal(part, before[name]) for name, part in backbone.state_dict().items())
