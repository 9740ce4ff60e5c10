"""Whatever stands behind any option of any command: a sentence and an exit code, never a trace.

What is no number in range ends with exit code 2 before anything is imported; other texts go as far as they can in a folder
where nothing is.
"""

import io
import types
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
import tyro
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from experiments.__main__ import COMMANDS, main, parse_command
from experiments.config.ranges import Within

HOSTILE = [
    "0",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "9" * 30,
    "9" * 5000,
    "",
    " ",
    "ünï",
    "日本",
    "\udcff",
    "a\0b",
    "\x1b[2J",
    "..",
    "-",
    "--",
    "(",
    "a" * 300,
]
STANDS_ALONE = {"bench", "doctor", "gradients"}  # what runs without anything to read: parsed here, and no more
RUNNING = sorted(set(COMMANDS) - STANDS_ALONE)


def options_of(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """("--data.size", hint) of every option that takes a value."""
    hints = get_type_hints(kind, include_extras=True)
    for option in fields(kind):
        hint = hints[option.name]
        if is_dataclass(hint):
            yield from options_of(hint, f"{prefix}{option.name}.")
        elif hint is not bool and tyro.conf.Positional not in get_args(hint)[1:]:
            yield f"--{prefix}{option.name}".replace("_", "-"), hint


def range_of(hint: Any) -> tuple[type, Within] | None:
    """The kind and range of an option that takes one number, or several."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        if ranges := [extra for extra in extras if isinstance(extra, Within)]:
            return kind, ranges[0]
        return range_of(kind)
    if get_origin(hint) in (tuple, Union, types.UnionType):
        return range_of(get_args(hint)[0])
    return None


def needed(command: str) -> list[str]:
    """Words without which a command cannot be called, and data that are not there."""
    kind, words = COMMANDS[command].options, []
    hints = get_type_hints(kind, include_extras=True)
    for option in fields(kind):
        positional = tyro.conf.Positional in get_args(hints[option.name])[1:]
        if option.default is MISSING and option.default_factory is MISSING:
            words += ["nowhere"] if positional else [f"--{option.name}", "nowhere"]
    return words + (["--data.root", "nowhere"] if "data" in hints else [])


EVERY = [(command, *option) for command in COMMANDS for option in options_of(COMMANDS[command].options)]
NUMBERS = [(command, name, *found) for command, name, hint in EVERY if name != "--speed" and (found := range_of(hint))]
WORDS = [(command, name) for command, name, hint in EVERY if not range_of(hint) and command in RUNNING]


def is_in_range(text: str, kind: type, within: Within) -> bool:
    try:
        return within.low <= kind(text) <= within.high
    except (ValueError, OverflowError):
        return False


def ends(words: list[str]) -> tuple[int, str]:
    """Exit code and what was said of it, on a standard error as a process has it."""
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    with redirect_stderr(said):
        try:
            code = main(words)
        except SystemExit as leaving:
            code = leaving.code
    return code, said.buffer.getvalue().decode()


NUMERIC = st.sampled_from(HOSTILE) | st.integers().map(str) | st.floats().map(str) | st.text(max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(NUMBERS), NUMERIC)
@example(("train", "--cost-weight", float, Within(0, 10**6)), "-1")
def test_a_number_is_in_its_range_or_refused_with_exit_code_2(option, value):
    command, name, kind, within = option
    words = [command, *needed(command), f"{name}={value}"]
    if is_in_range(value, kind, within):
        parse_command(words)
        return
    code, said = ends(words)
    assert code == 2
    assert name in said
    assert "Traceback" not in said


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(WORDS), st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=30))
@example(("train", "--plugin"), ".")
@example(("check-data", "--group-pattern"), "(")
@example(("pretrain", "--weights"), "\udcff")
@example(("pretrain", "--architecture"), "ünï")
def test_a_text_that_makes_no_sense_ends_in_a_sentence(tmp_path_factory, monkeypatch, option, value):
    command, name = option
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    code, said = ends([command, *needed(command), f"{name}={value}"])
    assert code in (1, 2), said
    assert said.startswith("Error: ") or "For full helptext" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", RUNNING)
@pytest.mark.parametrize("value", ["", "ünï", "a\0b", "\udcff", "a" * 300])
def test_so_does_one_in_the_place_of_each_commands_own(command, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = ends([command, *(value if word == "nowhere" else word for word in needed(command))])
    assert code in (1, 2), said
    assert said.startswith("Error: ") or "For full helptext" in said
