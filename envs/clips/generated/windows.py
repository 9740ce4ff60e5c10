"""Eight window motions: a window glides over real footage, and only time tells which way.

The pixels and what moves in them are real; the camera, whose direction is the class, is synthetic (`camera`). Videos of
one source stand on one side of train, val and test (`footage`). Clip i of a split is drawn from the seed, the split and i,
so that neither the order of work nor an interruption changes it.

Why a mean over frames cannot tell a direction from its reversal. Played backwards, a clip of class 2k is distributed
exactly as one of class 2k + 1: its steps are laid about the path's centre, jitter and noise are drawn frame by frame alike,
and footage is played forwards or backwards by a coin in either class. So the frames of both, as a set, have one
distribution, and what is computed of each frame alone and averaged is right on one in two at most, given the axis. In val
and test each clip stands beside its own reversal, where that holds exactly: the same score for both, one of them wrong.

Nor does a frame show the axis: it is a square of footage, and a path's centre is drawn from the same box for every class,
so that the mean place of a clip's windows is distributed alike in all eight. So 1 in 8, 12.5%, is to be expected of a model
that averages. Here the argument ends. Along its axis a window gets farther from the centre than across it, so whoever knew
each frame's place in the footage could tell the axis in most clips by a mean over frames, though the direction in none (a
test counts it). A CNN knows places only as far as footage shows them (sky, a time stamp) or as it has learnt the training
videos by heart: judge on the test split, whose sources are others. And H.264 predicts frames from those before, so that
pairs are exact only up to what it loses, at crf 18.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from backbone.common.files import write_bytes
from backbone.common.progress import Bar
from envs.clips.datasets.groups import GROUPS
from envs.clips.generated.camera import Camera, Shot
from envs.clips.generated.folder import PAIRED, GeneratedFolder, clip_generator, facts_of, original_of
from envs.clips.generated.footage import Footage, Reel, check_enough, find_footage, split_sources
from envs.clips.source import ClipError
from envs.clips.video.decode import write_video

VERSION = 1  # of what is drawn: a new number makes other clips from the same seed
ABOUT = "about.txt"
CLIPS = "clips.csv"
NAMED = 10  # broken videos in words
FEW = 5  # sources of a split
SHOTS_AT_ONCE = 500  # of one video; bounds the frames in memory


def generate(
    root: str | Path,
    footage: str | Path,
    *,
    camera: Camera,
    train: int,
    val: int,
    test: int,
    groups: Path | None = None,
    seed: int = 0,
    progress: bool = True,
) -> str:
    """Write the clips as H.264 files with lists, as `envs.clips.datasets.lists` reads them, and say in words what they are.

    Beside the lists stand these words, `about.txt`; `clips.csv`, which has the video of each clip; and `groups.csv`, which has
    its source. Every video is decoded once, and one at a time is in memory. An interrupted run goes on where it stopped.

    :param footage: folder of videos, at any depth. Those that cannot be used are left out and named.
    :param train: clips of the training split; likewise `val` and `test`, which are even: clip 2i + 1 is clip 2i played
        backwards, before the codec, with the reversed label.
    :param groups: a file of lines `path,group`; None takes `groups.csv` in the footage, if there is one.
    :param progress: show progress bars, on a terminal.
    :raises ClipError: when there is not enough footage, or the folder holds something else.
    :raises ValueError: for counts or a seed that cannot be.
    """
    if seed < 0:
        raise ValueError(f"expected a seed of at least 0, got {seed}")
    root, found = Path(root), find_footage(footage, groups)
    if found.root.resolve() in (root.resolve(), *root.resolve().parents):
        raise ClipError(
            f"{root}: expected a folder outside of the footage in {found.root}, as clips would be taken for footage; "
            "name another"
        )
    counts = {"train": train, "val": val, "test": test}
    made_by = {**asdict(camera), "speed": list(camera.speed), "footage": found.fingerprint}
    folder = GeneratedFolder(root, facts_of("window motions", VERSION, counts=counts, seed=seed, **made_by))
    if not folder.is_whole():
        _Studio(folder, found, camera, seed, progress).produce()
    return (root / ABOUT).read_text(encoding="utf-8")


class _Studio:
    """Makes the clips of one folder.

    :param videos: split -> paths of its videos, below the footage's root
    :param broken: path -> why it cannot be used; more are found while clips are made
    """

    def __init__(self, folder: GeneratedFolder, footage: Footage, camera: Camera, seed: int, progress: bool) -> None:
        self.folder, self.footage, self.camera, self.seed, self.progress = folder, footage, camera, seed, progress
        self.broken: dict[str, str] = {}
        for path in Bar(footage.sources, desc="looking", unit="video", disable=self._no_bar, leave=False):
            try:
                self._reel(path).check(camera.fewest)
            except ClipError as error:
                self.broken[path] = str(error)
        check_enough(len(footage.sources), self.broken)
        usable = {path: source for path, source in footage.sources.items() if path not in self.broken}
        split_of = split_sources(usable.values(), seed)
        self.videos = {
            split: [path for path, source in usable.items() if split_of[source] == split] for split in folder.counts
        }

    def produce(self) -> None:
        missing: dict[tuple[str, int], list[int]] = defaultdict(list)  # an original -> its clips that are not there
        for split, clip in self.folder.begin():
            missing[split, original_of(split, clip)].append(clip)
        total = sum(map(len, missing.values()))
        with Bar(total=total, desc="filming", unit="clip", disable=self._no_bar) as bar:
            while missing:  # again where a video has turned out to be broken: its clips go to others
                for path, shots in self._by_video(missing):
                    try:
                        for original, clips in self._film(path, shots, missing):
                            del missing[original]
                            bar.update(clips)
                    except ClipError as error:
                        self.broken[path] = str(error)
                        check_enough(len(self.footage.sources), self.broken)
        self._write_origins()
        write_bytes(self.folder.root / ABOUT, self._describe().encode())
        for split in self.folder.counts:
            for left in (self.folder.root / split).glob("*.part"):  # by a process that was killed
                left.unlink()
        self.folder.finish()

    @property
    def _no_bar(self) -> bool | None:
        return None if self.progress else True

    def _reel(self, path: str) -> Reel:
        return Reel(self.footage.root / path, self.camera.side)

    def _shot(self, split: str, original: int) -> tuple[str, Shot]:
        """The video that a clip shows, and the shot."""
        videos = self.videos[split]
        shot = self.camera.draw(
            self.folder.label(split, original), len(videos), clip_generator(self.seed, split, original)
        )
        for i in shot.order:
            if videos[i] not in self.broken:
                return videos[i], shot
        raise ClipError(
            f"{self.footage.root}: expected footage for {split}, but none of its {len(videos)} videos decodes, the first: "
            f"{self.broken[videos[0]]}"
        )

    def _by_video(self, originals: Mapping[tuple[str, int], object]) -> list[tuple[str, list]]:
        shots = defaultdict(list)
        for original in originals:
            path, shot = self._shot(*original)
            shots[path].append((shot.start, original, shot))
        return sorted(shots.items())

    def _film(self, path: str, shots: list, missing: Mapping[tuple[str, int], list[int]]) -> Iterator[tuple]:
        """Write the clips of one video; yields each original that is done, and how many clips it and its reversal are."""
        reel = self._reel(path)
        shots = sorted(shots, key=lambda shot: shot[:2])
        for first in range(0, len(shots), SHOTS_AT_ONCE):
            _, originals, batch = zip(*shots[first : first + SHOTS_AT_ONCE])
            for original, frames in zip(originals, self.camera.film(reel, batch)):
                clips = list(missing[original])
                for clip in clips:
                    write_video(self.folder.file(original[0], clip), frames if clip == original[1] else frames[::-1])
                yield original, len(clips)

    def _write_origins(self) -> None:
        """Which video each clip is from, and which source, so that tools can tell clips of one source from others."""
        video_of: dict[tuple[str, int], str] = {}
        rows = []
        for split, clip in self.folder.clips():
            original = (split, original_of(split, clip))
            if original not in video_of:
                video_of[original] = self._shot(*original)[0]
            rows.append((self.folder.name(split, clip), video_of[original]))
        self._write_table(CLIPS, ("clip", "video"), rows)
        self._write_table(GROUPS, ("path", "group"), [(clip, self.footage.sources[video]) for clip, video in rows])

    def _write_table(self, name: str, header: tuple[str, str], rows: Iterable[tuple[str, str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        write_bytes(self.folder.root / name, text.getvalue().encode(errors="surrogateescape"))

    def _describe(self) -> str:
        """What was made, in words: a paragraph of few lines each."""
        camera, counts = self.camera, self.folder.counts
        lines = [
            f"Eight window motions over real footage: clips of {camera.num_frames} frames of {camera.size} x {camera.size} "
            "pixels."
        ]
        for split, count in counts.items():
            videos = [path for path in self.videos[split] if path not in self.broken]
            sources = Counter(self.footage.sources[path] for path in videos)
            beside = f", {count // 2} and their reversals" if split in PAIRED else ""
            lines.append(
                f"  {split}: {_number(count, 'clip')}{beside}, from {_number(len(videos), 'video')} of "
                f"{_number(len(sources), 'source')}"
            )
            if len(sources) < FEW and split != "train":
                lines.append(f"    few sources: figures on {split} say little of other footage")
        lines.append("No source stands in two splits; groups.csv has the source of every clip, clips.csv the video.")
        if self.footage.unknown:
            lines.append(f"Paths among the groups that are none of the videos: {self.footage.unknown}.")
        if self.broken:
            lines.append(f"Left out, as they cannot be used: {len(self.broken)} of {len(self.footage.sources)} videos:")
            lines += [f"  {reason}" for reason in list(self.broken.values())[:NAMED]]
            if len(self.broken) > NAMED:
                lines.append(f"  and {len(self.broken) - NAMED} more")
        real = (
            "the pixels (every clip stands still at one frame of footage)"
            if camera.still
            else "the pixels, and what moves in them (footage is played forwards or backwards by a coin)"
        )
        lines += [
            f"Real: {real}.",
            "Synthetic: the camera, a window that glides over the footage; its direction is the class.",
            "A mean over frames cannot tell a direction from its reversal, by construction, and a frame alone shows no axis: "
            "expect all-use to be right on 1 in 8, 12.5%.",
        ]
        return "".join(f"{line}\n" for line in lines)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
