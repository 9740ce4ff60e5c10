"""What a horizontal flip makes of a label, told by the classes' names alone.

One rule: in a class's name, left and right change places, and so do clockwise and counter-clockwise. If that is the name
of another class, the two are partners, and a flip turns videos of either into videos of the other. If it names no
class, videos of the class cannot be flipped. A class without such words is its own partner. (A name without a letter, as
classes have that are only numbered, tells nothing: its videos cannot be flipped either.)

The words count as whole words, whatever the case and punctuation ("SwipeLeft" and "swipe_left" are two words each;
"upright" and "leftover" hold none): left, leftward(s), right, rightward(s), clockwise, counterclockwise,
counter-clockwise, anticlockwise, anti-clockwise. Names in which such a word means something else stand in `NO_DIRECTION`.

The code of AdaFuse lists pairs by number instead, and not all: none for Something-Something V1, no turned camera for V2,
no clockwise for Jester, so that its conditional flip teaches wrong labels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from envs.clips.transforms import flip

Flip = Literal["off", "swap", "skip"]

NO_DIRECTION = {
    "plugging something into something but pulling it right out as you remove your hand": "right out: at once",
}
"""Names, in lower case and without punctuation, whose "left" or "right" is no direction, and what it is."""

_OPPOSITES = {"left": "right", "leftward": "rightward", "leftwards": "rightwards", "clockwise": "counterclockwise"}
_OPPOSITES |= {opposite: word for word, opposite in _OPPOSITES.items()}


def flip_labels(classes: Sequence[str]) -> tuple[int | None, ...]:
    """For each of K classes what a flipped video of it shows: its partner, itself, or None for no class at all.

    Partners name each other. Where several classes have the same words, none of them is a partner.
    """
    names = [_words(name) for name in classes]
    count = Counter(names)
    position = {name: label for label, name in enumerate(names)}
    partners: list[int | None] = []
    for label, name in enumerate(names):
        swapped = tuple(_OPPOSITES.get(word, word) for word in name)
        if not any(word.isalpha() for word in name):
            partners.append(None)
        elif swapped == name or " ".join(name) in NO_DIRECTION:
            partners.append(label)
        else:
            partners.append(position[swapped] if count[name] == count[swapped] == 1 else None)
    return tuple(partners)


def flip_targets(classes: Sequence[str], mode: Flip) -> tuple[int | None, ...]:
    """For each of K classes the label of its flipped videos in training, or None where they are not flipped.

    :param mode: "off" flips nothing; "swap" all that can be flipped, exchanging labels; "skip" only where the label stays.
    :raises ValueError: for another mode.
    """
    if mode not in ("off", "swap", "skip"):
        raise ValueError(f"expected flips to be off, swap or skip, got {mode!r}; choose one of them")
    partners = flip_labels(classes)
    if mode == "off":
        return (None,) * len(partners)
    return tuple(partner if mode == "swap" or partner == label else None for label, partner in enumerate(partners))


def random_flip(
    clip: np.ndarray, label: int, targets: Sequence[int | None], rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Flip every second clip that may be flipped, and say what it shows then.

    :param clip: (..., H, W, 3); comes back as it is unless flipped.
    :param targets: what `flip_targets` gave.
    :param rng: is asked once at every call, whatever the label.
    """
    wanted, target = rng.random() < 0.5, targets[label]
    return (flip(clip), target) if wanted and target is not None else (clip, label)


def _words(name: str) -> tuple[str, ...]:
    """The words of a class's name, in lower case; counter-clockwise becomes one word."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    text = " ".join(re.findall(r"[^\W\d_]+|\d+", apart.casefold()))
    return tuple(re.sub(r"\b(?:counter|anti) ?clockwise\b", "counterclockwise", text).split())
