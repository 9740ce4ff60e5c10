"""How the reference reads this project's docstrings, which say two things that Sphinx's own form does not."""

from __future__ import annotations

import re
from typing import Any

import griffe

SEVERAL = re.compile(r"^( *):param (\w+(?:, \w+)+):(.*(?:\n\1 +.*)*)", re.MULTILINE)


class Docstrings(griffe.Extension):
    """``:param a, b: text`` stands for both names; a named tuple's fields are its parameters."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is None:
            return
        text = SEVERAL.sub(_one_by_one, obj.docstring.value)
        if obj.is_class and any(str(base).endswith("NamedTuple") for base in obj.bases):
            text = text.replace(":param ", ":var ")
        obj.docstring.value = text


def _one_by_one(match: re.Match) -> str:
    space, names, text = match.groups()
    return "\n".join(f"{space}:param {name}:{text}" for name in names.split(", "))
