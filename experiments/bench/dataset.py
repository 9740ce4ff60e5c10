"""A data set in the layout of Something-Something V2: how soon it can be used, and whether reading keeps up with decoding.

Videos are VP9 in WebM as the official ones, but of 64 x 48 pixels: what reading does beside decoding weighs the more.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from envs.clips import VideoClips, VideoFiles, VideoViews
from envs.clips.datasets.something_v2 import FOLDER
from envs.clips.loader import START, Loader
from envs.clips.sampler import ClipSampler
from envs.clips.sampling import evaluation_indices, segment_indices
from envs.clips.video.decode import centre, sample_frames
from envs.clips.video.read import open_video
from experiments.bench.data import write_texture
from experiments.bench.measure import Ratio, interleave, summarise

T = TypeVar("T")

HEIGHT, WIDTH = 48, 64
SHORTEST, LONGEST = 32, 48  # frames a video
NUM_FRAMES = 8  # a clip
BATCH = 32  # clips
BATCHES = 4  # that are timed at once of the loader's processes, by each of them
CLASSES = 174
ENCODED = 400  # videos that are encoded; any beyond them are hard links to these
HELD_OUT = {"validation": 0.112, "test": 0.123}  # shares of the official splits; the rest is train
FEWEST = 20  # videos, so that each split has some
INDEXING_S, FIRST_BATCH_S, INDEX_KB = 30.0, 5.0, 2.0  # at most
THROUGHPUT = 0.9  # of decoding alone, at least


class Work(NamedTuple):
    """A video, and which of its frames are wanted given how many it has."""

    path: str
    choose: Callable[[int], np.ndarray]


# The data set


def write_something_v2(root: Path, videos: int) -> None:
    """Videos and labels as the official release has them; at most ``ENCODED`` videos are encoded, the others are links.

    :raises ValueError: fewer videos than ``FEWEST``
    """
    if videos < FEWEST:
        raise ValueError(f"expected at least {FEWEST} videos for three splits, got {videos}: give --videos more")
    folder, labels = root / FOLDER, root / "labels"
    folder.mkdir(parents=True)
    labels.mkdir()
    for number in tqdm(range(videos), desc="writing videos", disable=None, leave=False):
        path = folder / f"{number + 1}.webm"
        if number < ENCODED:
            frames = SHORTEST + number % (LONGEST - SHORTEST + 1)
            fast = {"deadline": "realtime", "cpu-used": "8"}
            write_texture(str(path), frames, "libvpx-vp9", HEIGHT, WIDTH, start=17 * number, **fast)
        else:
            os.link(folder / f"{number % ENCODED + 1}.webm", path)
    names = [f"Moving something along path {number}" for number in range(CLASSES)]
    _write(labels / "labels.json", {name: str(number) for number, name in enumerate(names)})
    for split, numbers in split_like_official(videos).items():
        entries = [{"id": str(number + 1), "label": names[number % CLASSES]} for number in numbers]
        if split == "test":
            answers = "".join(f"{entry['id']};{entry['label']}\n" for entry in entries)
            (labels / "test-answers.csv").write_text(answers, encoding="utf-8")
            _write(labels / "test.json", [{"id": entry["id"]} for entry in entries])
        else:
            more = [
                {"template": entry["label"].replace("something", "[something]"), "placeholders": ["a square"]}
                for entry in entries
            ]
            _write(labels / f"{split}.json", [entry | further for entry, further in zip(entries, more)])


def split_like_official(videos: int) -> dict[str, range]:
    """Which numbers stand in which split."""
    held = {split: round(share * videos) for split, share in HELD_OUT.items()}
    train = videos - sum(held.values())
    return {
        "train": range(train),
        "validation": range(train, train + held["validation"]),
        "test": range(train + held["validation"], videos),
    }


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


# Measures


def dataset_ratios(videos: int, repeats: int) -> list[Ratio]:
    """On a data set that is written for it and removed afterwards.

    :param videos: in all splits together
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_something_v2(root, videos)
        ratios, source = opening(root)
        for workers in (0, 2):
            ratios += loading(root, source, workers, repeats)
        return [*ratios, *judging(root, repeats), caching(root)]


def opening(root: Path) -> tuple[list[Ratio], VideoFiles]:
    """Seconds and memory that it takes to know the training clips; and these."""
    seconds, source = _timed(lambda: _files(root, "train"))
    tracemalloc.start()
    again = _files(root, "train")
    kilobytes = tracemalloc.get_traced_memory()[0] / 1e3 / len(again)
    tracemalloc.stop()
    return [
        _at_most(f"{len(source):,} training clips: seconds to open them", seconds, INDEXING_S),
        _at_most("the same: kB of memory a clip", kilobytes, INDEX_KB),
    ], source


