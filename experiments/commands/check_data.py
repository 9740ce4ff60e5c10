"""Looks at every clip of a data set: what cannot be read, what is too short, what is there twice or in two splits.

Two clips are the same if their bytes are: of the file, or of the frames of a folder, one after the other. A clip that
was encoded anew is another one.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from backbone.common.interruption import interrupts_blocked
from envs.clips import ClipError
from envs.clips.datasets import SPLITS, Listing, find_clips
from envs.clips.datasets.places import frame_names
from envs.clips.datasets.reading import LabelError
from envs.clips.video.read import open_video
from experiments.clips import division_of
from experiments.config import CheckData
from experiments.machine import cores, import_plugins

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
}
SHOWN = 10  # problems of a kind on the terminal
SIDE = 16  # pixels to which frames are scaled down; they are decoded to be sure that they can be


@dataclass(frozen=True)
class Clip:
    """A clip to look at; `frames` and `template` as in a `Listing`."""

    path: Path
    frames: int | None
    template: str | None


@dataclass(frozen=True)
class Finding:
    """What one clip looked like: the kind of its problem ("" if it has none), a sentence, the sha256 of its bytes."""

    kind: str = ""
    reason: str = ""
    digest: str = ""


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
    :param per_class: the fewest, the median and the most clips that a class has.
    :param clips_of: how many each class has.
    :param without_clips: classes that have none.
    """

    clips: int
    absent: int
    note: str
    per_class: dict[str, float]
    clips_of: dict[str, int]
    without_clips: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """All that was found."""

    root: str
    layout: str
    num_frames: int
    classes: int
    splits: dict[str, Split]
    problems: list[Problem] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.problems

    def count(self) -> dict[str, int]:
        """Problems of each kind."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in KINDS}


def run(config: CheckData) -> int:
    """Check and print; 0 if nothing is wrong, 1 otherwise.

    :raises ClipError: when not even one split can be listed.
    """
    report = examine(config)
    if config.json:
        print(json.dumps({**asdict(report), "clean": report.clean, "counts": report.count()}, indent=2))
    else:
        show(report, Console(soft_wrap=True, highlight=False, markup=False))
    return 0 if report.clean else 1


def examine(config: CheckData) -> Report:
    """Look at all clips of all splits."""
    if config.num_frames < 1 or config.workers < 0:
        raise ValueError(
            f"expected at least 1 frame and no fewer than 0 workers, got {config.num_frames} and {config.workers}"
        )
    import_plugins(config.plugin)
    listings, problems = _list(config)
    first = next(iter(listings.values()))
    report = Report(
        root=str(config.root),
        layout=first.layout,
        num_frames=config.num_frames,
        classes=len(first.classes),
        splits={split: _summarise(listing) for split, listing in listings.items()},
        problems=problems,
    )
    if "test" in listings and "val" in listings and listings["test"].paths == listings["val"].paths:
        del listings["test"]  # validation stands in for it
    clips = {
        path: Clip(config.root / path, listing.frames[i] if listing.frames else None, listing.template)
        for listing in listings.values()
        for i, path in enumerate(listing.paths)
    }
    found = dict(_inspect_all(clips, config.num_frames, config.workers or cores()))
    problems += _judge(listings, found)
    return report


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


def _summarise(listing: Listing) -> Split:
    clips = Counter(listing.labels)
    counts = [clips[label] for label in range(len(listing.classes))]
    return Split(
        clips=len(listing.labels),
        absent=listing.missing,
        note=listing.note,
        per_class={"min": min(counts), "median": statistics.median(counts), "max": max(counts)},
        clips_of=dict(zip(listing.classes, counts)),
        without_clips=tuple(name for name, count in zip(listing.classes, counts) if not count),
    )


def _judge(listings: dict[str, Listing], found: dict[str, Finding]) -> Iterator[Problem]:
    """What is wrong with single clips, then what is wrong between them."""
    splits_of: defaultdict[str, list[str]] = defaultdict(list)
    lines: defaultdict[str, list[str]] = defaultdict(list)  # of a path
    for split, listing in listings.items():
        lines_here: defaultdict[str, list[str]] = defaultdict(list)
        for path, place in zip(listing.paths, listing.places):
            lines_here[path].append(place)
            lines[path].append(place)
        for path, times in Counter(listing.paths).items():
            splits_of[path].append(split)
            if times > 1:
                reason = f"{path} is listed {times} times for {split}"
                yield Problem("repeated", (split,), (path,), reason, tuple(lines_here[path]))
    same: defaultdict[str, list[str]] = defaultdict(list)
    for path, splits in splits_of.items():
        finding = found[path]
        if finding.kind:
            yield Problem(finding.kind, tuple(splits), (path,), finding.reason, tuple(lines[path]))
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


# One clip ------------------------------------------------------------------------------------------------------------


def inspect(clip: Clip, num_frames: int) -> Finding:
    """Decode a clip to its end and take the hash of its bytes."""
    try:
        status = clip.path.stat()
    except FileNotFoundError:
        return Finding("missing", f"{clip.path}: expected a clip, but there is nothing; restore it or correct the list")
    except OSError as error:
        return Finding(
            "unreadable", f"{clip.path}: expected a clip, but it cannot be read ({error.strerror}); correct the list"
        )
    if not clip.template and clip.path.is_file() and not status.st_size:
        return Finding("empty", f"{clip.path}: expected a video, but it is empty; replace it or take it off the list")
    if clip.template and clip.path.is_dir() and not frame_names(clip.path):
        return Finding(
            "empty", f"{clip.path}: expected a folder of frames, but there are none in it; restore them or the list"
        )
    digest = ""
    try:
        digest = _hash(clip)
        count = _decode(clip)
    except ClipError as error:
        return Finding("unreadable", str(error), digest)
    except OSError as error:
        return Finding("unreadable", f"{clip.path}: expected a clip, but it cannot be read ({error})", digest)
    if clip.frames is not None and count < clip.frames:
        return Finding("short", f"{clip.path}: expected {clip.frames} frames, as listed, but there are {count}", digest)
    if count < num_frames:
        return Finding("short", f"{clip.path}: expected at least {num_frames} frames, but there are {count}", digest)
    return Finding(digest=digest)


def _decode(clip: Clip) -> int:
    """How many frames there are, all of them decoded."""
    video = open_video(clip.path, template=clip.template)
    while True:
        count = video.num_frames
        if count:
            video.frames(range(count), size=SIDE)
        if video.num_frames == count:
            return count  # else decoding has found another count than the file tells: once more


def _hash(clip: Clip) -> str:
    """The sha256 of a file's bytes, or of those of a folder's frames; "" for what is neither."""
    if clip.path.is_file():
        with open(clip.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    names = frame_names(clip.path)
    for name in names:
        digest.update(hashlib.sha256((clip.path / name).read_bytes()).digest())
    return digest.hexdigest() if names else ""


# Many clips ----------------------------------------------------------------------------------------------------------


def _inspect_all(clips: dict[str, Clip], num_frames: int, workers: int) -> Iterator[tuple[str, Finding]]:
    """`inspect` each clip, side by side, with a progress bar on a terminal."""
    bar = tqdm(total=len(clips), desc="checking", unit="clip", disable=None)
    found = (
        _inspect_here(clips, num_frames) if workers == 1 else _inspect_apart(clips, num_frames, workers, 4 * workers)
    )
    with bar:
        for name, finding in found:
            bar.update()
            yield name, finding


def _inspect_here(clips: dict[str, Clip], num_frames: int) -> Iterator[tuple[str, Finding]]:
    for name, clip in clips.items():
        yield name, inspect(clip, num_frames)


def _inspect_apart(
    clips: dict[str, Clip], num_frames: int, workers: int, at_once: int
) -> Iterator[tuple[str, Finding]]:
    """In processes, `at_once` clips being under way. If a process dies, these are looked at again, one by one."""
    waiting = deque(clips)
    others = set(multiprocessing.active_children())
    while waiting:
        running: dict[Future, str] = {}
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    with interrupts_blocked():
                        future = pool.submit(inspect, clips[waiting[0]], num_frames)  # fails if the pool is broken
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finding = future.result()
                    yield running.pop(future), finding
        except BrokenProcessPool:
            suspects = {name: clips[name] for name in running.values()}
            if at_once > 1:
                yield from _inspect_apart(suspects, num_frames, 1, 1)
            for name, clip in suspects.items() if at_once == 1 else ():
                reason = f"{clip.path}: expected a video, but the process that decoded it died; take it off the list"
                yield name, Finding("unreadable", reason)
        except (KeyboardInterrupt, GeneratorExit):  # nobody waits for what is under way
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


# On the terminal -----------------------------------------------------------------------------------------------------


def show(report: Report, console: Console) -> None:
    """A table of the splits, then every kind of problem with its first examples."""
    table = Table(title=f"{report.root} ({report.layout}), {report.classes} classes", title_justify="left")
    for column in ("split", "clips", "left out", "a class has", "median", "without clips"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for name, split in report.splits.items():
        spread = f"{split.per_class['min']} to {split.per_class['max']}"
        median = f"{split.per_class['median']:g}"
        table.add_row(name, str(split.clips), str(split.absent), spread, median, str(len(split.without_clips)))
    console.print(table)
    for sentence in _remarks(report):
        console.print(_printable(sentence))
    for kind, count in report.count().items():
        if count:
            console.print(f"\n{KINDS[kind]}: {count}", style="bold red")
            of_kind = [problem for problem in report.problems if problem.kind == kind]
            for problem in of_kind[:SHOWN]:
                console.print(f"  {_printable(str(problem))}")
            if count > SHOWN:
                console.print(f"  and {count - SHOWN} more: --json lists them all")
    if report.clean:
        console.print("\nNothing is wrong with these data.", style="bold green")
    else:
        console.print(f"\nProblems: {len(report.problems)}.", style="bold red")


def _remarks(report: Report) -> Iterable[str]:
    for name, split in report.splits.items():
        if split.note:
            yield f"{name}: {split.note}"
        if split.without_clips:
            some = ", ".join(split.without_clips[:SHOWN])
            yield f"{name}: no clips of {some}{', ...' if len(split.without_clips) > SHOWN else ''}"


def _printable(text: str) -> str:
    """File names may hold bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode()
