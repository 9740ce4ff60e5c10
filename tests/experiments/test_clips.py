import shutil
from dataclasses import replace

import numpy as np
import pytest

from envs.clips import ClipError, VideoClips, VideoFiles
from experiments.clips import classes_of, expect_classes, open_clips, open_views
from experiments.config import EMBEDDED, QUICK_ROOT, Data


@pytest.fixture
def copied(videos, tmp_path):
    return shutil.copytree(videos, tmp_path / "videos", ignore=shutil.ignore_patterns(".cache"))


def test_the_quick_data_are_generated_in_their_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EMBEDDED, QUICK_ROOT, {"train": 4, "val": 2, "test": 4, "workers": 1})
    assert len(open_clips(Data(root=QUICK_ROOT), "test")) == 4
    assert [folder.name for folder in (tmp_path / "data").iterdir()] == [QUICK_ROOT.name]


def test_clips_are_cached_unless_there_is_to_be_no_cache(copied, capsys):
    plain = open_clips(Data(root=copied, cache_gb=0), "val")
    assert isinstance(plain, VideoFiles)
    assert not (copied / ".cache").exists()
    cached = open_clips(Data(root=copied), "val")
    assert isinstance(cached, VideoClips)
    assert plain.data_hash == cached.data_hash
    np.testing.assert_array_equal(plain.frames([3, 1]), cached.frames([3, 1]))
    assert capsys.readouterr().out == ""


def test_clips_for_which_a_cache_has_no_room_are_read_each_time_and_that_is_said(copied, capsys):
    assert isinstance(open_clips(Data(root=copied, cache_gb=1e-5), "val"), VideoFiles)
    said = capsys.readouterr().out.strip()
    assert said.startswith(
        "No cache of val, its videos are read each time: expected decoded clips to fit into the 1e-05"
    )
    assert "\n" not in said


@pytest.mark.parametrize("cache_gb", [0, 8])
def test_how_clips_are_cut_is_passed_on(copied, cache_gb):
    data = Data(root=copied, cache_gb=cache_gb, size=24, margin=8, num_frames=4, crop="multi_scale", layout="lists")
    clips = open_clips(data, "train")
    assert (clips.size, clips.num_frames, clips.crop) == (24, 4, "multi_scale")
    with pytest.raises(ClipError, match="layout"):
        open_clips(replace(data, layout="no_such"), "train")


@pytest.mark.parametrize("cache_gb", [0, 8])
def test_how_clips_are_divided_is_passed_on(copied, tmp_path, cache_gb):
    for label, split in enumerate(("train", "val")):
        for number, video in enumerate(sorted((copied / split).iterdir())[:6]):
            (tmp_path / "mine" / str(label)).mkdir(parents=True, exist_ok=True)
            shutil.copy(video, tmp_path / "mine" / str(label) / f"s{number // 2}_c{number}.mp4")
    data = Data(root=tmp_path / "mine", cache_gb=cache_gb, group_pattern="(.*)_c", folds=3, fold=2)
    found = [open_clips(data, split) for split in ("train", "val", "test")]
    assert sorted(len(clips) for clips in found) == [4, 4, 4]
    assert open_clips(replace(data, fold=1), "val").names == found[2].names
    assert all((clips.groups == 0).all() for clips in found)
    assert open_views(data, "test", clips=2, crops=1).groups.tolist() == [0] * 8
    assert classes_of(data) == ["0", "1"]
    with pytest.raises(ClipError, match="expected a fold from 1 to 3, got 4"):
        open_clips(replace(data, fold=4), "train")


def test_splits_have_the_same_classes_in_the_same_order(copied):
    clips = open_clips(Data(root=copied, cache_gb=0), "val")
    expect_classes(clips.classes, clips, of="test", split="val")
    for wanted, message in (
        (clips.classes[:-1], "got 8, at odds in 'up-right'"),
        (clips.classes[::-1], "in another order"),
    ):
        with pytest.raises(ClipError, match=message):
            expect_classes(wanted, clips, of="test", split="val")


def test_only_training_flips(copied):
    data = Data(root=copied, flip="swap", cache_gb=0)
    right, left, *_ = open_clips(data, "train").flips
    assert (right, left) == (1, 0)
    assert open_clips(data, "val").flips is None
    assert open_clips(replace(data, flip="off"), "train").flips is None


@pytest.mark.parametrize("cache_gb", [0, 8])
def test_broken_videos_are_left_out_of_evaluation_on_request_only(copied, capsys, cache_gb):
    broken = open_clips(Data(root=copied, cache_gb=0), "test").names[2]
    (copied / broken).write_bytes(b"no video")
    data = Data(root=copied, cache_gb=cache_gb)
    with pytest.raises(ClipError, match=broken):
        open_clips(data, "test").frames(range(16))
    assert len(open_clips(replace(data, skip_broken=True), "test")) == 15
    assert f"Left out: 1 of 16 videos of test cannot be used, the first: {copied / broken}" in capsys.readouterr().out
