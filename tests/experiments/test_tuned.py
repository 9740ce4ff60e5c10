import json
from pathlib import Path

import pytest

from experiments.config import Train
from experiments.methods import METHODS
from experiments.tuned import FAMILIES, TUNED, UNTUNED, tuned


def test_a_variant_is_trained_as_its_family():
    for parent, variants in FAMILIES.items():
        for variant in variants:
            assert tuned(variant) == tuned(parent)


def test_every_name_is_a_method_and_every_setting_an_option():
    named = {*TUNED, *FAMILIES, *(variant for variants in FAMILIES.values() for variant in variants)}
    assert named <= set(METHODS)
    for settings in (UNTUNED, *TUNED.values()):
        assert set(settings) <= set(Train.__dataclass_fields__)


def test_they_are_those_that_the_committed_search_chose():
    committed = Path(__file__).parents[2] / "experiments" / "results" / "tuning" / "tuning.json"
    for method, chosen in json.loads(committed.read_text())["chosen"].items():
        assert chosen == {option: tuned(method)[option] for option in chosen}


def test_a_method_of_ones_own_takes_what_nobody_tuned():
    assert tuned("mine") == UNTUNED


def test_what_is_given_stays_and_what_is_left_out_is_settled():
    config = Train(method="static", learning_rate=0.5).settled()
    assert config.learning_rate == 0.5
    assert config.batch_size == tuned("static")["batch_size"]
    assert config.settled() == config


@pytest.mark.parametrize("name", UNTUNED)
def test_a_setting_has_one_owner(name):
    assert Train.__dataclass_fields__[name].default is None
