"""Options as JSON and back: config.json of a run's folder, also one that an older version wrote."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json(options: Any) -> dict[str, Any]:
    """A dataclass of options as JSON, paths as strings, tuples as lists."""
    return {name: _plain(value) for name, value in asdict(options).items()}


def from_json(kind: type[T], content: dict[str, Any]) -> T:
    """The options that ``to_json`` wrote; those that are younger have their defaults.

    :raises TypeError: an option that ``kind`` does not have
    """
    hints = get_type_hints(kind)
    return kind(**{name: _typed(hints.get(name, Any), value) for name, value in _renamed(kind, content).items()})


def with_defaults(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    """What ``to_json`` wrote, with the options that are younger at their defaults."""
    filled = _renamed(kind, content)
    for option in fields(kind):
        default = option.default if option.default_factory is MISSING else option.default_factory()
        if is_dataclass(default):
            filled[option.name] = with_defaults(type(default), content.get(option.name, {}))
        elif default is not MISSING:
            filled.setdefault(option.name, _plain(default))
    return filled


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _typed(hint: Any, value: Any) -> Any:
    """The value of that type which JSON stored: JSON knows neither paths nor tuples nor dataclasses. What does not fit stays as
    it is, and is refused by who is made of it."""
    if value is None:
        return None
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if get_origin(hint) in (tuple, list) and not isinstance(value, list):
        return value
    if get_origin(hint) is tuple:
        return tuple(_typed(kinds[0], inner) for inner in value)
    if get_origin(hint) is list:
        return [_typed(kinds[0], inner) for inner in value]
    if NoneType in get_args(hint):
        return _typed(kinds[0], value)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return from_json(hint, value)
    return Path(value) if hint is Path and isinstance(value, str) else value


def _renamed(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    """Older runs called rollouts clips, and had two epochs of ppo that could not be set; their statistics were frozen."""
    names = {option.name for option in fields(kind)}
    if "statistics" in names:
        content = {"statistics": "frozen", **content}
    if "clips" not in content or "rollouts" not in names:
        return dict(content)
    known = {"rollouts" if name == "clips" else name: value for name, value in content.items()}
    return {**known, "n_epochs": 2} if "n_epochs" in names else known
