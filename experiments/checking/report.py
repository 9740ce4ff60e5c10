"""What there is to say of a data set: its splits, its problems, and what was compared to find them."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field

from envs.clips.datasets import Listing

KINDS = {
    "list": "Lists or folders that cannot be used",
    "line": "Lines that cannot be used",
    "label": "Labels that no class has",
    "missing": "Listed clips that are not there",
    "empty": "Empty files or folders",
    "unreadable": "Clips that cannot be read to their end",
    "short": "Clips of too few frames",
    "repeated": "Clips listed more than once in a split",
    "duplicate": "Clips of the same bytes in a split",
    "shared": "Clips whose bytes stand in several splits",
    "source": "Sources whose clips stand in several splits",
    "near": "Clips that look like one of another split",
}
SHOWN = 10  # of what there are many


@dataclass(frozen=True)
class Problem:
    """Something wrong: a kind of `KINDS`, the splits and paths that it is about, and a sentence where that adds to it.

    :param places: the lines that list these paths, such as "/data/train.txt:7"; none where folders tell what there is.
    """

    kind: str
    splits: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    reason: str = ""
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = (
            f"{', '.join(self.places[:SHOWN])}{', ...' if len(self.places) > SHOWN else ''}: " if self.places else ""
        )
        return where + (self.reason or f"{' = '.join(self.paths)} ({', '.join(self.splits)})")


@dataclass(frozen=True)
class Split:
    """How many clips a split has.

    :param absent: how many more are listed and left out, because the layout allows that.
    :param sources: how many they were cut from; None where that is not known.
    :param per_class: the fewest, the median and the most clips that a class has.
    :param clips_of: how many each class has.
    :param without_clips: classes that have none.
    """

    clips: int
    absent: int
    sources: int | None
    note: str
    per_class: dict[str, float]
    clips_of: dict[str, int]
    without_clips: tuple[str, ...]


def summarise(listing: Listing) -> Split:
    """The numbers of a split."""
    clips = Counter(listing.labels)
    counts = [clips[label] for label in range(len(listing.classes))]
    return Split(
        clips=len(listing.labels),
        absent=listing.missing,
        sources=len(set(listing.groups)) if listing.groups else None,
        note=listing.note,
        per_class={"min": min(counts), "median": statistics.median(counts), "max": max(counts)},
        clips_of=dict(zip(listing.classes, counts)),
        without_clips=tuple(name for name, count in zip(listing.classes, counts) if not count),
    )


@dataclass(frozen=True)
class Compared:
    """What was compared to find clips that look alike.

    :param frames: of each clip.
    :param clips: that were compared with those of other splits; of a large split a sample.
    :param left_out: of validation and testing, because a sample was taken.
    :param flat: clips without a frame that tells anything.
    """

    frames: int
    clips: int
    left_out: int
    flat: int


@dataclass(frozen=True)
class Report:
    """All that was found.

    :param compared: None where nothing was.
    """

    root: str
    layout: str
    num_frames: int
    classes: int
    splits: dict[str, Split]
    problems: list[Problem] = field(default_factory=list)
    compared: Compared | None = None

    @property
    def clean(self) -> bool:
        return not self.problems

    def count(self) -> dict[str, int]:
        """Problems of each kind."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in KINDS}
