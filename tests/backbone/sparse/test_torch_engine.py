"""Layers that are cut down and layers that are not give the same."""

import pytest
import torch
from fusion_cases import random_decisions, random_frames, tiny_backbone
from torch import Tensor

from backbone import FusionBackbone
from backbone.sparse import Stream, torch_engine


def streamed(backbone: FusionBackbone, frames: Tensor, decisions: list[Tensor]) -> Tensor:
    """Scores after each frame, (T, classes)."""
    stream = Stream(backbone, lambda seen: decisions[seen.site][0, stream.frames], engine="torch")
    return torch.stack([stream.step(frame) for frame in frames])


@pytest.mark.parametrize("history", ["raw", "fused"])
def test_cut_or_not(history: str, monkeypatch) -> None:
    backbone, frames = tiny_backbone("both", widths=(9, 17), history=history), random_frames(1)
    decisions = random_decisions(backbone, 1)
    scores = []
    for share in (0.0, 2.0):  # nothing is cut down; everything
        monkeypatch.setattr(torch_engine, "SMALL", share)
        scores.append(streamed(backbone, frames[0], decisions))
    torch.testing.assert_close(*scores, rtol=1e-5, atol=1e-6)
