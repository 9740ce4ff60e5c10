from dataclasses import fields

import pytest

from experiments.config import COMPARISONS, Compare


@pytest.mark.parametrize("preset", COMPARISONS)
def test_a_preset_says_all_that_is_left_out(preset):
    left_out = {option.name for option in fields(Compare) if option.default is None}
    assert set(COMPARISONS[preset]) == left_out - {"backbone", "tuning", "sweep"}  # without which there are others
