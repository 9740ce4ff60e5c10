import numpy as np
import pytest

from envs.clips import VideoFiles
from envs.clips.datasets import find_clips
from envs.clips.loader import Loader
from envs.clips.sampler import ClipSampler
from experiments.bench import dataset

VIDEOS = 40


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Twelve videos really encoded."""
    root = tmp_path_factory.mktemp("something") / "v2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "ENCODED", 12)
        dataset.write_something_v2(root, VIDEOS)
    return root


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(dataset, "BATCH", 4)


def open_files(root, split):
    return VideoFiles(root, split, num_frames=dataset.NUM_FRAMES, size=dataset.HEIGHT)


def test_it_is_read_as_something_v2(root):
    found = {split: find_clips(root, split) for split in ("train", "val", "test")}
    assert {listing.layout for listing in found.values()} == {"something_v2"}
    assert not any(listing.note for listing in found.values())  # each split is itself
    assert [len(listing.paths) for listing in found.values()] == [31, 4, 5]
    assert all(len(listing.classes) == 174 for listing in found.values())
    paths = [path for listing in found.values() for path in listing.paths]
    assert len({(root / path).stat().st_ino for path in paths}) == 12
    assert len(set(paths)) == VIDEOS


def test_shares_are_those_of_the_official_splits():
    split = dataset.split_like_official(220_847)
    official = {"train": 168_913, "validation": 24_777, "test": 27_157}
    assert {name: len(numbers) for name, numbers in split.items()} == pytest.approx(official, rel=0.01)


def test_too_few_videos_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected at least 20 videos for three splits, got 19: give --videos more"):
        dataset.write_something_v2(tmp_path, 19)


def test_decoding_alone_gives_the_frames_of_the_loader(root, small_batches):
    source = open_files(root, "train")
    loader = Loader(source, ClipSampler(len(source), seed=0), dataset.BATCH)
    for _, work in zip(range(2), dataset.training_work(root, source)):
        alone = np.stack([dataset.decode_alone([clip]) for clip in work])
        np.testing.assert_array_equal(next(loader).frames.numpy(), alone)


def test_decoding_alone_gives_the_frames_of_evaluation(root):
    source = open_files(root, "val")
    alone = [dataset.decode_alone([dataset.Work(str(root / name), dataset.evaluated_frames)]) for name in source.names]
    np.testing.assert_array_equal(source.frames(range(len(source))), np.stack(alone))


def test_every_measure_is_a_row(root, small_batches, capsys):
    opened, source = dataset.opening(root)
    rows = [*opened, *dataset.loading(root, source, 0, 2), *dataset.judging(root, 1), dataset.caching(root)]
    assert len(rows) == 7
    assert all(np.isfinite(row.ratio) and row.ratio > 0 for row in rows)
    assert capsys.readouterr().out.count("of decoding alone") == 4


def test_control_a_slow_reader_is_found(root, small_batches, monkeypatch):
    source = open_files(root, "train")
    read = source.draw_part
    monkeypatch.setattr(source, "draw_part", lambda *arguments: (read(*arguments), read(*arguments))[1])
    assert not dataset.loading(root, source, 0, 5)[1].met


def test_processes_decode_every_batch(root, small_batches, monkeypatch):
    seen = []
    monkeypatch.setattr(dataset, "decode_alone", seen.append)
    with dataset.decoders(0) as decode:
        assert decode([["a"], ["b"]]) is None
    assert seen == [["a"], ["b"]]
