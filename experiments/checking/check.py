"""Looks at every clip of a data set, and at what stands between its splits."""

from __future__ import annotations

from envs.clips import ClipError
from envs.clips.datasets import SPLITS, Listing, find_clips
from envs.clips.datasets.reading import LabelError
from experiments.checking.clip import Clip
from experiments.checking.problems import odd_classes, of_clips, of_looks, of_sources
from experiments.checking.report import Problem, Report, summarise
from experiments.checking.workers import inspect_all
from experiments.clips import division_of
from experiments.config import CheckData
from experiments.machine import cores, import_plugins


def examine(config: CheckData) -> Report:
    """Look at all clips of all splits.

    :raises ClipError: when not even one split can be listed.
    """
    import_plugins(config.plugin)
    listings, problems = _list(config)
    problems += odd_classes(listings)
    first = next(iter(listings.values()))
    splits = {split: summarise(listing) for split, listing in listings.items()}
    if "test" in listings and "val" in listings and listings["test"].paths == listings["val"].paths:
        del listings["test"]  # validation stands in for it
    clips = {
        path: Clip(config.root / path, listing.frames[i] if listing.frames else None, listing.template)
        for listing in listings.values()
        for i, path in enumerate(listing.paths)
    }
    found = dict(inspect_all(clips, config.num_frames, config.workers or cores()))
    problems += [*of_clips(listings, found), *of_sources(listings)]
    compared = None
    if config.near >= 0 and len(listings) > 1:
        compared, near = of_looks(listings, found, within=config.near)
        problems += near
    return Report(
        root=str(config.root),
        layout=first.layout,
        num_frames=config.num_frames,
        classes=len(first.classes),
        splits=splits,
        problems=problems,
        compared=compared,
    )


def _list(config: CheckData) -> tuple[dict[str, Listing], list[Problem]]:
    division = division_of(config)
    listings: dict[str, Listing] = {}
    problems: list[Problem] = []
    bad: list[ClipError] = []
    for split in SPLITS:
        try:
            listings[split] = find_clips(config.root, split, config.layout, division=division, bad=bad)
        except ClipError as error:
            problems.append(Problem("list", splits=(split,), reason=str(error)))
    if not listings:
        raise ClipError(problems[0].reason)
    sentences = {str(error): "label" if isinstance(error, LabelError) else "line" for error in bad}
    return listings, problems + [Problem(kind, reason=reason) for reason, kind in sentences.items()]
