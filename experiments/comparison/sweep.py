"""A sweep file: the options of a comparison, and its axes beyond one comparison, in one place that can be kept."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from backbone.common.naming import did_you_mean
from experiments.config import Compare, Data, from_json

AXES = ("backbones", "datasets")  # each combination of theirs is a comparison with a report of its own
NOT_THERE = ("sweep", "plan")


def comparisons(config: Compare) -> list[Compare]:
    """The comparisons that a command line asks for: itself, or those of its sweep file.

    An option that the command line gives too is the command line's. With several backbones or data sets each combination
    is a comparison in a folder of its own, named after them, within --run.

    :raises ValueError: a file that cannot be read, or an option there that is none or has a value of another kind
    """
    if config.sweep is None:
        return [config]
    content = read_sweep(config.sweep)
    axes = {name: content.pop(name, {}) for name in AXES}
    given = {
        option.name: getattr(config, option.name)
        for option in fields(Compare)
        if getattr(config, option.name) != _default(option)
    }
    base = replace(from_json(Compare, content), **given)
    run = base.run or base.settled().run
    found = []
    for named in itertools.product(*(list(axis.items() or {"": None}.items()) for axis in axes.values())):
        words = [word for word, _ in named if word]
        changes: dict[str, Any] = {}
        for (word, value), axis in zip(named, AXES):
            if word and axis == "backbones":
                changes["backbone"] = Path(value)
            elif word:
                shared = content.get("data", {})
                changes["data"] = from_json(Data, {**shared, **value})
        found.append(replace(base, **changes, run=run / "-".join(words) if words else run))
    return found


def read_sweep(path: Path) -> dict[str, Any]:
    """The file's content, every option known and of its kind.

    :raises ValueError: not so
    """
    content = _parse(path)
    for axis in AXES:
        if not isinstance(content.get(axis, {}), Mapping) or (axis in content and not content[axis]):
            raise ValueError(f"expected names and what they stand for under {axis} in {path}, got {content[axis]!r}")
    options = {name: value for name, value in content.items() if name not in AXES}
    _check(Compare, options, path, "", extra=AXES)
    for name, data in content.get("datasets", {}).items():
        if not isinstance(data, Mapping):
            raise ValueError(f"expected options of --data under datasets.{name} in {path}, got {data!r}")
        _check(Data, data, path, f"datasets.{name}.")
    for name, backbone in content.get("backbones", {}).items():
        if not isinstance(backbone, str):
            raise ValueError(f"expected a backbone's file under backbones.{name} in {path}, got {backbone!r}")
    return content


def _parse(path: Path) -> dict[str, Any]:
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise ValueError(f"expected a sweep file .toml or .yaml, got {path}: name it after what it holds")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        import yaml

        content = yaml.safe_load(text)
    except ImportError as error:
        raise ValueError(
            f"expected PyYAML to read {path}, could not import it: pip install 'adafuse-rl[ray]', or write the sweep in TOML"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"expected a sweep file at {path}, could not read it: {error}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"expected a sweep file at {path}, could not read it: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected options and their values in {path}, got {type(content).__name__}")
    return content


def _check(kind: type, content: Mapping[str, Any], path: Path, prefix: str, extra: tuple[str, ...] = ()) -> None:
    hints = get_type_hints(kind)
    known = [option.name for option in fields(kind) if option.name not in NOT_THERE]
    for name, value in content.items():
        if name not in known:
            raise ValueError(
                f"expected options of compare in {path}, got {prefix}{name}{did_you_mean(name, [*known, *extra])}"
            )
        hint = hints[name]
        if is_dataclass(hint) and isinstance(hint, type):
            if not isinstance(value, Mapping):
                raise ValueError(f"expected options under {prefix}{name} in {path}, got {value!r}")
            _check(hint, value, path, f"{prefix}{name}.")
        elif not _fits(hint, value):
            raise ValueError(f"expected {_in_words(hint)} for {prefix}{name} in {path}, got {value!r}")


def _fits(hint: Any, value: Any) -> bool:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return value in kinds
    if get_origin(hint) in (tuple, list):
        return isinstance(value, list) and all(_fits(kinds[0], inner) for inner in value)
    if NoneType in kinds:
        return value is None or any(_fits(kind, value) for kind in kinds if kind is not NoneType)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str if hint is Path else hint)


def _in_words(hint: Any) -> str:
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if get_origin(hint) is Literal:
        return " or ".join(map(str, kinds))
    if get_origin(hint) in (tuple, list):
        return f"a list of {_in_words(kinds[0])}"
    if kinds:
        return _in_words(kinds[0])
    words = {float: "a number", int: "a whole number", str: "a text", bool: "true or false", Path: "a path"}
    return words.get(hint, str(hint))


def _default(option: Any) -> Any:
    return option.default if option.default_factory is MISSING else option.default_factory()
