"""What is wrong between clips: repeated, the same bytes, one source or near duplicates on two sides of a split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from envs.clips.datasets import Listing
from experiments.checking.clip import Finding
from experiments.checking.likeness import FRAMES, find_alike
from experiments.checking.report import Compared, Problem

MOST = 10_000  # clips of validation, and of testing, whose looks are compared; of more, a sample

Listings = Mapping[str, Listing]
"""Of each split."""


def odd_classes(listings: Listings) -> Iterator[Problem]:
    """Splits whose classes are not those of the first."""
    (first, wanted), *others = ((split, listing.classes) for split, listing in listings.items())
    for split, classes in others:
        if classes != wanted:
            odd = sorted(set(wanted) ^ set(classes))
            how = f"at odds in {', '.join(map(repr, odd[:3]))}" if odd else "in another order"
            reason = (
                f"expected the {len(wanted)} classes of {first} in {split} as well, got {len(classes)}, {how}; name the same "
                "classes in every split"
            )
            yield Problem("list", (first, split), reason=reason)


def of_clips(listings: Listings, found: Mapping[str, Finding]) -> Iterator[Problem]:
    """What is wrong with single clips, then clips of the same bytes."""
    splits_of, lines = defaultdict(list), lines_of(listings)
    for split, listing in listings.items():
        lines_here = lines_of({split: listing})
        for path, times in Counter(listing.paths).items():
            splits_of[path].append(split)
            if times > 1:
                reason = f"{path} is listed {times} times for {split}"
                yield Problem("repeated", (split,), (path,), reason, lines_here[path])
    same: defaultdict[str, list[str]] = defaultdict(list)
    for path, splits in splits_of.items():
        finding = found[path]
        if finding.kind:
            yield Problem(finding.kind, tuple(splits), (path,), finding.reason, lines[path])
        if finding.digest:
            same[finding.digest].append(path)
    for paths in same.values():
        by_split = {split: tuple(path for path in paths if split in splits_of[path]) for split in listings}
        by_split = {split: inside for split, inside in by_split.items() if inside}
        for split, inside in by_split.items():
            if len(inside) > 1:
                yield Problem("duplicate", (split,), inside)
        if len(by_split) > 1:
            yield Problem("shared", tuple(by_split), tuple(paths))


def of_sources(listings: Listings) -> Iterator[Problem]:
    """Sources whose clips stand in several splits."""
    clips: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for split, listing in listings.items():
        for group, count in Counter(listing.groups).items():
            clips[group][split] = count
    for group, counts in clips.items():
        if len(counts) > 1:
            told = ", ".join(f"{count} in {split}" for split, count in counts.items())
            yield Problem("source", tuple(counts), reason=f"{group}: {told}")


def of_looks(listings: Listings, found: Mapping[str, Finding], *, within: int) -> tuple[Compared, list[Problem]]:
    """Clips of which a frame looks like one of another split, though their bytes are not the same.

    :param within: bits of 64 that may differ
    """
    paths = {split: _sampled(split, list(dict.fromkeys(listing.paths))) for split, listing in listings.items()}
    looks = {split: [found[path].looks for path in of_split] for split, of_split in paths.items()}
    groups = {path: group for listing in listings.values() for path, group in zip(listing.paths, listing.groups)}
    lines, problems = lines_of(listings), []
    for earlier, later in combinations(paths, 2):
        for alike in find_alike(looks[later], looks[earlier], within=within):
            path, other = paths[later][alike.clip], paths[earlier][alike.other]
            if path == other or found[path].digest == found[other].digest:
                continue  # which is said already
            more = f" and {alike.others - 1} more" if alike.others > 1 else ""
            source = f", both of {groups[path]}" if path in groups and groups[path] == groups.get(other) else ""
            reason = f"{path} ({later}) looks like {other} ({earlier}){more}: {alike.bits} of 64 bits differ{source}"
            problems.append(Problem("near", (earlier, later), (other, path), reason, lines[path]))
    every = [path for of_split in paths.values() for path in of_split]
    compared = Compared(
        frames=FRAMES,
        clips=len(every),
        left_out=sum(len(set(listing.paths)) for listing in listings.values()) - len(every),
        flat=sum(not found[path].looks and not found[path].kind for path in every),
    )
    return compared, problems


def _sampled(split: str, paths: Sequence[str]) -> Sequence[str]:
    if split == "train" or len(paths) <= MOST:
        return paths
    chosen = np.sort(np.random.default_rng(0).choice(len(paths), MOST, replace=False))
    return [paths[place] for place in chosen]


def lines_of(listings: Listings) -> defaultdict[str, tuple[str, ...]]:
    """The lines that list each path."""
    found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for listing in listings.values():
        for path, place in zip(listing.paths, listing.places):
            found[path] += (place,)
    return found
