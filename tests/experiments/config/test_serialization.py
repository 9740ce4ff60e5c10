from dataclasses import replace
from pathlib import Path

import pytest

from experiments import config
from experiments.config import (
    Compare,
    Data,
    Gradients,
    Inspect,
    Pretrain,
    Train,
    Tune,
    from_json,
    to_json,
    with_defaults,
)


@pytest.mark.parametrize(
    "made",
    [
        Train(run=Path("runs/x"), plugin=("a", "b"), data=Data(root=Path("videos"), cache=Path("c"))),
        Train(hidden_quota=196_608, gate_norm="batch", shared_gates=True),
        Train(regime="joint", start=Path("runs/y")),
        Pretrain(weights="w.pth", sites=["layer1.0"]),
        Compare(methods=("ppo",), seeds=(3,)),
        Compare(preset="quick").settled(),
        Tune(cost_weights=(0.5,)),
        Gradients(agent=(Path("runs/a"), Path("runs/b")), backbone=Path("b.pt")),
        Inspect(runs=(Path("runs/a"),), paths=(Path("v.mp4"),)),
        config.Describe("resnet50", sites=("all",)),
    ],
)
def test_a_configuration_survives_json(made):
    again = from_json(type(made), to_json(made))
    assert again == made
    assert to_json(again) == to_json(made)


def test_options_that_are_younger_than_a_file_have_their_defaults():
    content = to_json(Train(seed=3, data=Data(size=64)))
    del content["regime"], content["data"]["flip"]
    assert from_json(Train, content) == Train(seed=3, data=Data(size=64))
    assert with_defaults(Train, content) == to_json(Train(seed=3, data=Data(size=64)))


def test_an_option_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="colour"):
        from_json(Train, {**to_json(Train()), "colour": "red"})


def test_an_older_run_called_rollouts_clips_and_is_still_the_same_run():
    content = to_json(Train(method="ppo").settled())
    old = {"clips" if name == "rollouts" else name: value for name, value in content.items() if name != "n_epochs"}
    assert from_json(Train, old) == replace(Train(method="ppo").settled(), n_epochs=2)
    assert from_json(Pretrain, to_json(Pretrain(clips=7))).clips == 7  # whose clips are clips
