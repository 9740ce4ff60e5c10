"""The loader: the same batches from any number of processes, and whatever befalls those processes is said plainly."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fusion_cases import small_clips
from video_cases import BAD, write

from envs.clips import ArrayClips, ClipError, ClipSource, VideoFiles
from envs.clips.loader import Loader
from envs.clips.sampler import ClipSampler
from envs.clips.source import BrokenClip

SIZE = 7


class Numbered(ClipSource):
    """Clip i shows i in its first pixel and something drawn in the next; those named cannot be read."""

    def __init__(self, *, broken: tuple[int, ...] = (), error: Exception | None = None, seconds: float = 0.0) -> None:
        super().__init__(
            classes=("a", "b"),
            labels=np.arange(SIZE) % 2,
            names=[str(i) for i in range(SIZE)],
            num_frames=1,
            size=1,
            data_hash="",
        )
        self.broken, self.error, self.seconds, self.tried = broken, error, seconds, []

    def frames(self, indices, rng=None):
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        for index in indices:
            self.tried.append(int(index))
            if index in self.broken:
                raise BrokenClip(f"clip {index}.mp4: expected a whole video, but it is cut off", int(index))
        frames = np.zeros((len(indices), 1, 1, 1, 3), np.uint8)
        frames[..., 0] = np.reshape(indices, (-1, 1, 1, 1))
        if rng is not None:
            frames[..., 1] = rng.integers(256, size=(len(indices), 1, 1, 1))
        return frames


def make(source: ClipSource, batch: int = 3, *, seed: int = 0, **kwargs) -> Loader:
    return Loader(source, ClipSampler(len(source), seed=seed, shuffle=kwargs.get("train", True)), batch, **kwargs)


def take(loader: Loader, count: int) -> list[tuple]:
    """Batches as plain numbers."""
    return [(b.indices.tolist(), b.frames.tolist(), b.labels.tolist()) for b in (next(loader) for _ in range(count))]


@pytest.fixture
def closing():
    """Ends the workers of the loaders put into it."""
    loaders = []
    yield lambda loader: loaders.append(loader) or loader
    for loader in loaders:
        loader.close()


# -- what is taken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("train", [True, False])
def test_batches_are_what_the_sampler_takes(train):
    source, sampler = Numbered(), ClipSampler(SIZE, seed=0, shuffle=train)
    for batch in (next(loader) for loader in [make(source, train=train)] for _ in range(5)):
        indices, rng = sampler.take(3)
        np.testing.assert_array_equal(batch.indices, indices)
        np.testing.assert_array_equal(batch.frames, source.frames(indices, rng if train else None))
        np.testing.assert_array_equal(batch.labels, indices % 2)
        assert batch.frames.dtype == torch.uint8
        assert batch.labels.dtype == torch.int64


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bits(closing, workers):
    for source in (Numbered(), small_clips(), Numbered(broken=(1, 4))):
        alone, helped = make(source), closing(make(source, workers=workers))
        torch.manual_seed(1)
        assert take(alone, 8) == take(helped, 8)
        drawn = torch.rand(1)
        torch.manual_seed(1)
        assert torch.equal(drawn, torch.rand(1))  # training draws from there
        assert alone.sampler.position == helped.sampler.position == 24


def test_control_another_seed_gives_other_batches():
    assert take(make(Numbered(), seed=0), 3) != take(make(Numbered(), seed=1), 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_position_is_that_of_what_was_handed_out_and_may_be_set(closing, workers):
    loader = closing(make(Numbered(), workers=workers))
    seen = take(loader, 4)
    assert loader.sampler.position == 12
    loader.sampler.position = 3
    assert take(loader, 3) == seen[1:]
    loader.sampler.seed, loader.sampler.position = 5, 0
    assert take(loader, 2) == take(make(Numbered(), seed=5), 2)
    resumed = closing(make(Numbered(), workers=workers))
    resumed.sampler.position = 6
    assert take(resumed, 2) == seen[2:]


def test_a_closed_loader_ends_its_workers_and_may_go_on(closing):
    before = set(multiprocessing.active_children())
    loader = closing(make(Numbered(), workers=2))
    seen = take(loader, 1)
    assert len(set(multiprocessing.active_children()) - before) == 2
    loader.close()
    assert set(multiprocessing.active_children()) <= before
    assert take(loader, 1) == take(make(Numbered()), 2)[1:]
    assert seen


def test_no_process_is_started_before_the_first_batch(closing):
    before = set(multiprocessing.active_children())
    closing(make(Numbered(), workers=2))
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs CUDA")
def test_frames_are_pinned_on_request(closing):
    assert next(closing(make(Numbered(), workers=1, pin_memory=True))).frames.is_pinned()


# -- broken clips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_clip_is_named_once_and_another_takes_its_place(closing, capsys, workers):
    whole, loader = make(Numbered()), closing(make(Numbered(broken=(1, 4)), workers=workers))
    for _ in range(3 * SIZE):
        expected, batch = next(whole), next(loader)
        kept = ~np.isin(expected.indices, [1, 4])
        np.testing.assert_array_equal(batch.indices[kept], expected.indices[kept])
        np.testing.assert_array_equal(batch.frames[torch.from_numpy(kept)], expected.frames[torch.from_numpy(kept)])
        assert not np.isin(batch.indices, [1, 4]).any()
        np.testing.assert_array_equal(batch.frames[..., 0].flatten(), batch.indices)
        np.testing.assert_array_equal(batch.labels, batch.indices % 2)
    said = capsys.readouterr().err
    assert sorted(loader.broken) == [1, 4]
    for clip in (1, 4):
        assert said.count(f"clip {clip}.mp4") == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_no_kind_of_bad_file_stops_training(tmp_path, closing, capsys, workers):
    lines = []
    for number, (make_bad, _) in enumerate(BAD.values()):
        (tmp_path / str(number)).mkdir()
        make_bad(tmp_path / f"{number}/clip.mp4")
        lines.append(f"{number}/clip.mp4 0\n")
    cut = write(tmp_path / "cut.mp4", 10)
    cut.write_bytes(cut.read_bytes()[:-500])
    write(tmp_path / "short.mp4", 3)
    write(tmp_path / "whole one.mp4", 8)
    lines += ["cut.mp4 0\n", "short.mp4 0\n", "whole one.mp4\t1\r\n"]
    (tmp_path / "train.txt").write_text("".join(lines))
    loader = closing(make(VideoFiles(tmp_path, "train"), batch=len(lines), workers=workers))
    batch = next(loader)
    assert set(batch.indices) == {len(lines) - 1}
    assert set(batch.labels.tolist()) == {1}
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(loader.broken) == len(lines) - 1
    assert all(line.startswith(f"Left out, another clip takes its place: {tmp_path}/") for line in said)


def test_what_takes_the_place_follows_in_the_order_behind_the_batch():
    order = ClipSampler(SIZE, seed=0).take(2 * SIZE)[0]
    first, second, spare = int(order[0]), int(order[1]), order[3:5]
    assert next(make(Numbered(broken=(first, second)))).indices.tolist() == [*spare, order[2]]
    broken = (first, int(order[3]))  # the first in line is broken as well
    assert next(make(Numbered(broken=broken))).indices.tolist() == [order[4], *order[1:3]]


def test_a_broken_clip_is_not_tried_again():
    source = Numbered(broken=(2,))
    take(make(source), 20)
    assert source.tried.count(2) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_clip_is_an_error_in_evaluation(closing, workers):
    loader = closing(make(Numbered(broken=(4,)), workers=workers, train=False))
    next(loader)
    for _ in range(2):  # and stays one
        with pytest.raises(BrokenClip, match=r"^clip 4\.mp4: expected a whole video, but it is cut off$") as caught:
            next(loader)
        assert caught.value.clip == 4
        assert loader.sampler.position == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_that_can_be_read_is_an_error(closing, workers):
    with pytest.raises(ClipError, match=rf"none of {SIZE} can; the first: clip"):
        next(closing(make(Numbered(broken=tuple(range(SIZE))), workers=workers)))


def test_a_broken_clip_keeps_its_number_on_the_way():
    error = pickle.loads(pickle.dumps(BrokenClip("a sentence", 3)))
    assert (str(error), error.clip) == ("a sentence", 3)


# -- what befalls workers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ClipError("one sentence"), OSError(5, "Input/output error")])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_arrives_as_it_is(closing, workers, error):
    with pytest.raises(type(error)) as caught:
        next(closing(make(Numbered(error=error), workers=workers)))
    assert str(caught.value) == str(error)


def test_a_killed_worker_is_noticed(closing):
    before = set(multiprocessing.active_children())
    loader = closing(make(Numbered(seconds=0.01), workers=2))
    next(loader)
    (worker, _) = set(multiprocessing.active_children()) - before
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(ClipError, match=r"expected 2 processes that read videos, but one has died.*take fewer workers"):
        take(loader, 100)
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_a_worker_killed_while_it_hands_over_a_batch_is_noticed_alike(error):
    def broken_off():
        yield None
        raise error

    loader = make(Numbered(), workers=2)
    loader._stream, loader._ahead = broken_off(), (0, 0)
    next(loader._stream)
    with pytest.raises(ClipError, match="one has died"):
        next(loader)


def test_a_mistake_in_a_source_keeps_its_traceback(closing):
    with pytest.raises(RuntimeError, match=r"(?s)RuntimeError in DataLoader worker process 0.*a mistake"):
        next(closing(make(Numbered(error=RuntimeError("a mistake")), workers=1)))


def test_workers_are_deaf_to_interrupts(closing):
    before = set(multiprocessing.active_children())
    loader = closing(make(Numbered(), workers=2))
    next(loader)
    for worker in set(multiprocessing.active_children()) - before:
        os.kill(worker.pid, signal.SIGINT)
    assert take(loader, 20) == take(make(Numbered()), 21)[1:]


@pytest.mark.parametrize("killed", [False, True])
def test_workers_end_with_the_process_that_started_them(tmp_path, killed):
    """By Ctrl-C, which reaches the workers as well and must leave no traceback of theirs, or killed."""
    (tmp_path / "script.py").write_text(
        "import multiprocessing, time\n"
        "from tests.envs.clips.test_loader import Numbered, make\n\n\n"
        "def main():\n"
        "    loader = make(Numbered(seconds=0.1), workers=2)\n"
        "    next(loader)\n"
        "    try:\n"
        "        print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "        while True:\n"
        "            next(loader)\n"
        "    except KeyboardInterrupt:\n"
        "        loader.close()\n\n\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["tests/support", "."])},
    )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    if killed:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)
    try:
        said = process.communicate(timeout=30)[1]
    finally:
        process.kill()
    assert killed or (process.returncode == 0 and said == "")
    deadline = time.monotonic() + 20
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    """Is it there, and not only waiting for a parent that never asks (a container without an init process)?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- waiting ---------------------------------------------------------------------------------------------------------


