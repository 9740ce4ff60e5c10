"""Which clips come next: shuffled anew in each pass, and resumable by one number."""

from __future__ import annotations

import numpy as np


class ClipSampler:
    """Takes clips in turn: shuffled anew in each pass, the same for the same seed; its whole state is a position.

    :param size: number of clips
    :param shuffle: False takes them in their own order
    """

    def __init__(self, size: int, *, seed: int, shuffle: bool = True) -> None:
        self.size, self.seed, self.shuffle, self.position = size, seed, shuffle, 0

    def take(self, count: int) -> tuple[np.ndarray, np.random.Generator]:
        """The next ``count`` clips, and the generator that draws their segments."""
        places = np.arange(self.position, self.position + count)
        indices = places % self.size
        if self.shuffle:
            for number in np.unique(places // self.size):
                pass_order = np.random.default_rng([self.seed, int(number)]).permutation(self.size)
                chosen = places // self.size == number
                indices[chosen] = pass_order[places[chosen] % self.size]
        rng = np.random.default_rng([self.seed, self.position, 1])
        self.position += count
        return indices, rng
