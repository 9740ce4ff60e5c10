from dataclasses import FrozenInstanceError

import pytest
import torch
from fusion_cases import random_decisions, random_frames, tiny_backbone

from backbone import one_hot
from backbone.fusion.state import Memory


def test_a_state_cannot_be_changed_and_knows_what_it_has_cost():
    backbone = tiny_backbone()
    state = backbone.advance(backbone.begin(random_frames()), one_hot(random_decisions(backbone)[0]))
    assert torch.equal(state.macs, state.cost.macs)
    with pytest.raises(FrozenInstanceError):
        state.site = 0


def test_memories_share_nothing():
    assert Memory() == Memory()
    assert Memory().blocks is not Memory().blocks
