"""Two processes on one file or folder: whoever reads finds something whole, and a run is no two runs."""

import multiprocessing
from pathlib import Path

import pytest
import torch
from campaign_cases import TIMES

from backbone.common.files import load_checkpoint, save_checkpoint
from experiments.config import Train
from experiments.run import Run


def write_often(path: Path, value: int, times: int) -> None:
    for step in range(times):
        save_checkpoint(path, "thing", {"value": value, "step": step}, {"w": torch.full((1000,), float(value))})


def test_two_writers_of_one_checkpoint_leave_one_whole_one_at_every_moment(tmp_path):
    path, processes = tmp_path / "checkpoint.pt", multiprocessing.get_context("fork")
    write_often(path, 0, 1)
    writers = [processes.Process(target=write_often, args=(path, value, 40 * TIMES)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        content, tensors = load_checkpoint(path, "thing")
        assert torch.equal(tensors["w"], torch.full((1000,), float(content["value"])))
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_folder_that_holds_a_run_takes_no_second_one(tmp_path):
    Run(tmp_path).begin(Train(run=tmp_path, seed=1))
    with pytest.raises(ValueError, match="holds a run already"):
        Run(tmp_path).begin(Train(run=tmp_path, seed=1))
    with pytest.raises(ValueError, match="expected"):
        Run(tmp_path).begin(Train(run=tmp_path, seed=2), resume=True)
