"""The former names of what is in envs/spaces.py."""

import importlib

import pytest

import envs
from envs import layout, spaces


@pytest.mark.parametrize(("old", "new"), [("Layout", "StepLayout"), ("Rows", "Rows"), ("ORDERS", "ORDERS")])
def test_a_former_name_goes_on_with_a_warning(old, new):
    with pytest.warns(DeprecationWarning, match=f"envs.spaces.{new} now"):
        assert getattr(layout, old) is getattr(spaces, new)


def test_the_package_gives_its_former_name_too():
    with pytest.warns(DeprecationWarning, match="envs.spaces.StepLayout now"):
        assert envs.Layout is spaces.StepLayout


@pytest.mark.parametrize("module", ["envs", "envs.layout"])
def test_other_names_are_unknown(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'Layouts'"):
        importlib.import_module(module).Layouts  # noqa: B018
