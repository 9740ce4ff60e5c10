"""What machines that share a sweep must have in common: the program, the folder, the data."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.config import EMBEDDED
from experiments.executors.lock import token_of
from experiments.executors.store import url_of
from experiments.machine import provenance


class Unfit(ValueError):
    """A machine cannot take part: no job is tried on it again, since another one would be too many results of two kinds."""


def facts_of_machine() -> dict[str, Any]:
    """Who this machine is, and what program it has."""
    found = provenance()
    program = {"python": found["python"], **found["packages"], "commit": found["commit"]}
    return {"name": platform.node(), "program": program}


def expect_same_program(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """:raises Unfit: another version or commit than the driver's; both are named"""
    odd = [name for name, value in wanted["program"].items() if found["program"].get(name) != value]
    if odd:
        theirs, ours = (", ".join(f"{name} {one['program'].get(name)}" for name in odd) for one in (found, wanted))
        raise Unfit(
            f"expected the same program on every machine, {found['name']} has {theirs} where {wanted['name']} has {ours}: "
            "install the same on both"
        )


def expect_folders(machine: str, working: str, seen: Mapping[str, str | None], data: Sequence[str]) -> None:
    """Stand in the driver's working folder, and look whether what its jobs need is there.

    :param machine: the name of this one
    :param seen: folder that is driven -> the token that its driver wrote there
    :param data: folders of videos
    :raises Unfit: one is missing
    """
    if not Path(working).is_dir():
        raise Unfit(
            f"expected the working folder {working} on every machine, {machine} has none: mount it there, or start from a "
            "folder that all have"
        )
    os.chdir(working)
    for folder, token in seen.items():
        if url_of(Path(folder)) is None and token_of(Path(folder)) != token:
            raise Unfit(
                f"expected a folder for --run that every machine sees, {machine} does not see what was written to {folder}: "
                "name a shared folder, or a URL such as s3://BUCKET/NAME"
            )
    for root in data:
        if Path(root) not in EMBEDDED and not Path(root).exists():
            raise Unfit(
                f"expected the videos in {root} on every machine, {machine} has none there: copy or mount them at that path"
            )
