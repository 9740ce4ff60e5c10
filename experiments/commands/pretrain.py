"""``pretrain``: a CNN that can exploit reuse and bear skips."""

from __future__ import annotations

from experiments.config import Pretrain
from experiments.pretrain import pretrain


def run(options: Pretrain) -> None:
    """Write backbone.pt; the path of it is printed."""
    pretrain(options)
