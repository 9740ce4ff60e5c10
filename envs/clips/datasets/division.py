"""How clips that nobody has divided are divided: by a hash of their groups' names, and never through a group.

Groups are gone through in the order of the sha256 of their names. A part takes those that bring it nearer to its share of
the clips of each class (by the sum of squared differences), and at least one group of each class that has one to spare:
the others are left to the parts that follow. With a clip more, or a group more, the order stays what it was: mostly nothing
changes sides, else a group or two at the ends of the parts.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from envs.clips.source import ClipError

TENTH = 10  # of the clips of each class are for testing, and as many for validation


@dataclass(frozen=True)
class Division:
    """What a user says of how clips are divided.

    :param group_pattern: names the source of a clip, see `envs.clips.datasets.groups`; None leaves that to `groups.csv`.
    :param folds: divide into so many folds: one is for testing, the next for validation, the others for training.
    :param fold: the one for testing, from 1.
    :raises ClipError: when there is no such fold.
    """

    group_pattern: str | None = None
    folds: int | None = None
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.folds is None and self.fold is None:
            return
        if self.folds is None:
            raise ClipError(f"expected the number of folds beside fold {self.fold}, got none; give both or neither")
        if self.folds < 3:
            raise ClipError(
                f"expected at least 3 folds (one for testing, one for validation, the rest for training), got {self.folds}; "
                "ask for more"
            )
        if self.fold is None or not 1 <= self.fold <= self.folds:
            came = "none" if self.fold is None else self.fold
            raise ClipError(f"expected a fold from 1 to {self.folds}, got {came}; name the one for testing")


def divide(paths: Sequence[str], groups: Sequence[str], labels: Sequence[int], division: Division) -> tuple[str, ...]:
    """The split of each of N clips: "train", "val" or "test".

    Every class that has three groups is in all three splits, one with two in training and testing, one with a
    single group in training alone; of folds, every class is in as many as it has groups for. That holds where classes
    share no groups; where they do, a class may be missing from a split all the same.

    :param paths: (N,); the file's name stands for the group of a clip that is one of its own.
    :param groups: (N,) names, see `envs.clips.datasets.groups`.
    :param labels: (N,)
    :raises ClipError: when a part would be empty.
    """
    clips: defaultdict[str, Counter[int]] = defaultdict(Counter)
    names: dict[str, str] = {}
    for path, group, label in zip(paths, groups, labels):
        clips[group][label] += 1
        names[group] = os.path.basename(path) if group == path else group
    wanted = division.folds or 3
    if len(clips) < wanted:
        remedy = (
            "ask for fewer folds" if division.folds else "add videos of others, or list the splits in train.txt, ..."
        )
        raise ClipError(
            f"expected clips of at least {wanted} sources to divide into {wanted} parts, got {len(clips)}; {remedy}"
        )
    order = sorted(clips, key=lambda group: (hashlib.sha256(os.fsencode(names[group])).digest(), group))
    parts = _folds(order, clips, division.folds) if division.folds else _tenths(order, clips)
    if not all(parts):
        raise ClipError(
            f"expected sources that can be divided into {wanted} parts so that every class is left to train on, but of these "
            f"{len(clips)} too many are the only one of a class; ask for fewer folds, or list the splits in train.txt, ..."
        )
    first = (division.fold or 1) - 1
    test, val = parts[first], parts[(first + 1) % wanted]
    return tuple("test" if group in test else "val" if group in val else "train" for group in groups)


def _tenths(names: Sequence[str], of: Mapping[str, Counter[int]]) -> list[set[str]]:
    """Parts for testing, for validation and for training."""
    share = {label: max(1, round(count / TENTH)) for label, count in _clips(names, of).items()}
    test = _take(names, of, share, parts_to_come=2)
    rest = [name for name in names if name not in test]
    val = _take(rest, of, share, parts_to_come=1)
    return [test, val, set(rest) - val]


def _folds(names: Sequence[str], of: Mapping[str, Counter[int]], folds: int) -> list[set[str]]:
    """Parts of equal shares, as far as groups allow: each takes its share of what those before it have left."""
    parts: list[set[str]] = []
    for to_come in range(folds - 1, 0, -1):
        share = {label: count / (to_come + 1) for label, count in _clips(names, of).items()}
        parts.append(_take(names, of, share, parts_to_come=to_come))
        names = [name for name in names if name not in parts[-1]]
    return [*parts, set(names)]


def _clips(names: Sequence[str], of: Mapping[str, Counter[int]]) -> Counter[int]:
    """How many clips of each class these groups have."""
    counts: Counter[int] = Counter()
    for name in names:
        counts.update(of[name])
    return counts


def _take(
    names: Sequence[str], of: Mapping[str, Counter[int]], share: Mapping[int, float], *, parts_to_come: int
) -> set[str]:
    """The groups of one part.

    :param names: of the groups that are left, in their order.
    :param of: the clips of each class in a group.
    :param share: clips wanted of each class.
    """
    wanted, taken = dict(share), set[str]()
    left = Counter(label for name in names for label in of[name])  # groups that have clips of a class
    kept = {label: min(parts_to_come, max(1, count - 1)) for label, count in left.items()}

    def is_spared(name: str) -> bool:
        return all(left[label] > kept[label] for label in of[name])

    def gain(name: str) -> float:
        return sum(wanted[label] ** 2 - (wanted[label] - count) ** 2 for label, count in of[name].items())

    def take(name: str) -> None:
        taken.add(name)
        for label, count in of[name].items():
            wanted[label] -= count
            left[label] -= 1

    for name in names:
        if gain(name) > 0 and is_spared(name):
            take(name)
    for label in sorted(left):
        if wanted[label] == share[label]:  # too large to bring it nearer, but one there must be
            able = [name for name in names if label in of[name] and name not in taken and is_spared(name)]
            if able:
                take(max(able, key=gain))
    return taken
