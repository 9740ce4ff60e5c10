"""From frames to a clip: the mean of the frames' logits (TSN), or an LSTM over their features.

Both also give the causal prediction, what is known after each frame: the running mean, or the LSTM's own output.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from backbone.common.registry import Registry

Recurrent = tuple[Tensor, Tensor]  # an LSTM's hidden and cell state, each (1, R, hidden)


class Consensus(nn.Module):
    """What a consensus is: scores of each frame, and what they say of the clip."""

    def scores(
        self, features: Tensor, classifier: nn.Linear, memory: Recurrent | None
    ) -> tuple[Tensor, Recurrent | None]:
        """Features (R, T, F) -> logits of each frame (R, T, classes), and what it keeps for the next chunk.

        :param classifier: the CNN's
        :param memory: what it kept of the chunk before; None in a clip's first chunk
        """
        raise NotImplementedError

    def forward(self, logits: Tensor) -> Tensor:
        """Per-frame logits (R, T, classes) -> the clip's (R, classes)."""
        raise NotImplementedError

    def causal(self, logits: Tensor) -> Tensor:
        """Per-frame logits (R, T, classes) -> the prediction after each frame, same shape."""
        raise NotImplementedError

    def layers(self) -> list[tuple[str, int, bool]] | None:
        """What runs in place of the CNN's classifier: (name, MACs per frame, does it read the features); None: nothing."""
        raise NotImplementedError


class MeanConsensus(Consensus):
    """TSN's average consensus: the CNN's own classifier on every frame, then the mean."""

    def scores(self, features: Tensor, classifier: nn.Linear, memory: Recurrent | None) -> tuple[Tensor, None]:
        """(R, T, F) -> logits of each frame (R, T, classes); keeps nothing for the next chunk."""
        return classifier(features), None

    def forward(self, logits: Tensor) -> Tensor:
        """Per-frame logits (R, T, classes) -> the clip's (R, classes)."""
        return logits.mean(1)

    def causal(self, logits: Tensor) -> Tensor:
        """Per-frame logits (R, T, classes) -> the prediction after each frame, same shape."""
        return logits.cumsum(1) / torch.arange(1, logits.shape[1] + 1, device=logits.device).view(-1, 1)

    def layers(self) -> None:
        """The CNN's classifier stays in the ledger as it is."""


class LSTMConsensus(Consensus):
    """An LSTM over the frames' features and a classifier of its own, in place of the CNN's.

    :param num_features: F
    :param hidden: units of the LSTM
    """

    def __init__(self, num_features: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(num_features, hidden, batch_first=True)
        self.classifier = nn.Linear(hidden, num_classes)

    def scores(self, features: Tensor, classifier: nn.Linear, memory: Recurrent | None) -> tuple[Tensor, Recurrent]:
        """(R, T, F) -> logits after each frame (R, T, classes), and the LSTM's state for the next chunk."""
        hidden, memory = self.lstm(features, memory)
        return self.classifier(hidden), memory

    def forward(self, logits: Tensor) -> Tensor:
        """Logits after each frame (R, T, classes) -> after the last one, (R, classes)."""
        return logits[:, -1]

    def causal(self, logits: Tensor) -> Tensor:
        """Logits after each frame already are causal."""
        return logits

    def layers(self) -> list[tuple[str, int, bool]]:
        """(name, MACs per frame, reads the features): four gates read input and hidden state."""
        return [
            ("consensus.lstm.input", 4 * self.lstm.hidden_size * self.lstm.input_size, True),
            ("consensus.lstm.hidden", 4 * self.lstm.hidden_size**2, False),
            ("consensus.classifier", self.classifier.weight.numel(), False),
        ]


Builder = Callable[[nn.Linear, int], Consensus]
"""(the CNN's classifier, hidden units) -> consensus."""

CONSENSUS: Registry[Builder] = Registry("consensus")


def register_consensus(build: Builder) -> Builder:
    """Record a consensus under the name of the function that builds it; a decorator.

    :raises ValueError: the name is taken
    """
    return CONSENSUS.register(build)


@register_consensus
def mean(classifier: nn.Linear, hidden: int) -> MeanConsensus:
    return MeanConsensus()


@register_consensus
def lstm(classifier: nn.Linear, hidden: int) -> LSTMConsensus:
    if hidden < 1:
        raise ValueError(f"expected at least 1 hidden unit of the LSTM, got {hidden}")
    return LSTMConsensus(classifier.in_features, hidden, classifier.out_features)


def make_consensus(name: str, classifier: nn.Linear, hidden: int) -> Consensus:
    """Consensus by name.

    :param classifier: the CNN's, for the number of features and of classes
    :param hidden: units, where the consensus has any of its own
    :raises ValueError: an unknown name, or no hidden unit
    """
    return CONSENSUS.find(name)(classifier, hidden)
