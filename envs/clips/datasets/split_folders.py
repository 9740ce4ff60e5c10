"""A folder for each split and class: `train/<class>/*.mp4`, `val/<class>/...`, `test/<class>/...`.

The folders in `train` name the classes. A missing test split is replaced by the validation split, and the listing's
note says so.
"""

from __future__ import annotations

from pathlib import Path

from envs.clips.datasets.places import folders, or_validation, videos
from envs.clips.datasets.registry import SPLITS, Layout, Listing, register_layout
from envs.clips.source import ClipError


@register_layout
class SplitFolders(Layout):
    name = "split_folders"
    order = 3

    def recognise(self, root: Path) -> bool:
        found = set(folders(root))
        return bool(found & set(SPLITS)) and (found <= set(SPLITS) or bool(folders(root / "train")))

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        found = {name: f"{name}/" for name in SPLITS if (root / name).is_dir()}
        used, note = or_validation(root, split, found, f"{split}/")
        if "train" not in found:
            raise ClipError(
                f"{root}: expected a folder train/, whose folders name the classes, but there is none; add it"
            )
        classes = folders(root / "train", strict=True)
        if not classes:
            raise ClipError(
                f"{root / 'train'}: expected a folder of videos for each class, but there is no folder in it; "
                "sort the videos into folders or list them in train.txt"
            )
        if unknown := sorted(set(folders(root / used, strict=True)) - set(classes)):
            raise ClipError(
                f"{root / used}: expected the classes of train/, got {unknown[0]!r} too; rename or remove it"
            )
        clips = [(f"{used}/{name}/{file}", k) for k, name in enumerate(classes) for file in videos(root / used / name)]
        if not clips:
            raise ClipError(f"{root / used}: expected videos in a folder for each class, but there are none; add some")
        paths, labels = zip(*clips)
        return Listing(paths=paths, labels=labels, classes=tuple(classes), note=note)
