import ast
import inspect
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest

from experiments import config
from experiments.config import Compare, Data, Pretrain, Train, from_json, to_json

CONFIGS = [kind for _, kind in inspect.getmembers(config, inspect.isclass) if is_dataclass(kind)]


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_field_has_a_sentence_under_it(kind):
    body = ast.parse(inspect.getsource(kind)).body[0].body
    described = {
        node.target.id
        for node, after in pairwise(body)
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    plain = {field.name for field in fields(kind) if not is_dataclass(field.default_factory)}
    assert plain - described <= {"data"}


@pytest.mark.parametrize(
    "made",
    [
        Train(run=Path("runs/x"), plugin=("a", "b"), data=Data(root=Path("videos"), cache=Path("c"))),
        Train(hidden_quota=196_608, gate_norm="batch", shared_gates=True),
        Train(regime="joint", start=Path("runs/y")),
        Pretrain(weights="w.pth", sites=["layer1.0"]),
        Compare(methods=("ppo",), seeds=(3,)),
    ],
)
def test_a_configuration_survives_json(made):
    assert from_json(type(made), to_json(made)) == made


def test_a_run_is_written_where_it_is_told_or_where_its_name_says():
    assert Train(run=Path("x")).folder == Path("x")
    assert Train(method="ppo", cost_weight=0.5, seed=2).folder == Path("runs/ppo-w0.5-s2")


def test_an_older_run_called_rollouts_clips_and_is_still_the_same_run():
    content = to_json(Train(method="ppo").settled())
    old = {"clips" if name == "rollouts" else name: value for name, value in content.items() if name != "n_epochs"}
    assert from_json(Train, old) == replace(Train(method="ppo").settled(), n_epochs=2)
    assert from_json(Pretrain, to_json(Pretrain(clips=7))).clips == 7  # whose clips are clips
