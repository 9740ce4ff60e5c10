import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("backbone", "envs", "agent")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_that_a_package_lists_is_there(package):
    module = importlib.import_module(package)
    assert {name: getattr(module, name) for name in module.__all__}
    assert set(module.__all__) <= set(dir(module))
    everything = {}
    exec(f"from {package} import *", everything)
    assert set(module.__all__) <= set(everything)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_is_not_there_is_missed_as_ever(package):
    module = importlib.import_module(package)
    assert not hasattr(module, "nothing_of_that_name")
    with pytest.raises(ImportError, match="cannot import name 'nothing_of_that_name'"):
        exec(f"from {package} import nothing_of_that_name", {})


def test_naming_a_package_costs_no_torch_and_a_module_of_it_needs_no_import_of_its_own():
    lines = (
        "import sys, backbone, envs, agent, gymnasium",
        "assert 'AdaFuse/Fusion-v0' in gymnasium.registry",
        "assert not {'torch', 'stable_baselines3', 'av', 'matplotlib'} & set(sys.modules)",
        "assert 'resnet_small' in backbone.cnns.BACKBONES",
        "assert envs.spaces.StepLayout is envs.StepLayout",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, check=True)


def test_a_package_lists_its_names_once(tmp_path, monkeypatch):
    package = tmp_path / "lazy_example"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from backbone.common.lazy import lazy_names\n"
        "if TYPE_CHECKING:\n    from lazy_example.first import A, B\n    from lazy_example.broken import C\n"
        "__getattr__, __dir__ = lazy_names(__name__)\n"
    )
    (package / "first.py").write_text("A, B = object(), 2\n")
    (package / "broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    example = importlib.import_module("lazy_example")
    assert "lazy_example.first" not in sys.modules
    assert {"A", "B", "C"} <= set(dir(example))
    assert example.A is example.first.A
    assert "A" in vars(example)  # looked up once
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):  # and not "has no attribute"
        example.C  # noqa: B018
