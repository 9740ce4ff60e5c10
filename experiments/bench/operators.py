"""How many operators a walk dispatches beside the dense CNN: what launches cost on a GPU, as any machine can tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agent import GateNetwork
from agent.estimators.relaxations import hardened, perturbed, straight_through_gumbel
from backbone import FusionBackbone, Observation, create_cnn, one_hot
from experiments.bench.measure import Ratio

CLASSES = 174  # Something-Something
SIZE = 64  # pixels of the frames: the operators are those of any size


class Operators(TorchDispatchMode):
    """Counts what is dispatched while it is entered, views aside."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.counts.total()


def operators(run: Callable[[], object]) -> int:
    """Dispatched by the second run: what is made once is made."""
    run()
    with Operators() as found:
        run()
    return found.total


@torch.no_grad()
def operator_ratios() -> list[Ratio]:
    """Of a ResNet-50 with all sites in eager mode, its BatchNorms not folded; each walk with its gates and its cost."""
    torch.manual_seed(0)
    backbone = FusionBackbone(create_cnn("resnet50", num_classes=CLASSES, size=SIZE)).eval()
    gates, frames = GateNetwork(backbone.sites).eval(), torch.randn(1, 4, 3, SIZE, SIZE)
    dense = operators(lambda: backbone.cnn(frames.flatten(0, 1)))
    ratios = []
    for name, (choose, limit) in WALKS.items():

        def decide(observation: Observation, choose: Callable[[Tensor], Tensor] = choose) -> Tensor:
            return choose(gates(observation.site, observation.v, observation.v_previous))

        ratio = operators(lambda decide=decide: backbone(frames, decide, agent_macs=gates.macs).macs) / dense  # type: ignore[misc]
        title = f"ResNet-50: operators of a walk, {name} / of the dense forward ({dense})"
        ratios.append(Ratio(title, ratio, ratio, ratio, f"at most {limit:g}", ratio <= limit))
    return ratios


WALKS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "greedy": (lambda logits: one_hot(logits.argmax(-1)), 2.2),
    "sampled": (lambda logits: hardened(perturbed(logits)), 2.2),
    "relaxed": (lambda logits: straight_through_gumbel(logits, 0.67), 2.4),
}
"""How gates' logits (R, T, D, 3) become decisions, and the limit."""
