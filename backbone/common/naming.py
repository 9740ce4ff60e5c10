"""Names in what is said: those that nobody knows, with the known one that was probably meant, and those that are no text."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

LISTED = 5  # paths at most


def did_you_mean(got: str | Iterable[str], known: Iterable[str]) -> str:
    """``": did you mean 'gumbel'?"``, to end an error's sentence; empty where nothing known is similar.

    :param got: the unknown name, or several; each may get a suggestion
    :param known: names to suggest from
    """
    by_lower = {name.lower(): name for name in known}
    wanted = [got] if isinstance(got, str) else list(got)
    closest = [get_close_matches(name.lower(), by_lower, n=1) for name in wanted]
    found = dict.fromkeys(by_lower[match] for matches in closest for match in matches)  # each once, in order
    return f": did you mean {' and '.join(map(repr, found))}?" if found else ""


def paths_nearby(path: str | Path, holding: str | None = None) -> str:
    """``"; nearby are runs/ppo-w1-s0, ..."``, to end an error about a path that is not there; empty where nothing is.

    These are the similar names in the folder where it should have been, or in the next one above that exists.

    :param holding: a file, such as config.json, whose folders alone are meant. They are looked for in runs/ too, and a few
        are named even if none is similar
    """
    path = Path(path)
    above = next((folder for folder in (path, *path.parents) if folder.is_dir()), Path())
    if holding is None:
        found = list(above.iterdir())
    else:
        places = (above.glob(f"*/{holding}"), Path("runs").glob(f"*/{holding}"), Path("runs").glob(f"*/*/{holding}"))
        found = [match.parent for matches in places for match in matches]
    names = {str(match): match.name for match in sorted(set(found)) if not match.name.startswith(".")}
    alike = get_close_matches(path.name, set(names.values()), n=LISTED, cutoff=0.6 if holding else 0.75)
    chosen = [full for name in alike for full, last in names.items() if last == name]
    if not chosen and holding is not None:
        chosen = list(names)
    more = ", ..." if len(chosen) > LISTED else ""
    return f"; nearby are {', '.join(chosen[:LISTED])}{more}" if chosen else ""


def printable(text: str) -> str:
    """Text for a terminal or a line of a table: what moves a cursor, ends a line, turns writing round or is no text at all
    stands as an escape, such as ``\\x1b``. Names of files may hold all of that."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
