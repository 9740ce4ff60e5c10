import json
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.config import Train, to_json
from experiments.runs import open_logger, open_run, provenance, read_config, resolve_device, set_up_cpu


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
    with pytest.raises(ValueError, match="differs in clips, seed"):
        open_run(tmp_path, Train(clips=1, seed=1), resume=True)


def test_nothing_to_resume_is_said_plainly(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        open_run(tmp_path / "none", Train(), resume=True)
    with pytest.raises(ValueError, match=r"config\.json"):
        read_config(tmp_path / "none")


def test_a_resumed_board_drops_what_lies_beyond_the_checkpoint(tmp_path):
    for from_clips, steps in ((0, (10, 20, 30)), (20, (25, 35))):
        time.sleep(1.1 if from_clips else 0)  # TensorBoard orders files by the second in their names
        logger = open_logger(tmp_path, from_clips=from_clips)
        for step in steps:
            logger.record("a/b", step)
            logger.dump(step)
        logger.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("a/b")] == [10, 20, 25, 35]


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
