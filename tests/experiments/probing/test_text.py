import re

import pytest

from experiments.analysis.statistics import CLIPS, Interval
from experiments.probing.text import NO_BLIND, aligned, describe_blind

ACCURACY, LEAD = Interval(90.0, 88.0, 92.0, CLIPS), Interval(4.0, 1.0, 7.0, CLIPS)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, NO_BLIND),
        ({"reached": "none", "accuracy": None, "lead": None}, "none is as cheap"),
        ({"reached": "bound", "accuracy": ACCURACY, "lead": None}, "at least 90.0 [88.0, 92.0]ᶜ %, reached at 0.300"),
        ({"reached": "cost", "accuracy": ACCURACY, "lead": LEAD}, "the agent minus that: +4.0 [+1.0, +7.0]ᶜ points"),
    ],
)
def test_the_best_blind_policy_is_said_as_it_is_known(found, said):
    text = describe_blind(found and {"policies": 15, "end": 0.3, **found})
    assert said in text
    assert ("minus" in text) == (said.startswith("the agent minus"))
    assert found is None or "15 learned blind policies" in text


def test_tables_are_aligned():
    rows = aligned(["a", "bb"], [["long", "1"], ["x", "22"]])
    assert len({len(row) for row in rows}) == 1
    assert all(re.match(r"  \S", row) for row in rows)
