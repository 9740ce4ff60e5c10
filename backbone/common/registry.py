"""Things by name: what a new file or a user's plugin adds to without any other file being touched."""

from __future__ import annotations

from typing import TypeVar

from backbone.common.naming import did_you_mean

T = TypeVar("T")


class Registry(dict[str, T]):
    """A dict from names to what they stand for, which refuses to record a name twice.

    :param noun: what is registered, for errors: "backbone" makes "expected a backbone among ..."
    :param hint: said behind an unknown name: where one of the user's own would come from
    """

    def __init__(self, noun: str, hint: str = "") -> None:
        super().__init__()
        self.noun, self.hint = noun, hint

    def register(self, entry: T, name: str | None = None) -> T:
        """Record an entry and return it, so that this is a decorator.

        :param name: None takes the ``__name__`` of a function or class
        :raises ValueError: the name is taken
        """
        name = entry.__name__ if name is None else name  # type: ignore[attr-defined]  # who has none gives a name
        if name in self:
            raise ValueError(f"a {self.noun} named {name} is registered already: choose another name")
        self[name] = entry
        return entry

    def find(self, name: str) -> T:
        """:raises ValueError: an unknown name; the message is that of ``unknown``"""
        if name not in self:
            raise ValueError(self.unknown(name))
        return self[name]

    def unknown(self, name: str) -> str:
        """What to say of an unknown name: the known ones, and which of them it was probably meant to be."""
        return (
            f"expected a {self.noun} among {', '.join(sorted(self))}, got {name!r}{self.hint}{did_you_mean(name, self)}"
        )
