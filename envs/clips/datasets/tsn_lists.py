"""TSN's lists under the names that public code gives them, with a line `folder n_frames label` for each clip.

`train_videofolder.txt` and `val_videofolder.txt` beside `category.txt` (TSM, TRN), `train_split.txt` and
`validation_split.txt` beside `classInd.txt` (AdaFuse), `sthv1_train_list_rawframes.txt` or `..._videos.txt`
(MMAction2), `ucf101_rgb_train_split_1.txt` (TSN). What they list may be videos as well, with or without a number of
frames. The clips lie in the same folder as the lists or in one below, such as `20bn-something-something-v1`.
"""

from __future__ import annotations

from pathlib import Path

from envs.clips.datasets.lists import from_lists
from envs.clips.datasets.registry import SPLITS, Layout, Listing, register_layout
from envs.clips.source import ClipError

NAMES = (
    "{}_videofolder.txt",
    "{}_split.txt",
    "*_{}_list_videos.txt",
    "*_{}_list_rawframes.txt",
    "*_{}_split_1*.txt",
)
FLOW = "flow"


@register_layout
class TSNLists(Layout):
    name = "tsn_lists"
    order = 2

    def recognise(self, root: Path) -> bool:
        return bool(find_lists(root)[0])

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        return from_lists(root, split, *find_lists(root), bad)


def find_lists(root: Path, names: tuple[str, ...] = NAMES) -> tuple[dict[str, Path], str]:
    """A list for each split that has one, all named by the first of `names` that fits any, and that name."""
    for pattern in names:
        found: dict[str, Path] = {}
        for split in SPLITS:
            for alias in ("val", "validation") if split == "val" else (split,):
                files = sorted(file for file in root.glob(pattern.format(alias)) if FLOW not in file.name)
                if files:
                    found.setdefault(split, files[0])
        if found:
            return found, pattern
    return {}, names[0]