def loading(root: Path, source: VideoFiles, workers: int, pairs: int) -> list[Ratio]:
    """The first batch; then the loader beside as many processes that decode the same frames and do nothing else.

    Before either is timed it goes on for as many batches as the loader may have read ahead, so that none is timed that
    was read while the other was at work.
    """
    loader = Loader(source, ClipSampler(len(source), seed=0), BATCH, workers=workers)
    seconds, _ = _timed(lambda: next(loader))
    work = training_work(root, source)
    next(work)  # the batch that the loader has given
    ahead, batches = (loader.prefetch * workers, BATCHES * workers) if workers else (0, 1)
    times: tuple[list[float], list[float]] = ([], [])
    with decoders(workers) as decode:

        def load(count: int) -> None:
            for _ in range(count):
                next(loader)

        def alone(count: int) -> None:
            decode([next(work) for _ in range(count)])

        for pair in tqdm(range(-1, pairs), desc=f"loader, {workers} workers", disable=None, leave=False):
            for which in (0, 1) if pair % 2 else (1, 0):
                read = (load, alone)[which]
                read(ahead)
                taken, _ = _timed(partial(read, batches))
                if pair >= 0:
                    times[which].append(taken)
    loader.close()
    title = f"{workers} workers: "
    return [
        _at_most(f"{title}seconds to the first batch of {BATCH} clips", seconds, FIRST_BATCH_S),
        _keeps_up(f"{title}clips a second of the loader", np.array(times[0]), np.array(times[1]), batches * BATCH),
    ]


def judging(root: Path, pairs: int) -> list[Ratio]:
    """Evaluation's clip of a video, and its six views."""
    source, views = _files(root, "val"), VideoViews(root, "val", num_frames=NUM_FRAMES, size=HEIGHT, clips=2, crops=3)
    count = min(len(source), BATCH)
    paths = [str(root / name) for name in source.names[:count]]
    once = [Work(path, evaluated_frames) for path in paths]
    twice = [Work(path, partial(evaluated_frames, clips=2, which=which)) for path in paths for which in (0, 1)]
    single = interleave(lambda: source.frames(range(count)), lambda: decode_alone(once), pairs, "evaluation")
    six = interleave(lambda: views.frames(range(6 * count)), lambda: decode_alone(twice), pairs, "six views")
    return [
        _keeps_up("evaluation: videos a second", *single, count),
        _keeps_up("evaluation, 2 clips x 3 crops: videos a second", *six, count),
    ]


def caching(root: Path) -> Ratio:
    """A cache of the validation clips, which ends on the disk."""
    work = [Work(str(root / name), evaluated_frames) for name in _files(root, "val").names]

    def build() -> None:
        with tempfile.TemporaryDirectory() as cache:
            options: dict[str, Any] = {"num_frames": NUM_FRAMES, "size": HEIGHT, "progress": False}
            VideoClips(root, "val", cache_dir=cache, **options)

    times = interleave(build, lambda: decode_alone(work), 3, "cache", warmup=1)
    return _keeps_up("cache: videos a second", *times, len(work))


def _files(root: Path, split: str) -> VideoFiles:
    return VideoFiles(root, split, num_frames=NUM_FRAMES, size=HEIGHT)


# Decoding alone


def training_work(root: Path, source: VideoFiles) -> Iterator[list[Work]]:
    """The batches that training with seed 0 reads, one after the other."""
    sampler = ClipSampler(len(source), seed=0)
    while True:
        indices, rng = sampler.take(BATCH)
        seeds = rng.integers(2**63, size=BATCH).tolist()
        yield [
            Work(str(root / source.names[clip]), partial(training_frames, seed=seed))
            for clip, seed in zip(indices.tolist(), seeds)
        ]


def training_frames(available: int, seed: int) -> np.ndarray:
    """Which frames training takes, (8,)."""
    return segment_indices(available, NUM_FRAMES, np.random.default_rng(seed))


def evaluated_frames(available: int, clips: int = 1, which: int = 0) -> np.ndarray:
    """Which frames evaluation takes, (8,)."""
    return evaluation_indices(available, NUM_FRAMES, clips=clips)[which]


def decode_alone(work: Sequence[Work]) -> np.ndarray:
    """Open, decode and cut, and nothing else; returns the last clip, (8, 48, 48, 3)."""
    cut = partial(centre, size=HEIGHT)
    for path, choose in work:
        images = sample_frames(open_video(path), choose, fewest=NUM_FRAMES, size=HEIGHT, convert=cut)
    return images


@contextmanager
def decoders(workers: int) -> Iterator[Callable[[list[list[Work]]], None]]:
    """Decodes batches, in so many processes; in this one if there are to be none."""
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(workers, get_context(START))) if workers else None

        def decode(batches: list[list[Work]]) -> None:
            for _ in map(_decode_in_place, batches) if pool is None else pool.map(_decode_in_place, batches):
                pass

        yield decode


def _decode_in_place(work: Sequence[Work]) -> None:
    decode_alone(work)  # whose frames stay in the process


# Rows of the table


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _at_most(name: str, found: float, limit: float) -> Ratio:
    return Ratio(name, found, found, found, f"at most {limit:g}", found <= limit)


def _keeps_up(name: str, subject: np.ndarray, yardstick: np.ndarray, clips: int) -> Ratio:
    """Throughput as a share of decoding alone, from seconds for so many clips; prints both."""
    rates = (f"{clips / np.median(seconds):,.0f}" for seconds in (subject, yardstick))
    print(f"{name}: {' beside '.join(rates)} of decoding alone")
    return summarise(f"{name} / of decoding alone", yardstick, subject, THROUGHPUT, below=False)
