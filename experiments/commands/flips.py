"""Lists what horizontal flips make of the labels of a data set, so that a user can look before training with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from envs.clips.datasets import find_clips
from envs.clips.datasets.reading import read_classes
from envs.clips.flips import flip_labels
from experiments.config import Flips
from experiments.machine import import_plugins


class Partners(NamedTuple):
    """K classes, divided by what a flip makes of them.

    :param pairs: labels that it exchanges, the lower one first.
    :param unflippable: labels of the classes whose flipped videos show none of the classes.
    :param unchanged: labels of the others: flipped, their videos still show the same.
    """

    classes: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    unflippable: tuple[int, ...]
    unchanged: tuple[int, ...]


def run(config: Flips) -> None:
    """Print the pairs as a table, or as JSON."""
    found = find_partners(config)
    if config.json:
        print(json.dumps(to_json(found), indent=2))
    else:
        show(found, Console(soft_wrap=True, highlight=False, markup=False))


def find_partners(config: Flips) -> Partners:
    """Read the names of the classes and divide them.

    :raises ClipError: when there are no class names to be found.
    """
    import_plugins(config.plugin)
    classes: Sequence[str]
    if config.source.is_file():
        classes = read_classes(config.source)
    else:  # lines that cannot be used are the matter of check-data
        classes = find_clips(config.source, "train", config.layout, bad=[]).classes
    partners = tuple(enumerate(flip_labels(classes)))
    return Partners(
        tuple(classes),
        pairs=tuple((label, partner) for label, partner in partners if partner is not None and label < partner),
        unflippable=tuple(label for label, partner in partners if partner is None),
        unchanged=tuple(label for label, partner in partners if label == partner),
    )


def to_json(found: Partners) -> dict:
    """Labels and names: pairs of classes, those that cannot be flipped, and how many stay as they are."""

    def named(label: int) -> dict:
        return {"label": label, "name": found.classes[label]}

    return {
        "classes": len(found.classes),
        "pairs": [[named(label), named(partner)] for label, partner in found.pairs],
        "unflippable": [named(label) for label in found.unflippable],
        "unchanged": len(found.unchanged),
    }


def show(found: Partners, console: Console) -> None:
    """The same on a terminal."""
    if found.pairs:
        table = Table(title="Labels that a horizontal flip exchanges", title_justify="left")
        for column in ("label", "class", "label", "class"):
            table.add_column(column, justify="right" if column == "label" else "left")
        for label, partner in found.pairs:
            table.add_row(str(label), found.classes[label], str(partner), found.classes[partner])
        console.print(table)
    else:
        console.print("A horizontal flip exchanges no labels.")
    if found.unflippable:
        console.print("\nClasses that are never flipped, as the names do not tell what a flipped video of them shows:")
        for label in found.unflippable:
            console.print(f"  {label}  {found.classes[label]}")
    console.print(f"\nOf {len(found.classes)} classes, {len(found.unchanged)} stay what they are.")
