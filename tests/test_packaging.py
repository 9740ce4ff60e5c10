"""What pip installs: a wheel of the four packages and nothing else, whose ranges hold what requirements*.txt pins."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from backbone.sparse.build import COMMON, FLAGS

ROOT = Path(__file__).parent.parent
PACKAGES = ("backbone", "envs", "agent", "experiments")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SETS = {  # pins, and the ranges that must hold them
    "requirements.txt": PROJECT["dependencies"],
    "requirements-dev.txt": PROJECT["optional-dependencies"]["dev"],
    "requirements-browser.txt": PROJECT["optional-dependencies"]["browser"],
    "requirements-docs.txt": PROJECT["optional-dependencies"]["docs"],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built of a copy, since the build leaves folders beside the source."""
    place = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "results")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / "source" / package, ignore=ignored)
    (place / "source" / "experiments" / "results").mkdir()
    (place / "source" / "experiments" / "results" / "results.json").write_text("{}")
    (place / "source" / "tests").mkdir()
    (place / "source" / "tests" / "test_nothing.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / "source")
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", place]
    without = {
        **os.environ,
        "CC": "no-such-compiler",
        "CXX": "no-such-compiler",
    }  # the kernels are optional, and slow to build
    subprocess.run([sys.executable, *map(str, build), str(place / "source")], check=True, cwd=place, env=without)
    (built,) = place.glob("adafuse_rl-*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_every_module_its_typing_and_nothing_else(wheel):
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert inside == modules | {f"{package}/py.typed" for package in PACKAGES} | {"backbone/sparse/kernels.cpp"}


def test_the_wheel_brings_the_command_and_its_licence(wheel):
    texts = {name.rpartition("/")[2]: wheel.read(name) for name in wheel.namelist() if ".dist-info/" in name}
    assert texts["entry_points.txt"].decode().split() == [
        "[console_scripts]", "adafuse-rl", "=", "experiments.__main__:adafuse_rl",
    ]  # fmt: skip
    assert "LICENSE" in texts
    facts = message_from_bytes(texts["METADATA"])
    assert (facts["Name"], facts["Version"]) == ("adafuse-rl", PROJECT["version"])
    assert set(facts.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("pins", SETS)
def test_what_is_pinned_is_what_the_ranges_hold(pins):
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / pins).read_text(), flags=re.MULTILINE))
    ranges = {requirement.name: requirement for requirement in map(Requirement, SETS[pins])}
    assert set(ranges) == set(pinned)
    assert not {name: pin for name, pin in pinned.items() if not ranges[name].specifier.contains(pin)}


def test_nothing_is_imported_that_is_not_declared():
    """By its top-level name; of what is imported where it is used, too."""
    declared = {Requirement(line).name.lower().replace("-", "_") for line in PROJECT["dependencies"]}
    providers = metadata.packages_distributions()
    imports = r"^\s*(?:from|import) (\w+)"
    found = {
        name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(imports, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    } - {*PACKAGES, *sys.stdlib_module_names}
    found = {name for name in found if name in providers}  # and not a word that begins a line of a docstring
    undeclared = {name for name in found if not {one.lower().replace("-", "_") for one in providers[name]} & declared}
    assert not undeclared


def test_the_lock_has_what_is_pinned_and_all_that_it_needs_each_with_its_hash():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^(\S+)==(\S+) \\\n    --hash=sha256:([0-9a-f]{64})$", text, re.MULTILINE)
    locked = {name: version.partition("+")[0] for name, version, _ in entries}
    assert sum(not line.startswith("#") for line in text.splitlines()) == 2 * len(entries)
    assert list(locked) == sorted(locked)
    pinned = re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(pinned).items() <= locked.items()
    for name in locked:
        needs = [Requirement(text) for text in metadata.requires(name) or ()]
        needed = {canonicalize_name(need.name) for need in needs if need.marker is None or need.marker.evaluate()}
        assert needed <= locked.keys(), name


def test_kernels_are_built_as_they_are_on_first_use():
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["ext-modules"]
    flags = {part["name"].rpartition("_kernels_")[2]: part["extra-compile-args"] for part in built}
    shared = [flag for flag in COMMON if flag not in ("-fPIC", "-shared")]
    assert flags == {kind: [*shared, *own] for kind, own in FLAGS.items()}
    assert all(part["optional"] for part in built)