def test_the_share_of_waiting_counts_from_the_last_question():
    loader = make(Numbered(seconds=0.05))
    assert loader.wait_share() == 0.0
    time.sleep(0.05)
    next(loader)
    time.sleep(0.05)
    next(loader)
    assert 0.4 < loader.wait_share() <= 0.9  # 0.1 of at least 0.2 seconds since the first question
    time.sleep(0.02)
    assert loader.wait_share() == 0.0
    assert 0.1 <= loader.waited < 0.5


def test_the_first_share_begins_with_the_first_batch():
    loader = make(Numbered(seconds=0.05))
    time.sleep(0.2)
    next(loader)
    assert loader.wait_share() > 0.9


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"workers": -1}, {"prefetch": 0}])
def test_arguments_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="expected batch and prefetch of at least 1"):
        make(Numbered(), **wrong)


def test_labels_are_those_of_what_is_shown():
    frames = np.zeros((2, 1, 2, 2, 3), np.uint8)
    frames[:, :, :, 0] = 255
    source = ArrayClips(frames, [0, 1], ("Swiping Left", "Swiping Right"))
    source.flips = (1, 0)
    seen = set()
    for batch in (next(loader) for loader in [make(source, 2)] for _ in range(20)):
        mirrored = batch.frames[:, 0, 0, 0, 0] == 0
        np.testing.assert_array_equal(batch.labels, np.where(mirrored, 1 - batch.indices, batch.indices))
        seen |= set(mirrored.tolist())
    assert seen == {True, False}
