"""Finds the labelled videos of a folder, whichever of the known layouts it has.

Each layout is a file here, which tells what it expects; a new one is a new file with a class under `@register_layout`,
imported below. `find_clips` asks them in turn whether a folder is theirs: lists of our own (`train.txt`) first, then the
data sets, known by their official files, then TSN's lists, folders for each split, and folders for each class.
"""

from envs.clips.datasets import (
    class_folders,
    jester,
    kinetics,
    lists,
    something_v1,
    something_v2,
    split_folders,
    tsn_lists,
    ucf101,
)
from envs.clips.datasets.division import Division
from envs.clips.datasets.reading import SIDECAR
from envs.clips.datasets.registry import (
    LAYOUTS,
    SPLITS,
    UNFINISHED,
    Layout,
    Listing,
    find_clips,
    register_layout,
)

__all__ = [
    "LAYOUTS",
    "SIDECAR",
    "SPLITS",
    "UNFINISHED",
    "Division",
    "Layout",
    "Listing",
    "class_folders",
    "find_clips",
    "jester",
    "kinetics",
    "lists",
    "register_layout",
    "something_v1",
    "something_v2",
    "split_folders",
    "tsn_lists",
    "ucf101",
]
