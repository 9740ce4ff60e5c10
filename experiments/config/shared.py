"""Options that several commands have: each is declared here once, and a command's dataclass inherits it.

A command for which another default is right names the field again, behind ``_: KW_ONLY``; its sentence stays the one here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from experiments.config.ranges import AtLeast1, Checked, Cores, Units, Within

T = TypeVar("T")
Device = Literal["auto", "cpu", "cuda"]


def shared_last(options: type[T]) -> type[T]:
    """Order a dataclass's fields, in help and in config.json: first its own, which say what it is about, then each base's."""
    known: dict[str, Any] = vars(options)["__dataclass_fields__"]
    names = [name for kind in options.__mro__ for name in getattr(kind, "__annotations__", ()) if name in known]
    last = list(dict.fromkeys(reversed(names)))[::-1]  # a field that is named again stands where its base has it
    for name in last:
        known[name] = known.pop(name)
    return options


@dataclass(frozen=True, kw_only=True)
class OnDevice(Checked):
    """Computes."""

    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""


@dataclass(frozen=True, kw_only=True)
class Threads(OnDevice):
    """Computes in one process."""

    threads: Cores = 2
    """CPU threads; 0 takes all cores."""


@dataclass(frozen=True, kw_only=True)
class Processes(OnDevice):
    """Computes in several processes."""

    workers: Cores = 0
    """Processes of one thread each, 0 for as many as cores; with CUDA they are dealt out to the GPUs in turn."""


@dataclass(frozen=True, kw_only=True)
class Plugins(Checked):
    """Takes what a user registers: whoever has an option that names such a thing, or takes data of any layout, has this too.

    Whoever gets such options imports the modules before it looks anything up (``experiments.machine.import_plugins``), and
    hands them on with the options, to a worker as to a run's folder: there, too, they are all that is known of a plugin.
    """

    plugin: tuple[str, ...] = ()
    """Python modules to import first, which register backbones, methods, layouts or others of your own."""


@dataclass(frozen=True, kw_only=True)
class Runs(Checked):
    """Takes runs' folders, which may name plugins, and which anybody may have made.

    Who has such options is asked for each plugin that a folder names (``experiments.machine.import_plugins``): importing a
    module runs its code.
    """

    plugin: tuple[str, ...] = ()
    """Python modules to import first: those that the run was made with, and names."""
    trust_run: bool = False
    """Import whatever plugins the run's folder names, without naming them here: for folders of your own."""


@dataclass(frozen=True, kw_only=True)
class Split(Checked):
    """Plays the clips of a split."""

    split: Literal["train", "val", "test"] = "test"
    """Which clips."""


@dataclass(frozen=True, kw_only=True)
class LayoutName:
    """Reads a folder of videos."""

    layout: str | None = None
    """Name of the folder's layout, such as something_v2 or ucf101_2; recognised where it is left out."""


@dataclass(frozen=True, kw_only=True)
class Sources(LayoutName):
    """Reads a folder of videos, some of which may be cut from one source."""

    group_pattern: str | None = None
    """Tells clips of one source by their names, in place of groups.csv (lines "path,group" beside the videos): a regular
    expression whose first parentheses hold the source's name, such as "(.*)_c[0-9]+"."""
    folds: Annotated[int, Within(3, 1000)] | None = None
    """Folds into which sources of class folders are divided, for cross-validation, in place of tenths for test and
    validation."""
    fold: Annotated[int, Within(1, 1000)] | None = None
    """The fold to test on, from 1; the next one is for validation, the others are trained on."""


@dataclass(frozen=True, kw_only=True)
class JsonOutput(Checked):
    """Prints what it found, for people or for programs."""

    json: bool = False
    """Print JSON and nothing else."""


@dataclass(frozen=True, kw_only=True)
class Groups(Checked):
    """Has an agent that decides for groups of channels."""

    group_size: Units = 1
    """Channels that share one decision."""


@dataclass(frozen=True, kw_only=True)
class Gates(Groups):
    """Has gates: the networks that decide."""

    hidden: Units = 32
    """Hidden units of a gate."""
    hidden_quota: AtLeast1 | None = None
    """In place of hidden: hidden units times decisions of a site (AdaFuse: 196608), so that wide sites get few units."""
    gate_norm: Literal["layer", "batch"] = "layer"
    """LayerNorm of a gate's input, or BatchNorm of its hidden units (AdaFuse)."""
    shared_gates: bool = False
    """Gates of equal input and output sizes share their linear layers (AdaFuse's code)."""
