"""Eight motions that only time can tell apart: the embedded data, drawn by numpy.

Four directions of motion and their reversals. A clip of class 2k played backwards is distributed exactly as one of
class 2k + 1, so a model that averages its frames is held to 50%, given that it knows the pair from the colour.

What is drawn, 8 frames of 32 x 32 pixels:
- One coloured object (bar, ellipse, triangle or L, turned at random, half-size 4 to 6.5 px), seen in a random window of
  3 to 8 consecutive frames, moving 1.6 to 2.8 px a frame (0.75 of that on each axis for diagonals) with a jitter of
  0.25 px. Its path is centred on the picture at the middle of the window, so position says nothing of direction; where
  the motion is along one axis the other coordinate is uniform.
- Its hue tells the pair: mean pair / 4 of the colour circle, sd 0.05.
- Background: smooth random colour (5 x 5 noise of sd 0.12 enlarged bicubically) and two grey objects of the same shapes
  at rest.
- Opacity 0.4 to 1 and pixel noise of sd 0.02 to 0.14, drawn a clip: difficulty varies from clip to clip.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbone.common.progress import Bar
from envs.clips.datasets import SIDECAR
from envs.clips.generated.directions import CLASSES, REVERSED_CLASS, direction_of, label_of
from envs.clips.generated.folder import PAIRED, GeneratedFolder, clip_generator, facts_of, original_of
from envs.clips.source import ArrayClips
from envs.clips.video.decode import write_video

NUM_FRAMES = 8
SIZE = 32
VERSION = 1  # of the drawing: a new number makes other clips from the same seed

_CENTRE = (SIZE - 1) / 2
_GRID = np.arange(SIZE, dtype=np.float32)


class ClipFacts(NamedTuple):
    """What makes a clip hard or easy, as it was drawn: numbers of one clip, or arrays (N,) of many.

    :param noise: sd of the pixel noise, as a share of the range of a pixel
    :param contrast: opacity of the objects
    :param start: first frame in which the moving object is seen
    :param length: frames in which it is seen
    :param speed: pixels a frame; on diagonals 0.75 of it along either axis
    """

    noise: float | np.ndarray
    contrast: float | np.ndarray
    start: int | np.ndarray
    length: int | np.ndarray
    speed: float | np.ndarray

    def backwards(self) -> ClipFacts:
        """Of the clips played backwards."""
        return self._replace(start=NUM_FRAMES - self.start - self.length)


def sample(num_clips: int, seed: int, paired: bool = False) -> ArrayClips:
    """Clips drawn into memory, no video file involved; labels go round the classes, so every class has its share.

    :param paired: clip 2i + 1 is clip 2i played backwards, with the reversed label.
    :raises ValueError: for an odd number of paired clips.
    """
    if num_clips < 1 or (paired and num_clips % 2):
        raise ValueError(f"expected a positive number of clips, even when paired, got {num_clips}")
    clips = [_clip(seed, "memory", i, paired) for i in range(num_clips)]
    return ArrayClips(
        np.stack([frames for frames, _ in clips]),
        np.array([label for _, label in clips]),
        CLASSES,
        reversals=np.arange(num_clips) ^ 1 if paired else None,
        reversed_class=REVERSED_CLASS,
    )


def render_clip(label: int, rng: np.random.Generator) -> np.ndarray:
    """One clip of a class: (8, 32, 32, 3) uint8."""
    return _draw(label, rng)[0]


def facts(root: str | Path, names: Sequence[str], progress: bool = True) -> ClipFacts | None:
    """What was drawn in clips that `generate` wrote; None where the folder holds other data.

    The clips are drawn again, so that these are the very numbers that made their frames: about 1 ms a clip.

    :param names: as a `ClipSource` of that folder names them ("test/00012.mp4")
    :param progress: show a progress bar, on a terminal.
    :return: arrays (N,), one number for each name.
    """
    try:
        found = json.loads((Path(root) / SIDECAR).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    if not isinstance(found, dict) or found != _facts(found.get("counts"), found.get("seed")):
        return None
    drawn: dict[tuple[str, int], ClipFacts] = {}
    rows = []
    for name in Bar(names, desc="drawing again", unit="clip", disable=None if progress else True, leave=False):
        split, clip = Path(name).parent.name, int(Path(name).stem)
        original = (split, original_of(split, clip))
        if original not in drawn:
            label = label_of(original[1], split in PAIRED)
            drawn[original] = _draw(label, clip_generator(found["seed"], *original))[1]
        rows.append(drawn[original] if original[1] == clip else drawn[original].backwards())
    return ClipFacts(*map(np.array, zip(*rows)))


def _draw(label: int, rng: np.random.Generator) -> tuple[np.ndarray, ClipFacts]:
    pair, direction = label // 2, direction_of(label)

    background = 0.5 + 0.07 * rng.standard_normal((3, 5, 5), dtype=np.float32)
    image = (_ENLARGE @ background @ _ENLARGE.T).transpose(1, 2, 0)
    opacity = rng.uniform(0.4, 1)
    for _ in range(2):
        mask = opacity * _cover(rng, rng.uniform(4, SIZE - 5, size=(1, 2)))[0]
        image = image + mask[..., None] * (rng.uniform(0.1, 0.9) - image)

    length = int(rng.integers(3, NUM_FRAMES + 1))
    start = int(rng.integers(0, NUM_FRAMES - length + 1))
    middle = np.where(direction == 0, rng.uniform(7, SIZE - 8), _CENTRE)
    steps = np.arange(length)[:, None] - (length - 1) / 2
    speed = rng.uniform(1.6, 2.8)
    path = middle + steps * speed * direction + rng.normal(0, 0.25, size=(length, 2))
    mask = opacity * _cover(rng, path)[..., None]
    colour = _hsv_to_rgb(pair / 4 + rng.normal(0, 0.05), rng.uniform(0.75, 1), rng.uniform(0.75, 1))

    frames = np.repeat(image[None], NUM_FRAMES, axis=0)
    frames[start : start + length] += mask * (colour - image)
    noise = rng.uniform(0.02, 0.14)
    frames += np.float32(noise) * rng.standard_normal(frames.shape, dtype=np.float32)
    return (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8), ClipFacts(noise, opacity, start, length, speed)


def generate(
    root: str | Path,
    *,
    train: int = 16000,
    val: int = 1000,
    test: int = 2000,
    seed: int = 0,
    workers: int = 2,
    progress: bool = True,
) -> None:
    """Write the data as H.264 files with lists, as `envs.clips.datasets.lists` reads them.

    Clip 2i + 1 of val and test is clip 2i played backwards (before the codec), with the reversed label. The clips
    depend on the seed alone, not on the workers, and splits of different sizes share their first clips. An interrupted
    run goes on where it stopped; until the end `dataset.json.part` in the folder says that nothing there is whole.

    :param train: clips of the training split; likewise `val` and `test`, which are even.
    :param workers: processes; with more than one, guard the calling script by `if __name__ == "__main__":`.
    :param progress: show a progress bar, on a terminal.
    :raises ClipError: when the folder holds something else: other files or the same data with another seed or size.
    :raises ValueError: for counts that cannot be.
    """
    counts = {"train": train, "val": val, "test": test}
    folder = GeneratedFolder(Path(root), _facts(counts, seed))
    if folder.is_whole():
        return
    missing = folder.begin()
    with Bar(total=len(missing), desc="generating", unit="clip", disable=None if progress else True) as bar:
        for _ in _write_all(partial(_write, folder, seed), missing, workers):
            bar.update()
    folder.finish()


def ensure(root: str | Path, **kwargs: Any) -> Path:
    """The folder, after `generate` with the same arguments, which does nothing where the data are whole."""
    generate(root, **kwargs)
    return Path(root)


def _facts(counts: dict[str, int] | None, seed: int | None) -> dict:
    return facts_of("eight motions", VERSION, counts=counts, seed=seed)


def _clip(seed: int, split: str, clip: int, paired: bool) -> tuple[np.ndarray, int]:
    """Frames (8, 32, 32, 3) and label of a clip: a function of its arguments alone."""
    label = label_of(clip, paired)
    if paired and clip % 2:
        original, _ = _clip(seed, split, clip - 1, paired)
        return original[::-1], label
    return render_clip(label, clip_generator(seed, split, clip)), label


def _write(folder: GeneratedFolder, seed: int, item: tuple[str, int]) -> None:
    split, clip = item
    write_video(folder.file(split, clip), _clip(seed, split, clip, split in PAIRED)[0])


def _write_all(write: partial, items: list[tuple[str, int]], workers: int) -> Iterator[None]:
    if workers <= 1:
        yield from map(write, items)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(write, items, chunksize=32)


def _cover(rng: np.random.Generator, centres: np.ndarray) -> np.ndarray:
    """One random shape at each of the centres (M, 2) as (x, y): the share (M, 32, 32) of every pixel that it covers."""
    shape, half, angle = rng.integers(4), rng.uniform(4, 6.5), rng.uniform(0, 2 * np.pi)
    x = _GRID[None, None, :] - centres[:, 0, None, None].astype(np.float32)
    y = _GRID[None, :, None] - centres[:, 1, None, None].astype(np.float32)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    distance = _SHAPES[shape](cos * x + sin * y, cos * y - sin * x, np.float32(half))
    return np.clip(0.5 - distance, 0, 1)  # one pixel of soft edge


def _box(u: np.ndarray, v: np.ndarray, half_u: np.floating, half_v: np.floating) -> np.ndarray:
    return np.maximum(np.abs(u) - half_u, np.abs(v) - half_v)


def _bar(u: np.ndarray, v: np.ndarray, half: np.floating) -> np.ndarray:
    return _box(u, v, half, 0.35 * half)


def _ellipse(u: np.ndarray, v: np.ndarray, half: np.floating) -> np.ndarray:
    scaled = np.sqrt(u**2 + (v / 0.6) ** 2)
    slope = np.sqrt(u**2 + (v / 0.36) ** 2) / np.maximum(scaled, 1e-3)
    return (scaled - half) / np.maximum(slope, 1)


def _triangle(u: np.ndarray, v: np.ndarray, half: np.floating) -> np.ndarray:
    return np.maximum(-v, np.float32(0.75**0.5) * np.abs(u) + v / 2) - half / 2


def _ell(u: np.ndarray, v: np.ndarray, half: np.floating) -> np.ndarray:
    return np.minimum(_box(u + 0.6 * half, v, 0.4 * half, half), _box(u, v + 0.6 * half, half, 0.4 * half))


_SHAPES = (_bar, _ellipse, _triangle, _ell)


def _hsv_to_rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """(3,) in 0..1; the hue is a turn of the colour circle."""
    k = (np.array([5, 3, 1]) + 6 * hue) % 6
    return (value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1))).astype(np.float32)


def _bicubic(size: int, knots: int) -> np.ndarray:
    """(size, knots) weights that enlarge by cubic convolution (Keys, 1981, a = -1/2), the edge repeated outwards."""
    place = (np.arange(size) + 0.5) * knots / size - 0.5
    weights = np.zeros((size, knots), dtype=np.float32)
    for offset in (-1, 0, 1, 2):
        knot = np.floor(place).astype(int) + offset
        d = np.abs(place - knot)
        weight = np.where(d < 1, 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2)
        np.add.at(weights, (np.arange(size), np.clip(knot, 0, knots - 1)), weight)
    return weights


_ENLARGE = _bicubic(SIZE, 5)
