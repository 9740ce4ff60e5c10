"""Names of before 0.2.0."""

import importlib

import pytest

from experiments.config import Train
from experiments.run import Run


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("experiments.runs", "open_clips"),
        ("experiments.runs", "open_views"),
        ("experiments.runs", "provenance"),
        ("experiments.runs", "resolve_device"),
        ("experiments.runs", "set_up_cpu"),
        ("experiments.runs", "import_plugins"),
        ("experiments.train", "load_trained"),
        ("experiments.train", "open_frozen"),
    ],
)
def test_what_has_moved_is_found_where_it_was(module, name):
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} is experiments"):
        assert callable(getattr(importlib.import_module(module), name))


def test_functions_of_a_folder_are_methods_of_a_run(tmp_path):
    runs = importlib.import_module("experiments.runs")
    with pytest.warns(DeprecationWarning, match=r"Run\.begin"):
        runs.open_run(tmp_path, Train(seed=1), resume=False, train="abc")
    with pytest.warns(DeprecationWarning, match=r"Run\.check_same"), pytest.raises(ValueError, match="differs in seed"):
        runs.check_same(tmp_path, Train(seed=2))
    with pytest.warns(DeprecationWarning, match=r"Run\.options"):
        assert runs.read_config(tmp_path) == Run(tmp_path).options()
