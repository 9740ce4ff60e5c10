import pytest

from backbone.common.deprecation import moved_names


def test_a_moved_name_works_and_says_where_it_is():
    look_up = moved_names("here", {"old": "backbone.common.naming.did_you_mean"})
    with pytest.warns(DeprecationWarning, match=r"^here.old is backbone.common.naming.did_you_mean now$"):
        assert look_up("old")("a", ["a"]) == ": did you mean 'a'?"


def test_any_other_name_is_missing_as_usual():
    with pytest.raises(AttributeError, match="module 'here' has no attribute 'new'"):
        moved_names("here", {})("new")
