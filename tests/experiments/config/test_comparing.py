from dataclasses import replace
from pathlib import Path

from experiments.config import COMPARISONS, DEFAULT_ROOT, QUICK_ROOT, Compare, Data, Tune


def test_what_is_left_out_is_the_presets():
    settled = Compare(preset="full", seeds=(7,)).settled()
    assert settled == replace(Compare(preset="full"), **{**COMPARISONS["full"], "seeds": (7,)})


def test_quick_takes_fewer_clips_of_the_embedded_data_and_any_other_folder_as_it_is():
    assert Compare(preset="quick").settled().data.root == QUICK_ROOT
    assert Compare().settled().data.root == DEFAULT_ROOT
    mine = Data(root=Path("mine"))
    assert Compare(preset="quick", data=mine).settled().data == mine


def test_settings_are_tuned_at_groups_and_on_a_seed_that_no_comparison_uses():
    assert Tune().group_size in COMPARISONS["full"]["group_sizes"]
    assert all(Tune().seed not in preset["seeds"] for preset in COMPARISONS.values())
