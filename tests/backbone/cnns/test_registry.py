import pytest
import torch

from backbone.cnns.registry import BACKBONES, create_cnn, register_backbone
from backbone.fusion.sites import all_blocks

FULL_SIZE = 224


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_registered_backbone_scores_a_frame_and_offers_its_blocks(name):
    with torch.device("meta"):
        cnn = create_cnn(name, num_classes=5).eval()
        assert cnn(torch.empty(2, 3, cnn.size, cnn.size)).shape == (2, 5)
    for block in all_blocks(cnn).values():
        assert block.channels > 0
        assert block.writes


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="resnet18"):
        create_cnn("resnet1", num_classes=5)


def test_a_name_can_be_taken_once():
    def resnet18(num_classes):
        return None

    with pytest.raises(ValueError, match="registered already"):
        register_backbone(resnet18)
