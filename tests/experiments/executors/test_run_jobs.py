import pytest

from experiments.config import Compare
from experiments.executors.executor import Failed
from experiments.executors.run_jobs import device_of, expect_all, failed_of, run_jobs


def test_an_unknown_executor_is_refused_before_anything_starts():
    with pytest.raises(ValueError, match=r"expected a executor among local, ray, got 'rey'.*ray"):
        run_jobs([], Compare(executor="rey"), title="nothing")


def test_nothing_to_do_starts_nothing():
    assert run_jobs([], Compare(executor="ray"), title="nothing") == []


def test_jobs_that_hold_a_gpu_of_a_cluster_need_none_here():
    assert device_of(Compare(executor="ray", job_gpus=0.5)) == "cuda"
    assert device_of(Compare(executor="ray", job_gpus=0.5, device="cpu")) == "cpu"
    assert device_of(Compare(executor="ray", device="cpu")) == "cpu"


def test_who_needs_every_job_names_those_that_failed():
    expect_all([1, None])
    assert failed_of([1, None]) == []
    with pytest.raises(ValueError, match="runs/a failed 3 times: boom"):
        expect_all([1, Failed("runs/a", 3, ("boom",))])
