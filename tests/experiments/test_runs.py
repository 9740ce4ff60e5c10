import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from envs.clips import ClipError, VideoClips, VideoFiles
from experiments.board import open_logger
from experiments.config import EMBEDDED, QUICK_ROOT, Data, Train, to_json
from experiments.runs import open_clips, open_run, provenance, read_config, resolve_device, set_up_cpu


def test_a_run_keeps_its_configuration_versions_commit_and_data(tmp_path):
    open_run(tmp_path / "run", Train(seed=7), resume=False, train="abc")
    kept = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert read_config(tmp_path / "run") == to_json(Train(seed=7))
    assert kept["data"] == {"train": "abc"}
    assert (
        kept["packages"]["torch"] == torch.__version__.split("+")[0] or kept["packages"]["torch"] == torch.__version__
    )
    assert set(kept) == {"python", "packages", "machine", "commit", "data"}


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    open_run(tmp_path, Train(), resume=False)
    with pytest.raises(ValueError, match="holds a run already"):
        open_run(tmp_path, Train(), resume=False)


def test_a_run_is_not_resumed_with_other_options(tmp_path):
    open_run(tmp_path, Train(), resume=False)
    open_run(tmp_path, Train(run=tmp_path), resume=True)  # where it lies is no option
    with pytest.raises(ValueError, match="differs in rollouts, seed"):
        open_run(tmp_path, Train(rollouts=1, seed=1), resume=True)


def test_an_option_younger_than_the_run_had_its_default(tmp_path):
    open_run(tmp_path, Train(), resume=False)
    config = read_config(tmp_path)
    del config["gate_norm"], config["data"]["flip"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    open_run(tmp_path, Train(), resume=True)
    with pytest.raises(ValueError, match="differs in data, gate_norm"):
        open_run(tmp_path, Train(gate_norm="batch", data=Data(flip="skip")), resume=True)


def test_nothing_to_resume_is_said_plainly(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        open_run(tmp_path / "none", Train(), resume=True)
    with pytest.raises(ValueError, match=r"config\.json"):
        read_config(tmp_path / "none")


def test_a_resumed_board_drops_what_lies_beyond_the_checkpoint(tmp_path):
    for from_rollouts, steps in ((0, (10, 20, 30)), (20, (25, 35))):
        time.sleep(1.1 if from_rollouts else 0)  # TensorBoard orders files by the second in their names
        logger = open_logger(tmp_path, from_rollouts=from_rollouts)
        for step in steps:
            logger.record("a/b", step)
            logger.dump(step)
        logger.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("a/b")] == [10, 20, 25, 35]


# -- clips -----------------------------------------------------------------------------------------------------------


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


def test_an_absent_cuda_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="--device cpu"):
        resolve_device("cuda")


def test_cpu_threads_are_set_and_zero_leaves_them():
    before = torch.get_num_threads()
    set_up_cpu(1)
    set_up_cpu(0)
    assert torch.get_num_threads() == 1
    set_up_cpu(before)


def test_provenance_names_every_package_the_project_stands_on():
    assert set(provenance()["packages"]) == {"torch", "gymnasium", "stable-baselines3", "numpy", "tensorboard", "av"}
