"""A folder of generated clips: written file by file, taken up again after an interruption, marked when it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbone.common.files import write_bytes
from envs.clips.datasets import SIDECAR, UNFINISHED
from envs.clips.generated.directions import CLASSES, REVERSED_CLASS, label_of
from envs.clips.source import ClipError

PAIRED = ("val", "test")
_SPLIT_NUMBERS = {"train": 0, "val": 1, "test": 2, "memory": 3}


def clip_generator(seed: int, split: str, clip: int) -> np.random.Generator:
    """Of all that is random in a clip.

    :param split: or "memory", for clips that belong to none
    """
    return np.random.default_rng([seed, _SPLIT_NUMBERS[split], clip])


def original_of(split: str, clip: int) -> int:
    """The clip that this one shows backwards, or the clip itself."""
    return clip - clip % 2 if split in PAIRED else clip


def facts_of(generator: str, version: int, *, counts: Any, seed: Any, **options: Any) -> dict[str, Any]:
    """What ``dataset.json`` says of generated data: equal facts, equal clips.

    :param version: of what is drawn: a new number makes other clips from the same seed
    :param counts: split -> clips
    :param options: whatever else the clips depend on, as JSON has it
    """
    return {
        "generator": generator,
        "version": version,
        "seed": seed,
        "counts": counts,
        "classes": list(CLASSES),
        "reversed_class": list(REVERSED_CLASS),
        "paired": list(PAIRED),
        **options,
    }


@dataclass(frozen=True)
class GeneratedFolder:
    """A folder whose clips follow from its facts, with lists as `envs.clips.datasets.lists` reads them.

    Clip 2i + 1 of val and test is clip 2i played backwards, with the reversed label. Until `finish` a file
    `dataset.json.part` says that nothing there is whole.

    :param facts: of `facts_of`
    :raises ValueError: for counts that cannot be
    """

    root: Path
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        if min(self.counts.values()) < 2 or any(self.counts[split] % 2 for split in PAIRED):
            raise ValueError(
                f"expected at least 2 clips in each split, even numbers in val and test, got {self.counts}"
            )

    @property
    def counts(self) -> dict[str, int]:
        return self.facts["counts"]

    def is_whole(self) -> bool:
        """True for the finished data, False for an empty folder or an interrupted run of the same.

        :raises ClipError: when the folder holds something else: other files, or data of other facts
        """
        for name in (SIDECAR, UNFINISHED):
            try:
                found = json.loads((self.root / name).read_text(encoding="utf-8"))
            except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
                continue
            if found != self.facts:
                known = found if isinstance(found, dict) else {}
                different = [key for key in self.facts if known.get(key) != self.facts[key]]
                raise ClipError(
                    f"{self.root}: expected an empty folder or the same data, but what is there differs in "
                    f"{', '.join(different)}; name another folder or remove this one"
                )
            return name == SIDECAR
        root = self.root
        if (root.exists() and not root.is_dir()) or (root.is_dir() and any(root.iterdir())):
            raise ClipError(f"{root}: expected an empty folder to write to, but there is something else; name another")
        return False

    def begin(self) -> list[tuple[str, int]]:
        """Mark the folder as unfinished; the clips, by split and number, that are not there yet."""
        write_bytes(self.root / UNFINISHED, json.dumps(self.facts, indent=2).encode())
        for split in self.counts:
            (self.root / split).mkdir(exist_ok=True)
        return [(split, clip) for split, clip in self.clips() if not self.file(split, clip).exists()]

    def clips(self) -> Iterator[tuple[str, int]]:
        """Every clip, by split and number."""
        return ((split, clip) for split, count in self.counts.items() for clip in range(count))

    def file(self, split: str, clip: int) -> Path:
        return self.root / self.name(split, clip)

    def name(self, split: str, clip: int) -> str:
        """The clip's path as the lists have it."""
        return f"{split}/{clip:05d}.mp4"

    def label(self, split: str, clip: int) -> int:
        return label_of(clip, split in PAIRED)

    def finish(self) -> None:
        """Write the lists and take the mark off."""
        for split, count in self.counts.items():
            lines = [f"{self.name(split, clip)} {self.label(split, clip)}" for clip in range(count)]
            self._write_lines(f"{split}.txt", lines)
        self._write_lines("classes.txt", CLASSES)
        with suppress(FileNotFoundError):  # another process that generated the same was first
            # a mark on the whole folder, no file written aside: what it says is true once the clips are there
            (self.root / UNFINISHED).rename(self.root / SIDECAR)

    def _write_lines(self, name: str, lines: Sequence[str]) -> None:
        write_bytes(self.root / name, "".join(f"{line}\n" for line in lines).encode())
