"""``pretrain``: a CNN that can exploit reuse and bear skips."""

from __future__ import annotations

from dataclasses import replace

from backbone.common import ranks
from experiments.config import Pretrain
from experiments.pretrain import pretrain
from experiments.run import Run


def run(options: Pretrain) -> None:
    """Write backbone.pt; the path of it is printed."""
    again = ranks.restarted() and Run(options.run).exists
    pretrain(replace(options, resume=options.resume or again))
