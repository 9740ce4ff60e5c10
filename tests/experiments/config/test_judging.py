from pathlib import Path

import pytest

from experiments.config import Evaluate, Import, Inspect, Probe


@pytest.mark.parametrize("made", [Evaluate(Path("r")), Probe((Path("r"),)), Inspect((Path("r"),))])
def test_what_is_judged_is_judged_on_the_test_split_where_nothing_else_is_said(made):
    assert made.split == "test"


def test_checkpoints_of_adafuse_are_for_larger_frames():
    data = Import(Path("x.pth.tar")).data
    assert (data.size, data.margin) == (224, 32)
