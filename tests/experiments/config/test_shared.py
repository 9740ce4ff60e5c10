import ast
import inspect
from dataclasses import KW_ONLY, dataclass, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest

from experiments import config
from experiments.__main__ import COMMANDS
from experiments.config import shared
from experiments.config.shared import Plugins, Threads, shared_last

CONFIGS = [kind for _, kind in inspect.getmembers(config, inspect.isclass) if is_dataclass(kind)]
EXPERIMENTS = Path(config.__file__).parents[1]
NAMES = {"architecture", "temporal", "consensus", "layout", "method", "methods", "reward", "more_rewards"}
"""Options that name what a user may have registered."""
BASES = [kind for _, kind in inspect.getmembers(shared, inspect.isclass) if is_dataclass(kind)]


def sentences(kind: type) -> dict[str, str]:
    """Those under the fields that a class itself declares."""
    body = ast.parse(inspect.getsource(kind)).body[0].body
    return {
        node.target.id: after.value.value
        for node, after in pairwise(body)
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_field_has_a_sentence_under_it_here_or_in_a_base(kind):
    described = {name for base in kind.__mro__[:-1] for name in sentences(base)}
    plain = {field.name for field in fields(kind) if not is_dataclass(field.default_factory)}
    assert plain - described <= {"data"}


def test_a_shared_option_is_explained_once():
    declared = {name: sentence for base in BASES for name, sentence in sentences(base).items()}
    for kind in set(CONFIGS) - set(BASES):
        again = sentences(kind).items() & declared.items()
        assert not again, f"{kind.__name__} explains again what it could inherit"


def test_what_a_command_is_about_comes_first_and_a_default_that_is_named_again_holds():
    @shared_last
    @dataclass(frozen=True)
    class Options(Plugins, Threads):
        path: str
        clips: int = 8
        _: KW_ONLY
        threads: int = 1

    assert [field.name for field in fields(Options)] == ["path", "clips", "plugin", "threads", "device"]
    assert Options("a", 2) == Options("a", clips=2, threads=1, device="auto", plugin=())
    assert replace(Options("a"), threads=3).threads == 3


@pytest.mark.parametrize("kind", CONFIGS)
def test_shared_options_have_no_place_in_a_call_but_a_name(kind):
    inherited = {field.name for base in BASES for field in fields(base) if issubclass(kind, base)}
    assert all(field.kw_only for field in fields(kind) if field.name in inherited)


@pytest.mark.parametrize("kind", [command.options for command in COMMANDS.values()])
def test_whoever_names_what_a_user_registers_takes_plugins(kind):
    inner = [field.default_factory for field in fields(kind) if is_dataclass(field.default_factory)]
    named = {field.name for options in (kind, *inner) for field in fields(options)} & NAMES
    assert issubclass(kind, Plugins) == bool(named), named


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.rglob("*.py")), ids=lambda path: str(path.relative_to(EXPERIMENTS)))
def test_whoever_hands_data_on_hands_the_plugins_on(path):
    """A run or a worker knows of a layout, a method, a backbone of a user's own by its configuration alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Pretrain", "Train", "Fixed", "Imported"):
            given = {keyword.arg for keyword in node.keywords}
            assert "data" not in given or "plugin" in given, f"{path}:{node.lineno}"
