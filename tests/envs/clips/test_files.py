import json
import pickle
import shutil

import numpy as np
import pytest
from layout_cases import frames as folder_of_frames
from layout_cases import write
from video_cases import write as write_any

from envs.clips import ClipError, VideoClips, VideoFiles, VideoViews, files
from envs.clips.sampling import evaluation_indices
from envs.clips.source import BrokenClip
from envs.clips.transforms import cut, evaluation_boxes
from envs.clips.video.decode import decode_frames, write_video
from envs.clips.video.read import open_video

LENGTHS = (40, 8, 20, 12)
CLASSES = "Swiping Left\nSwiping Right\n"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Videos of noise that are wider than they are high, each frame with a grey level of its own."""
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for i, length in enumerate(LENGTHS):
        frames = rng.integers(0, 40, (length, 34, 50, 3)) + 4 * np.arange(length)[:, None, None, None] + 20 + i
        write_video(root / f"{i}.mp4", frames.astype(np.uint8))
    lines = "".join(f"{i}.mp4 {i % 2}\n" for i in range(len(LENGTHS)))
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text(lines)
    (root / "classes.txt").write_text(CLASSES)
    (root / "dataset.json").write_text(json.dumps({"reversed_class": [1, 0], "paired": ["val"]}))
    return root


@pytest.fixture
def root(videos, tmp_path):
    return shutil.copytree(videos, tmp_path / "root")


@pytest.mark.parametrize("sampling", [{}, {"size": 24}, {"size": 24, "margin": 5}, {"num_frames": 3, "margin": 2}])
def test_evaluation_gives_the_frames_of_the_cache_bit_for_bit(root, sampling):
    files, cached = VideoFiles(root, "val", **sampling), VideoClips(root, "val", **sampling)
    np.testing.assert_array_equal(files.frames([2, 0, 1, 3]), cached.frames([2, 0, 1, 3]))
    np.testing.assert_array_equal(files.frames([2], None), files.frames([2]))
    for name in ("classes", "names", "reversed_class", "note", "skipped", "data_hash", "num_frames", "size"):
        assert getattr(files, name) == getattr(cached, name), name
    for name in ("labels", "reversals"):
        np.testing.assert_array_equal(getattr(files, name), getattr(cached, name))
    assert [path.name for path in root.iterdir() if path.is_dir()] == [".cache"]  # that of the other


@pytest.mark.parametrize("pixels", ["square", "stored"])
def test_pixels_that_are_not_square_are_made_so_before_the_crop_or_left(tmp_path, pixels):
    write_any(tmp_path / "0.mp4", 9, aspect="2:1")  # 48 x 64 stored, 48 x 128 shown
    write(tmp_path, {"train.txt": "0.mp4 0\n", "val.txt": "0.mp4 0\n", "classes.txt": "one\n"})
    stored = open_video(tmp_path / "0.mp4", square=False)
    assert stored.frames([0], size=24).shape == (1, 24, 32, 3)
    shown = open_video(tmp_path / "0.mp4").frames(range(9), size=24)
    assert shown.shape == (9, 24, 64, 3)
    expected = (shown[:, :, 20:44] if pixels == "square" else stored.frames(range(9), size=24)[:, :, 4:28])[:8]
    options = {"num_frames": 9, "size": 24, "pixels": pixels}
    for source in (VideoFiles(tmp_path, "val", **options), VideoClips(tmp_path, "val", **options)):
        np.testing.assert_array_equal(source.frames([0])[0, :8], expected)
    assert VideoClips(tmp_path, "val", **options).data_hash == VideoFiles(tmp_path, "val", **options).data_hash


def test_nothing_is_written(root):
    before = sorted(path.name for path in root.iterdir())
    VideoFiles(root, "val").frames([0])
    assert sorted(path.name for path in root.iterdir()) == before


def test_training_draws_among_all_frames(root):
    source = VideoFiles(root, "train", num_frames=4, size=34)
    levels = [source.frames([0], np.random.default_rng(seed))[0].mean((1, 2, 3)) for seed in range(150)]
    assert len({round(value) for value in np.ravel(levels)}) > 36  # of 40; a cache keeps 16
    assert all((np.diff(level) > 0).all() for level in levels)
    again = source.frames([0], np.random.default_rng(0))[0].mean((1, 2, 3))
    np.testing.assert_array_equal(levels[0], again)
    assert source.data_hash != VideoClips(root, "train", num_frames=4, size=34).data_hash


@pytest.mark.parametrize("crop", ["random", "multi_scale"])
def test_what_a_clip_draws_depends_on_its_row_only(root, crop):
    source = VideoFiles(root, "train", num_frames=4, size=20, margin=6, crop=crop)
    one, other = (source.frames(indices, np.random.default_rng(0)) for indices in ([0, 1, 2], [0, 3, 2]))
    np.testing.assert_array_equal(one[[0, 2]], other[[0, 2]])
    assert (one[1] != other[1]).any()


def test_the_margin_lets_training_crop_at_random(root):
    source = VideoFiles(root, "train", num_frames=8, size=24, margin=10)
    corners = {source.frames([1], np.random.default_rng(seed))[0, 0, 0, 0].tobytes() for seed in range(60)}
    assert len(corners) > 30
    whole = decode_frames(root / "1.mp4", num_frames=8, size=34)
    np.testing.assert_array_equal(source.frames([1])[0], whole[:, 5:29, 5:29])


def test_the_multi_scale_crop_is_of_training_only_and_sees_the_whole_frame(root):
    columns = np.broadcast_to((np.arange(50) * 5).astype(np.uint8)[None, None, :, None], (8, 34, 50, 3))
    write_video(root / "1.mp4", columns)
    plain, scaled = (VideoFiles(root, "train", size=24, margin=10, crop=crop) for crop in ("random", "multi_scale"))
    np.testing.assert_array_equal(plain.frames([1]), scaled.frames([1]))
    drawn = [[s.frames([1], np.random.default_rng(i))[0] for i in range(40)] for s in (plain, scaled)]
    assert {clip.shape for clips in drawn for clip in clips} == {(8, 24, 24, 3)}
    left = [[round(float(clip[..., 0, :].mean()) / 5) for clip in clips] for clips in drawn]
    assert (min(left[0]), min(left[1])) == (8, 0)  # the middle square begins at column 8


def test_draw_flips_and_tells_what_is_shown_then(root):
    source = VideoFiles(root, "train", num_frames=8, size=34)
    assert source.flips is None
    plain = source.frames([1, 1, 1, 1, 1, 1], np.random.default_rng(0))
    source.flips = (1, 0)
    frames, labels = source.draw([1] * 6, np.random.default_rng(0))
    mirrored = labels == 0
    assert 0 < mirrored.sum() < 6
    np.testing.assert_array_equal(frames[mirrored], plain[mirrored][:, :, :, ::-1])
    np.testing.assert_array_equal(frames[~mirrored], plain[~mirrored])
    np.testing.assert_array_equal(source.draw([0, 1])[1], [0, 1])
    np.testing.assert_array_equal(source.draw([0, 1])[0], source.frames([0, 1]))
    np.testing.assert_array_equal(source.labels, [0, 1, 0, 1])


def test_a_broken_video_is_told_when_it_is_read(root):
    (root / "2.mp4").write_bytes(b"no video")
    source = VideoFiles(root, "val")
    assert len(source) == 4
    assert source.skipped == []
    source.frames([0, 1, 3])
    with pytest.raises(BrokenClip, match=r"2\.mp4: expected") as caught:
        source.frames([3, 2])
    assert caught.value.clip == 2
    with pytest.raises(BrokenClip, match=r"2\.mp4: expected") as caught:
        source.subset([3, 2, 0]).frames([0, 1])
    assert caught.value.clip == 1
    with pytest.raises(BrokenClip, match="at least 13 frames, but 12"):
        VideoFiles(root, "val", num_frames=13).frames([3])


@pytest.mark.parametrize("workers", [1, 3])
def test_checked_broken_videos_are_named_and_left_out(root, workers):
    (root / "0.mp4").write_bytes(b"no video")
    (root / "3.mp4").unlink()
    source, cached = VideoFiles(root, "val", check=True, workers=workers), VideoClips(root, "val")
    assert source.names == ["1.mp4", "2.mp4"]
    np.testing.assert_array_equal(source.labels, [1, 0])
    np.testing.assert_array_equal(source.reversals, [-1, -1])
    assert [name in text for name, text in zip(("0.mp4", "3.mp4"), source.skipped, strict=True)] == [True, True]
    np.testing.assert_array_equal(source.frames([0, 1]), cached.frames([0, 1]))
    assert VideoFiles(root, "train", check=False).skipped == []


def test_nothing_left_is_an_error(root):
    for i in range(4):
        (root / f"{i}.mp4").unlink()
    with pytest.raises(ClipError, match="none of 4 can"):
        VideoFiles(root, "val", check=True)


def test_folders_of_pictures_are_read_with_and_without_a_cache(tmp_path):
    for name, count, shade in (("a", 12, 0), ("b", 9, 100)):
        folder_of_frames(tmp_path, name, count, shade=shade)
    (tmp_path / "b" / "00009.jpg").unlink()
    lists = {f"{split}_videofolder.txt": "a 12 0\nb 8 1\n" for split in ("train", "val")}
    write(tmp_path, {**lists, "category.txt": CLASSES})
    files, cached = VideoFiles(tmp_path, "val", size=16), VideoClips(tmp_path, "val", size=16)
    np.testing.assert_array_equal(files.frames([0, 1]), cached.frames([0, 1]))
    assert files.frames([1])[0].mean((1, 2, 3)).round().tolist() == [100.0 + i for i in range(1, 9)]
    assert files.data_hash == cached.data_hash


def test_another_process_gets_the_list_not_the_videos(root):
    source = VideoFiles(root, "val")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).frames([2]), source.frames([2]))


def test_the_missing_test_split_is_noted(root):
    assert "val" in VideoFiles(root, "test").note


@pytest.mark.parametrize(
    "wrong", [{"num_frames": 0}, {"margin": -1}, {"workers": 0}, {"crop": "corner"}, {"pixels": "round"}]
)
def test_arguments_that_cannot_be(root, wrong):
    with pytest.raises(ValueError, match="expected"):
        VideoFiles(root, "val", **wrong)


# -- several views of a video ----------------------------------------------------------------------------------------


def test_a_single_view_is_what_evaluation_sees(videos):
    plain = VideoFiles(videos, "val", num_frames=4, size=24, margin=8)
    views = VideoViews(videos, "val", num_frames=4, size=24, margin=8)
    assert views.names == [f"{name}, view 0" for name in plain.names]
    np.testing.assert_array_equal(views.frames([0, 3]), plain.frames([0, 3]))


def test_views_take_other_frames_and_other_crops(videos):
    views = VideoViews(videos, "val", num_frames=3, size=24, margin=8, clips=2, crops=3)
    plain = VideoFiles(videos, "val", num_frames=3, size=24, margin=8)
    assert len(views) == 6 * len(plain)
    assert views.reversals is None
    np.testing.assert_array_equal(views.labels, plain.labels.repeat(6))
    found = views.frames(np.arange(6, 12))  # of video 1: clip by clip, crop by crop
    np.testing.assert_array_equal(found[1], plain.frames([1])[0])  # the middle crop of the first clip
    assert len({image.tobytes() for image in found}) == 6


def test_crops_of_the_same_frames_are_read_once(videos, monkeypatch):
    opened = []
    monkeypatch.setattr(files, "open_video", lambda **where: opened.append(where) or open_video(**where))
    views = VideoViews(videos, "val", num_frames=3, size=24, margin=8, clips=2, crops=3)
    at_once = views.frames(np.arange(len(views)))
    assert len(opened) == 2 * len(LENGTHS)
    for view in reversed(range(len(views))):  # in any order the same
        np.testing.assert_array_equal(views.frames([view])[0], at_once[view])


def test_views_are_evaluations_frames_with_evaluations_crops(videos):
    how = {"clips": 2, "sampling": "dense"}
    views = VideoViews(videos, "val", num_frames=5, size=24, margin=8, clips=2, crops=3, sampling="dense")
    for video in range(2):
        indices = evaluation_indices(LENGTHS[video], 5, **how)
        whole = [open_video(videos / f"{video}.mp4").frames(choice, size=32) for choice in indices]
        boxes = evaluation_boxes(*whole[0].shape[1:3], 24, 3)
        expected = [cut(images, box) for images in whole for box in boxes]
        np.testing.assert_array_equal(views.frames(6 * video + np.arange(6)), expected)


def test_views_that_cannot_be_are_refused(videos):
    with pytest.raises(ValueError, match="at least 1 clip and 1 or 3 crops of a video, got 1 and 2"):
        VideoViews(videos, "val", crops=2)


@pytest.mark.parametrize("rng", [None, 0])
def test_dense_windows_and_repeated_frames_make_clips_of_short_videos(videos, rng):
    """Video 1 has 8 frames."""

    def drawn():
        return None if rng is None else np.random.default_rng(rng)

    with pytest.raises(ClipError, match="at least 12 frames"):
        VideoFiles(videos, "val", num_frames=12).frames([1])
    repeated = VideoFiles(videos, "val", num_frames=12, short="repeat").frames([1], drawn())
    assert repeated.shape[1] == 12
    assert len({image.tobytes() for image in repeated[0]}) == 8
    dense = VideoFiles(videos, "val", num_frames=12, sampling="dense").frames([1], drawn())
    assert dense.shape[1] == 12


def test_unusual_sampling_is_told_by_the_hash(videos):
    hashes = {
        VideoFiles(videos, "val", **kind).data_hash
        for kind in ({}, {"short": "repeat"}, {"sampling": "dense"}, {"pixels": "stored"})
    }
    assert len(hashes) == 4
