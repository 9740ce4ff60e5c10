import json
from pathlib import Path

import pytest

from experiments.config import Train
from experiments.methods import METHODS
from experiments.tuned import FAMILIES, TUNED, UNTUNED, read_tuning, tuned

RESULTS = Path(__file__).parents[2] / "experiments" / "results"


def test_a_variant_is_trained_as_its_family():
    for parent, variants in FAMILIES.items():
        for variant in variants:
            assert tuned(variant, 8) == tuned(parent, 8)


def test_every_name_is_a_method_and_every_setting_an_option():
    named = {
        *(method for methods in TUNED.values() for method in methods),
        *FAMILIES,
        *(variant for variants in FAMILIES.values() for variant in variants),
    }
    assert named <= set(METHODS)
    for settings in (UNTUNED, *(settings for methods in TUNED.values() for settings in methods.values())):
        assert set(settings) <= set(Train.__dataclass_fields__)


@pytest.mark.parametrize(("folder", "group_size"), [("tuning", 8), ("tuning-per-channel", 1)])
def test_they_are_those_that_the_committed_search_chose(folder, group_size):
    found = json.loads((RESULTS / folder / "tuning.json").read_text())
    assert found["config"]["group_size"] == group_size
    assert set(found["chosen"]) == set(TUNED[group_size])
    for method, chosen in found["chosen"].items():
        assert chosen == {option: tuned(method, group_size)[option] for option in chosen}


def test_what_was_not_tuned_at_a_group_size_is_that_of_the_nearest():
    assert tuned("reinforce", 2) == tuned("reinforce", 1)
    assert tuned("reinforce", 4) == tuned("reinforce", 16) == tuned("reinforce", 8)
    assert tuned("rebar", 1) == tuned("rebar", 8)


def test_a_method_of_ones_own_takes_what_nobody_tuned():
    assert tuned("mine", 1) == UNTUNED


def test_what_is_given_stays_and_what_is_left_out_is_settled():
    config = Train(method="static", learning_rate=0.5).settled()
    assert config.learning_rate == 0.5
    assert config.batch_size == tuned("static", 1)["batch_size"]
    assert config.settled() == config


@pytest.mark.parametrize("name", UNTUNED)
def test_a_setting_has_one_owner(name):
    assert Train.__dataclass_fields__[name].default is None


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"chosen": 3}', '{"chosen": {"ppo": 3}}'])
def test_a_file_that_tune_did_not_write_is_refused(tmp_path, content):
    path = tmp_path / "tuning.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"expected a tuning\.json that tune wrote in .*; make one by"):
        read_tuning(path)
