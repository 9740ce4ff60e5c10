import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments import machine
from experiments.config import Evaluate
from experiments.machine import import_plugins, provenance, resolve_device, set_up_cpu, trust_runs


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


def test_a_plugin_that_only_a_runs_folder_names_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_a_stranger.py").write_text(f"open({str(tmp_path / 'it ran')!r}, 'w')\n")
    monkeypatch.setattr(machine, "_trusting", False)
    with pytest.raises(
        ValueError, match="expected your word for the plugin of_a_stranger, which the run in theirs names"
    ):
        import_plugins(["of_a_stranger"], named_by=Path("theirs"))
    assert not (tmp_path / "it ran").exists()
    import_plugins(["pytest"], named_by=Path("theirs"))  # which is there already: importing it runs nothing
    trust_runs(Evaluate(Path("theirs"), plugin=("of_a_stranger",)))
    assert (tmp_path / "it ran").exists()
    import_plugins(["of_a_stranger"], named_by=Path("theirs"))
    monkeypatch.delitem(sys.modules, "of_a_stranger")
    trust_runs(Evaluate(Path("theirs"), trust_run=True))
    import_plugins(["of_a_stranger"], named_by=Path("theirs"))
    assert "of_a_stranger" in sys.modules


@pytest.mark.parametrize("name", [".", "a..b", "a/b", "a b", "../a"])
def test_what_is_no_modules_name_is_refused(name):
    with pytest.raises(ValueError, match="expected a Python module for --plugin, such as"):
        import_plugins([name])


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
