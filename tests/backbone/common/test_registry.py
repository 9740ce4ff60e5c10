import copy

import pytest

from backbone.common.registry import Registry


@pytest.fixture
def beasts() -> Registry:
    registry = Registry("beast", hint=" (yours come from the zoo)")

    @registry.register
    def zebra(): ...

    registry.register(len, name="ant")
    return registry


def test_entries_are_found_by_their_own_name_or_a_given_one(beasts):
    assert beasts.find("ant") is len
    assert list(beasts) == ["zebra", "ant"]


def test_register_is_a_decorator_that_leaves_its_function(beasts):
    def gnu(): ...

    assert beasts.register(gnu) is gnu
    assert beasts.find("gnu") is gnu


def test_a_name_is_taken_once(beasts):
    with pytest.raises(ValueError, match="a beast named ant is registered already: choose another name"):
        beasts.register(max, name="ant")
    assert beasts.find("ant") is len


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(beasts):
    expected = "expected a beast among ant, zebra, got 'zebras' (yours come from the zoo): did you mean 'zebra'?"
    assert beasts.unknown("zebras") == expected
    with pytest.raises(ValueError, match="got 'dog'"):
        beasts.find("dog")


def test_a_copy_registers_for_itself(beasts):
    other = copy.copy(beasts)
    other.register(max)
    assert "max" not in beasts
    assert other.unknown("x").startswith("expected a beast among ant, max, zebra, got")
