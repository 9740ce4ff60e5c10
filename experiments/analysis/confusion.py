"""The confusion matrix of a judgement: what clips of each class were taken for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from experiments.analysis.statistics import Interval
from experiments.analysis.tables import as_text

Confusion = dict[str, dict[str, int]]
"""Class -> class that its clips were taken for -> how many of them; every class is there, in its order."""

MANY = 20  # classes; more are not shown one by one
WORST = 5  # of many


def count(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> Confusion:
    """Of (N,) labels and (N,) predictions, both in 0..K-1."""
    pairs = Counter(zip(labels.tolist(), predictions.tolist()))
    found: Confusion = {name: {} for name in classes}
    for (label, prediction), clips in sorted(pairs.items()):
        found[classes[label]][classes[prediction]] = clips
    return found


def together(confusions: Iterable[Confusion]) -> Confusion:
    """Those of several runs on the same classes, added."""
    found: dict[str, Counter[str]] = {}
    for confusion in confusions:
        for name, taken in confusion.items():
            found.setdefault(name, Counter()).update(taken)
    return {name: dict(taken) for name, taken in found.items()}


def to_matrix(confusion: Confusion) -> np.ndarray:
    """(K, K) numbers of clips: a row for each class, a column for each class that they were taken for."""
    return np.array([[taken.get(name, 0) for name in confusion] for taken in confusion.values()], np.int64)


def is_balanced(confusion: Confusion) -> bool:
    """Has every class as many clips as any other?"""
    return len({sum(taken.values()) for taken in confusion.values()}) <= 1


def describe(confusion: Confusion, accuracies: Mapping[str, Interval]) -> list[str]:
    """Lines of text: of few classes the whole matrix beside each class's accuracy, of many the worst.

    :param accuracies: in percent, of each class that has clips
    """
    if len(confusion) <= MANY:
        numbers = {name: str(number) for number, name in enumerate(confusion, 1)}
        header = ["class", "clips", "accuracy %", *numbers.values()]
        rows = [
            [f"{numbers[name]} {name}", str(sum(taken.values())), _show(accuracies.get(name))]
            + [str(taken.get(other, 0)) for other in confusion]
            for name, taken in confusion.items()
        ]
        text = as_text(header, rows)
        return ["clips of each class (a row), and how many were taken for each (a column):", "", *text.split("\n"), ""]
    worst = sorted(accuracies, key=lambda name: (accuracies[name].mean, -sum(confusion[name].values())))[:WORST]
    return [
        f"the worst of {len(confusion)} classes:",
        *(_line(name, confusion[name], accuracies[name]) for name in worst),
    ]


def _line(name: str, taken: Mapping[str, int], accuracy: Interval) -> str:
    wrong = sorted((other for other in taken if other != name), key=lambda other: -taken[other])[:2]
    others = ", ".join(f"{other} ({taken[other]})" for other in wrong)
    return f"  {name}: {accuracy:.1f} % of {sum(taken.values())} clips{f', taken for {others}' if others else ''}"


def _show(accuracy: Interval | None) -> str:
    return "-" if accuracy is None else f"{accuracy:.1f}"
