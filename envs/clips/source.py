"""What the rest of the project knows of videos: a `ClipSource` hands out labelled clips as uint8 arrays.

Letters for shapes: N clips, B clips of a batch, T frames sampled a clip, F frames stored a clip, H = W pixels.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from backbone.common.naming import printable
from envs.clips.flips import random_flip
from envs.clips.sampling import gather


class ClipError(ValueError):
    """Videos that cannot be used as they are: one sentence says what was expected, what came and what to do.

    It is printable, whatever the files are called.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


class BrokenClip(ClipError):
    """A clip of a source that cannot be read.

    :param clip: its index there.
    """

    def __init__(self, sentence: str, clip: int) -> None:
        super().__init__(sentence)
        self.clip = clip

    def __reduce__(self) -> tuple:
        return type(self), (str(self), self.clip)


class ClipSource(ABC):
    """N labelled clips, each read as T frames of H x H pixels.

    A subclass sets the attributes through `__init__` here and implements `frames`.

    :param classes: the K class names.
    :param labels: (N,) int64 in 0..K-1.
    :param names: N names that a person can find the clips by.
    :param num_frames: frames a clip, T.
    :param size: side of a frame in pixels, H.
    :param data_hash: sha256 in hex of what the source holds: equal hashes, equal clips.
    :param reversals: (N,) int64, for each clip the one that shows it backwards, -1 where there is none; None for
        data without such pairs.
    :param reversed_class: for each class the class of its videos played backwards, or None.
    :param groups: of each clip the name of the source that it was cut from; None where that is not known. The attribute
        has numbers in their place, (N,) int64: clips of equal ones belong together.
    :param skipped: one sentence for every clip that was left out.

    `flips`, None at first, may be set to what `envs.clips.flips.flip_targets` gives: `draw` then flips in training.
    """

    flips: Sequence[int | None] | None = None

    def __init__(
        self,
        *,
        classes: Sequence[str],
        labels: np.ndarray,
        names: Sequence[str],
        num_frames: int,
        size: int,
        data_hash: str,
        reversals: np.ndarray | None = None,
        reversed_class: Sequence[int] | None = None,
        groups: Sequence[str] | np.ndarray | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        self.classes = tuple(classes)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.names = list(names)
        self.num_frames = num_frames
        self.size = size
        self.data_hash = data_hash
        self.reversals = None if reversals is None else np.asarray(reversals, dtype=np.int64)
        self.reversed_class = None if reversed_class is None else tuple(int(label) for label in reversed_class)
        self.groups = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
        self.skipped = list(skipped)
        if len(self.names) != len(self.labels):
            raise ClipError(f"expected one name for each of {len(self.labels)} labels, got {len(self.names)}")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ClipError(
                f"expected labels from 0 to {len(self.classes) - 1} for {len(self.classes)} classes, "
                f"got {self.labels.min()} to {self.labels.max()}; name every class or correct the labels"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def frames(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """The clips at `indices`.

        :param indices: (B,) integers in 0..N-1.
        :param rng: None: TSN's centred segments and the centre crop, the same at every call (evaluation); a generator:
            TSN's random segments and a random crop (training).
        :return: (B, T, H, H, 3) uint8 RGB, a new array.
        :raises BrokenClip: for the first that cannot be read, where that was not found out when the source was opened.
        """

    def draw(
        self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames as `frames` gives them, and what they show, (B,) int64: with `flips` and a generator every second clip
        is mirrored, and its label may be another then."""
        indices = np.asarray(indices, dtype=np.int64)
        return self._flipped(self.frames(indices, rng), indices, rng, slice(None))

    def draw_part(
        self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None, part: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some rows of what ``draw`` gives of a batch, the very same; a subclass that reads slowly reads no others."""
        frames, labels = self.draw(indices, rng)
        return frames[part], labels[part]

    def _flipped(
        self, frames: np.ndarray, indices: np.ndarray, rng: np.random.Generator | None, part: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames of a part of a batch, flipped in place, and their labels; the generator is asked for all of the batch."""
        labels = self.labels[indices]
        if rng is not None and self.flips is not None:
            own = range(len(indices))[part]
            for row, label in enumerate(labels):
                if row in own:
                    place = row - own.start
                    frames[place], labels[row] = random_flip(frames[place], int(label), self.flips, rng)
                else:
                    rng.random()
        return frames, labels[part]

    def subset(self, indices: Sequence[int] | np.ndarray) -> ClipSource:
        """The clips at `indices`, in that order; a partner that is left out becomes -1 in `reversals`."""
        return _Subset(self, np.asarray(indices, dtype=np.int64))


class _Subset(ClipSource):
    def __init__(self, parent: ClipSource, indices: np.ndarray) -> None:
        super().__init__(
            classes=parent.classes,
            labels=parent.labels[indices],
            names=[parent.names[i] for i in indices],
            num_frames=parent.num_frames,
            size=parent.size,
            data_hash=hashlib.sha256(parent.data_hash.encode() + indices.tobytes()).hexdigest(),
            reversals=None if parent.reversals is None else select_reversals(parent.reversals, indices),
            reversed_class=parent.reversed_class,
            groups=None if parent.groups is None else parent.groups[indices],
            skipped=parent.skipped,
        )
        self.flips = parent.flips
        self._parent = parent
        self._indices = indices

    def frames(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        try:
            return self._parent.frames(self._indices[np.asarray(indices, dtype=np.int64)], rng)
        except BrokenClip as error:
            raise BrokenClip(str(error), int(np.flatnonzero(self._indices == error.clip)[0])) from None


class ArrayClips(ClipSource):
    """Clips held in memory.

    :param frames: (N, F, S, S, 3) uint8 with F >= num_frames and S >= size; held as given, without a copy.
    :param num_frames: T; by default all F.
    :param size: H; by default S.
    """

    def __init__(
        self,
        frames: np.ndarray,
        labels: np.ndarray,
        classes: Sequence[str],
        *,
        num_frames: int | None = None,
        size: int | None = None,
        names: Sequence[str] | None = None,
        reversals: np.ndarray | None = None,
        reversed_class: Sequence[int] | None = None,
        groups: Sequence[str] | np.ndarray | None = None,
    ) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[2] != frames.shape[3] or frames.shape[4] != 3:
            raise ClipError(
                f"expected uint8 frames of shape (N, F, S, S, 3), got {frames.dtype} of shape {frames.shape}; "
                "convert or crop them to square RGB first"
            )
        stored_frames, stored_size = frames.shape[1:3]
        num_frames = stored_frames if num_frames is None else num_frames
        size = stored_size if size is None else size
        if not (1 <= num_frames <= stored_frames and 1 <= size <= stored_size):
            raise ClipError(
                f"expected at most the {stored_frames} frames of {stored_size} pixels that the arrays hold, "
                f"got num_frames={num_frames} and size={size}; ask for no more than there is"
            )
        if len(labels) != len(frames):
            raise ClipError(f"expected one label for each of {len(frames)} clips, got {len(labels)}")
        digest = hashlib.sha256(repr((frames.shape, num_frames, size, tuple(classes))).encode())
        digest.update(np.asarray(labels, dtype=np.int64).tobytes())
        digest.update(np.ascontiguousarray(frames).data)
        super().__init__(
            classes=classes,
            labels=labels,
            names=[str(i) for i in range(len(frames))] if names is None else names,
            num_frames=num_frames,
            size=size,
            data_hash=digest.hexdigest(),
            reversals=reversals,
            reversed_class=reversed_class,
            groups=groups,
        )
        self._pool = frames.reshape(-1, stored_size, stored_size, 3)
        self._stored_frames = stored_frames

    def frames(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        indices = np.asarray(indices, dtype=np.int64)
        counts = np.full(len(indices), self._stored_frames)
        return gather(self._pool, indices * counts, counts, num_frames=self.num_frames, size=self.size, rng=rng)


def select_reversals(reversals: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Partners (N,) after keeping only the clips at `indices` (M,): (M,) positions among those kept, else -1."""
    position = np.full(len(reversals) + 1, -1)  # the last entry answers for a partner of -1
    position[indices] = np.arange(len(indices))
    return position[reversals[indices]]
