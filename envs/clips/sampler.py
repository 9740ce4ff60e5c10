"""Which clips come next: shuffled anew in each pass, and resumable by one number."""

from __future__ import annotations

from functools import lru_cache

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
                chosen = places // self.size == number
                indices[chosen] = _pass_order(self.seed, int(number), self.size)[places[chosen] % self.size]
        rng = np.random.default_rng([self.seed, self.position, 1])
        self.position += count
        return indices, rng


@lru_cache(maxsize=4)  # to shuffle the 169,000 clips of Something-Something V2 takes 2.5 ms, too long for every batch
def _pass_order(seed: int, number: int, size: int) -> np.ndarray:
    """The clips of one pass, shuffled; not to be written to."""
    return np.random.default_rng([seed, number]).permutation(size)
