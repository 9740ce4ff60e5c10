import subprocess

import pytest
import torch

from experiments import machine
from experiments.machine import provenance, resolve_device, set_up_cpu


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


def test_an_installation_inside_another_repository_does_not_tell_that_ones_commit(tmp_path, monkeypatch):
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "machine.py"))
    assert machine.provenance()["commit"] == "unknown"
