"""The command line, derived by tyro from dataclasses: help as a new user needs it, suggestions for what was misspelt."""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, reduce
from itertools import pairwise
from operator import or_
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

import tyro

from backbone.common.naming import did_you_mean, printable

PROGRAM = "adafuse-rl" if Path(sys.argv[0]).stem == "adafuse-rl" else "python -m experiments"
"""How this process was called, and so how what it prints calls it."""


def parse(
    commands: Mapping[str, type],
    arguments: Sequence[str] | None = None,
    *,
    description: str,
    examples: Mapping[str, str],
) -> Any:
    """The options of the command that was asked for, an instance of its dataclass.

    :param commands: name -> dataclass with a sentence under each field
    :param arguments: by default those of this process
    :param examples: name -> a command line that a command's help shows
    :raises SystemExit: 0 after --help; 2 after an explanation of what cannot be parsed, with the likely spelling, or of an
        option that is not what its declaration says
    """
    arguments = sys.argv[1:] if arguments is None else list(map(str, arguments))
    for before, word in pairwise(["", *arguments]):
        if not word or (word.startswith("--") and word.endswith("=")):  # a variable of the shell that is not set
            _refuse(f"expected a value for {word.removesuffix('=') or before or 'the command'}, got an empty one")
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands:
        suggestion = did_you_mean(arguments[0], commands)
        _refuse(f"expected a command among {', '.join(commands)}; got {arguments[0][:80]!r}{suggestion}")
    asked = arguments[0] if arguments and arguments[0] in commands else None
    for name in commands if asked is None else [asked]:
        explain(commands[name])
    texts = {name: " ".join((inspect.getdoc(kind) or "").split()) for name, kind in commands.items()}
    try:
        if asked is not None:  # to read the options of all the others would take its time
            example = f"\n\nExample: {PROGRAM} {examples[asked]}" if asked in examples else ""
            kind: Any = Annotated[commands[asked], tyro.conf.FlagCreatePairsOff]
            return tyro.cli(kind, prog=f"{PROGRAM} {asked}", description=texts[asked] + example, args=arguments[1:])
        kinds: list[Any] = [
            Annotated[kind, tyro.conf.subcommand(name, description=texts[name])] for name, kind in commands.items()
        ]
        every: Any = Annotated[reduce(or_, kinds), tyro.conf.ConsolidateSubcommandArgs]
        return tyro.cli(every, prog=PROGRAM, description=description, args=arguments)
    except SystemExit as leaving:
        if leaving.code and arguments and arguments[0] in commands:
            for option, value in pairwise(word for words in arguments for word in words.split("=", 1)):
                known = choices(commands[arguments[0]]).get(option.removeprefix("--").replace("-", "_"), ())
                if known and value not in known and (suggestion := did_you_mean(value, known)):
                    print(f"{option} {value}{suggestion}", file=sys.stderr)
        raise


def _refuse(sentence: str) -> NoReturn:
    print(f"Error: {printable(sentence)}", file=sys.stderr)
    raise SystemExit(2)


@cache  # once for each
def explain(kind: type) -> None:
    """Annotate a dataclass's fields for tyro.

    Sentences flow over the width there is, where tyro would keep the source's line breaks. An option that is None unless
    given shows what it takes, and its sentence says what happens without it: "(default: None)" would not. Nor is there
    anything to say of a list that is empty unless given.
    """
    hints = get_type_hints(kind, include_extras=True)
    sentences = _sentences(kind)
    for option in fields(kind):
        hint = hints[option.name]
        if is_dataclass(hint) and isinstance(hint, type):
            explain(hint)
            continue
        changes: dict[str, Any] = {"help": sentences[option.name]}
        if option.default is None or option.default == ():
            changes["help_behavior_hint"] = ""
        elif option.default is MISSING and option.default_factory is MISSING:
            changes["help_behavior_hint"] = "(required)"
        if option.default is None and not any(getattr(extra, "metavar", None) for extra in get_args(hint)[1:]):
            changes["metavar"] = _metavar(hint)
        kind.__annotations__[option.name] = Annotated[hint, tyro.conf.arg(**changes)]


@cache
def _sentences(kind: type) -> dict[str, str]:
    """The string that stands under each field, those of base classes too, on one line."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        (tree,) = ast.parse(dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in pairwise(tree.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found


def _metavar(hint: Any) -> str:
    """What an optional option takes: INT, PATH, exact|sampled, FLOAT [FLOAT ...]."""
    if get_origin(hint) is Annotated:
        return _metavar(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return "|".join(_metavar(kind) for kind in get_args(hint) if kind is not types.NoneType)
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        word = _metavar(get_args(hint)[0])
        return f"{word} [{word} ...]"
    return hint.__name__.upper()


def choices(kind: type, prefix: str = "") -> dict[str, tuple[str, ...]]:
    """Options that take one of a few words, "preset" or "data.crop" -> those words."""
    found: dict[str, tuple[str, ...]] = {}
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint) and isinstance(hint, type):
            found |= choices(hint, f"{prefix}{name}.")
        for part in (hint, *get_args(hint)):
            if get_origin(part) is Literal:
                found[prefix + name] = tuple(map(str, get_args(part)))
    return found
