"""Every option's declaration says what it may be, and is kept to on every way in."""

import inspect
import math
import types
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from experiments import config
from experiments.config import Data, Evaluate, Train, from_json, to_json
from experiments.config.ranges import Checked, Within

CONFIGS = [kind for _, kind in inspect.getmembers(config, inspect.isclass) if is_dataclass(kind)]


def numbers(hint: Any, ranges: tuple[Within, ...] = ()) -> list[tuple[type, tuple[Within, ...]]]:
    """Every int and float in a hint, with the ranges around it."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        return numbers(kind, tuple(extra for extra in extras if isinstance(extra, Within)))
    if get_origin(hint) in (tuple, list, Union, types.UnionType):
        return [found for inner in get_args(hint) for found in numbers(inner)]
    return [(hint, ranges)] if hint in (int, float) else []


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_number_of_every_command_declares_its_range(kind):
    for name, hint in get_type_hints(kind, include_extras=True).items():
        assert all(ranges for _, ranges in numbers(hint)), name


@pytest.mark.parametrize("kind", [kind for kind in CONFIGS if kind is not Data])  # which is part of others
def test_every_command_checks_its_options(kind):
    assert issubclass(kind, Checked)


@dataclass(frozen=True)
class Options(Checked):
    count: Annotated[int, Within(1, 9)] = 1
    weight: Annotated[float, Within(0, 1.5)] = 0
    many: tuple[Annotated[int, Within(0, 3)], ...] = ()
    pair: tuple[Annotated[float, Within(0, 3)], Annotated[float, Within(0, 3)]] = (0, 0)
    maybe: Annotated[int, Within(1, 9)] | None = None
    word: Literal["a", "b"] = "a"
    name: str = "x"
    path: Path = Path("x")
    flag: bool = False
    data: Data = field(default_factory=Data)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 9, "weight": 1.5, "many": (0, 3), "pair": (0, 3), "maybe": 9, "word": "b", "flag": True},
        {"name": "ünï \udcff", "path": Path("a b\n"), "data": Data(size=1)},
    ],
)
def test_what_is_in_range_is_taken_as_it_is(options):
    made = Options(**options)
    assert all(getattr(made, name) == value for name, value in options.items())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"count": 0}, "expected --count from 1 to 9, got 0"),
        ({"count": 10**9000}, "expected --count from 1 to 9, got a number of 29898 bits"),
        ({"word": "c" * 4000}, r"expected --word to be one of a, b, got ccc.*\.\.\. \(4000 characters\)"),
        ({"count": 1.0}, "expected --count to be a whole number, got 1.0"),
        ({"count": True}, "expected --count to be a whole number, got True"),
        ({"count": "1"}, "expected --count to be a whole number, got 1"),
        ({"weight": math.nan}, "expected --weight to be a finite number, got nan"),
        ({"weight": -math.inf}, "expected --weight to be a finite number, got -inf"),
        ({"weight": 1.6}, "expected --weight from 0 to 1.5, got 1.6"),
        ({"many": (1, 4)}, r"expected --many from 0 to 3, got \(1, 4\)"),
        ({"many": 1}, "expected --many to be a list, got 1"),
        ({"pair": (1,)}, "expected --pair to be 2 values"),
        ({"pair": (1, -1)}, "expected --pair from 0 to 3"),
        ({"maybe": 0}, "expected --maybe from 1 to 9, got 0"),
        ({"word": "c"}, "expected --word to be one of a, b, got c"),
        ({"name": ""}, "expected --name to be a text without NUL that is not empty"),
        ({"name": "a\0"}, r"expected --name .*got 'a\\x00'"),
        ({"name": None}, "expected --name to be a text, got None"),
        ({"path": "x"}, "expected --path to be a path, got x"),
        ({"flag": "no"}, "expected --flag to be of type bool, got no"),
        ({"data": Data(num_frames=0)}, "expected --data.num-frames from 1 to 4096, got 0"),
    ],
)
def test_what_is_not_is_refused_in_a_sentence_that_names_it(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        Options(**options)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("name", "value"), [("rollouts", 0), ("cost_weight", "1"), ("plugin", "os"), ("seed", 2.5)])
def test_a_runs_json_is_held_to_the_same(name, value):
    with pytest.raises(ValueError, match=f"expected --{name.replace('_', '-')} "):
        from_json(Train, {**to_json(Train()), name: value})


def test_clips_of_a_video_are_one_or_more():
    with pytest.raises(ValueError, match="expected --clips from 1 to 1e6, got 0"):
        Evaluate(Path("run"), clips=0)
