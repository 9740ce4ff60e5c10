"""A folder for each class: `<class>/*.mp4`.

In each class the files are ordered by the sha256 of their name; the first tenth (rounded, at least one) is for testing,
the next for validation and the rest for training.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from envs.clips.datasets.places import folders, videos
from envs.clips.datasets.registry import Layout, Listing, register_layout
from envs.clips.source import ClipError


@register_layout
class ClassFolders(Layout):
    name = "class_folders"
    order = 4

    def recognise(self, root: Path) -> bool:
        return True  # asked last; its complaint tells what else would do

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        found = {name: files for name in folders(root, strict=True) if (files := videos(root / name))}
        if not found:
            raise ClipError(
                f"{root}: expected lists (train.txt), folders train/<class>/, a folder of videos for each class or the "
                "official files of a data set, but there is none of them; arrange the videos in one of these ways"
            )
        clips = []
        for label, (name, files) in enumerate(found.items()):
            if len(files) < 3:
                raise ClipError(
                    f"{root / name}: expected at least 3 videos to divide into training, validation and test, "
                    f"got {len(files)}; add some or list the splits in train.txt, val.txt and test.txt"
                )
            files = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file)).digest())
            held_out = max(1, round(len(files) / 10))
            parts = {"test": files[:held_out], "val": files[held_out : 2 * held_out], "train": files[2 * held_out :]}
            clips += [(f"{name}/{file}", label) for file in sorted(parts[split])]
        paths, labels = zip(*clips)
        return Listing(paths=paths, labels=labels, classes=tuple(found))
