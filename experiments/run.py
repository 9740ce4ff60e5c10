"""A run's folder: every file in it by its name, what kind of run it holds, and what the run has come to.

Nobody else names these files. What kind of run a folder holds stands in its manifest, config.json; the name of the folder
means nothing. Folders of earlier versions, whose manifests say less, are read as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, overload

import numpy as np

from agent.callbacks.evaluations import read_curve
from backbone.common.files import write_arrays, write_json
from backbone.common.naming import paths_nearby
from experiments.config import Data, Device, Pretrain, Train, from_json, to_json, with_defaults
from experiments.config.ranges import AtLeast1, Checked, Cores, Seed, Units
from experiments.config.shared import Executed
from experiments.judgement import Judgement
from experiments.machine import provenance


class Kind(StrEnum):
    """What a folder holds."""

    PRETRAINED = "pretrained"  # a backbone
    TRAINED = "trained"  # an agent, finished or not
    FIXED = "fixed"  # judgements of fixed policies
    IMPORTED = "imported"  # an agent that was trained elsewhere


@dataclass(frozen=True)
class Fixed(Checked):
    """Judge every fixed policy on a backbone.

    :param seed: of the backbone
    :param run: folder to write
    """

    backbone: Path
    data: Data = field(default_factory=Data)
    order: Literal["site", "frame"] = "site"
    group_size: Units = 1
    seed: Seed = 0
    statistics: Literal["followed", "frozen"] = "followed"
    threads: Cores = 1
    device: Device = "auto"
    plugin: tuple[str, ...] = ()
    run: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the judgements are written."""
        return self.run or Path("runs/fixed")


@dataclass(frozen=True)
class Imported(Checked):
    """An agent that was trained elsewhere, by another program: nothing is known of its training.

    What is no option here is what a table says of such an agent where it stands beside trained ones.
    """

    backbone: Path
    data: Data = field(default_factory=Data)
    hidden: Units = 32
    hidden_quota: AtLeast1 | None = None
    gate_norm: Literal["layer", "batch"] = "layer"
    shared_gates: bool = False
    threads: Cores = 1
    device: Device = "auto"
    plugin: tuple[str, ...] = ()
    run: Path | None = None

    method: ClassVar[str] = "imported"
    order: ClassVar[Literal["site"]] = "site"
    group_size: ClassVar[int] = 1
    regime: ClassVar[Literal["frozen"]] = "frozen"
    reuse: ClassVar[bool] = True
    reward: ClassVar[Literal["log_prob"]] = "log_prob"
    cost_weight: ClassVar[float] = 1.0
    rollouts: ClassVar[int] = 0
    start: ClassVar[None] = None
    seed: ClassVar[int] = 0

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self.run or Path("runs/imported")


CONFIGS: dict[Kind, type[Pretrain | Train | Fixed | Imported]] = {
    Kind.PRETRAINED: Pretrain,
    Kind.TRAINED: Train,
    Kind.FIXED: Fixed,
    Kind.IMPORTED: Imported,
}
OF_MANIFEST = ("kind", "seconds")  # what stands there beside the options
TIMED = re.compile(r"-([\d.]+)seconds$")  # how folders of before 0.2.0 were named whose rollouts a time had settled


class _File:
    """The path of a file in a run's folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, run: None, owner: type) -> _File: ...
    @overload
    def __get__(self, run: Run, owner: type) -> Path: ...
    def __get__(self, run: Run | None, owner: type) -> Path | _File:
        return self if run is None else run.folder / self.name


class Run:
    """A run's folder, there or still to be written. TensorBoard's events lie in it beside these files."""

    manifest = _File("config.json")
    provenance = _File("provenance.json")
    backbone = _File("backbone.pt")  # that was pretrained, or imported, or that an agent has changed
    last_backbone = _File("backbone-last.pt")  # as pretraining ended; backbone.pt is as it was best on validation clips
    pretraining = _File("pretraining.pt")  # while it is not finished
    checkpoint = _File("checkpoint.pt")  # the last one
    best_checkpoint = _File("checkpoint-best.pt")  # at the highest reward on validation clips
    curve = _File("learning.json")
    result = _File("result.json")
    evaluation = _File("evaluation.json")
    clips = _File("clips.npz")
    validation = _File("validation.json")
    probes = _File("probes.json")
    probes_picture = _File("probes.png")
    predictions = _File("predictions.csv")
    overlays = _File("predictions")
    inspection = _File("inspect")

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    # -- what it is

    @property
    def exists(self) -> bool:
        """Has it begun?"""
        return self.manifest.is_file()

    @property
    def kind(self) -> Kind | None:
        """None of a folder in which another command keeps its configuration.

        :raises ValueError: no run there, or one of a kind that is younger than this program
        """
        content = self._manifest()
        if "kind" in content:
            try:
                return Kind(content["kind"])
            except ValueError:
                known = ", ".join(Kind)
                raise ValueError(
                    f"expected a run among {known} in {self}, got {content['kind']}: was it made by a later version?"
                ) from None
        if "method" in content:  # before 0.2.0
            return {"fixed": Kind.FIXED, "imported": Kind.IMPORTED}.get(content["method"], Kind.TRAINED)
        return Kind.PRETRAINED if "architecture" in content else None

    def options(self) -> dict[str, Any]:
        """The configuration as JSON, as it was written.

        :raises ValueError: no run there
        """
        content = self._manifest()
        facts = OF_MANIFEST if "kind" in content else ()
        return {name: value for name, value in content.items() if name not in facts}

    def config(self) -> Pretrain | Train | Fixed | Imported:
        """The configuration; its run is this folder, wherever it was written.

        :raises ValueError: no run there
        """
        kind = self.kind
        if kind is None:
            raise ValueError(f"expected a run in {self}, got the folder of another command: name a folder in it")
        names = {option.name for option in fields(CONFIGS[kind])}
        try:
            options = with_defaults(CONFIGS[kind], self.options())
            if kind in (Kind.FIXED, Kind.IMPORTED):  # with options that are none of theirs, see ``write_manifest``
                options = {name: value for name, value in options.items() if name in names}
            return replace(from_json(CONFIGS[kind], options), run=self.folder)
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError(
                f"expected the options of a run in {self.manifest}, got others ({str(error)[:120]}): it is damaged, or of a later "
                "version"
            ) from error

    def agent(self) -> Train | Imported:
        """The configuration of a run that has an agent.

        :raises ValueError: no run there, or one without
        """
        config = self.config()
        if isinstance(config, Train | Imported):
            return config
        found = "a pretrained backbone" if isinstance(config, Pretrain) else "judgements of fixed policies"
        raise ValueError(f"expected the run of an agent in {self}, got {found}: name another folder")

    @property
    def seconds(self) -> float | None:
        """The time of training that settled how many rollouts it plays; None where they were settled themselves."""
        content = self._manifest() if self.exists else {}
        if "kind" in content:
            return content.get("seconds")
        named = TIMED.search(self.folder.name)
        return float(named[1]) if named else None

    # -- how it begins

    def begin(self, config: Any, *, resume: bool = False, seconds: float | None = None, **hashes: str) -> None:
        """Create the folder with its manifest and where it comes from, or check that it can be taken up again.

        :param hashes: of the data, by a name for each
        :raises ValueError: the folder holds a run already (without resume), or none or another (with it)
        """
        if self.exists and not resume:
            raise ValueError(
                f"expected a new folder, {self} holds a run already: resume it, name another, or remove it"
            )
        if resume and not self.exists:
            raise ValueError(f"expected a run to resume in {self}, found no {self.manifest.name} there: check the path")
        self.check_same(config)
        if not self.exists:
            self.write_manifest(config, seconds=seconds)
        write_json(self.provenance, provenance(**hashes))

    def write_manifest(self, config: Any, *, seconds: float | None = None) -> None:
        """Write kind and options; of what is no run, such as a comparison of tunings, the options alone.

        Runs that were not trained were written as trainings, of a method of that name, before 0.2.0: what reads such
        folders finds all that it knows.

        :param seconds: as ``seconds`` gives them
        """
        content = to_json(config)
        kind = _kind_of(config)
        if kind in (Kind.FIXED, Kind.IMPORTED):
            content = {**to_json(Train()), **content, "method": str(kind)}
        facts: dict[str, Any] = {} if kind is None else {"kind": str(kind)}
        if seconds is not None:
            facts["seconds"] = seconds
        write_json(self.manifest, {**facts, **content})

    def check_same(self, wanted: Any) -> None:
        """Is what the folder holds, if anything, the run that is wanted?

        Threads, workers and executors, which change no result, may differ; an option that is younger than the run had its default.

        :raises ValueError: it is another, which must not pass for the one wanted
        """
        if not self.exists:
            return
        free = {"run", "resume", "threads", "workers", *(option.name for option in fields(Executed))}
        if isinstance(wanted, Fixed):
            free.add("plugin")  # which judge by what the backbone is; before 0.2.0 they were not written down

        def matters(options: dict[str, Any]) -> dict[str, Any]:
            kept = {name: value for name, value in options.items() if name not in free}
            return {name: matters(value) if isinstance(value, dict) else value for name, value in kept.items()}

        found = matters(with_defaults(type(wanted), self.options()))
        different = sorted(name for name, value in matters(to_json(wanted)).items() if found.get(name) != value)
        if self.kind is not _kind_of(wanted):
            different.insert(0, "kind")
        if different:
            raise ValueError(
                f"expected {self} to hold the same run, it differs in {', '.join(different)}: "
                "name another folder with --run, or remove that one"
            )

    def _manifest(self) -> dict[str, Any]:
        if not self.exists:
            name = self.manifest.name
            raise ValueError(
                f"expected a run's folder with a {name}, found none at {self}: check the path"
                f"{paths_nearby(self.folder, name)}"
            )
        try:
            content = json.loads(self.manifest.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            reason = str(error)[:120]
            raise ValueError(
                f"expected JSON in {self.manifest}, got something else ({reason}): it is damaged"
            ) from error
        if not isinstance(content, dict):
            raise ValueError(f"expected an object in {self.manifest}, got a {type(content).__name__}: it is damaged")
        return content

    # -- what it has come to

    @property
    def finished(self) -> bool:
        """Is its training over?"""
        return self.result.exists()

    @property
    def judged(self) -> bool:
        """Is there a judgement of a comparison, with its arrays?"""
        return self.evaluation.is_file() and self.clips.is_file()

    @property
    def rollouts(self) -> int:
        """Rollouts that a finished run has played; 0 of an imported one, and of one that is not finished."""
        return self.read_result()["rollouts"] if self.finished else 0

    def read_result(self) -> dict[str, Any]:
        """What ``train`` leaves of a finished run; older ones call rollouts clips, and do not know their updates (None)."""
        found = {"updates": None, "clipped_updates": None, **json.loads(self.result.read_text())}
        return found if "rollouts" in found else {**found, "rollouts": found["clips"]}

    def read_curve(self) -> list[dict[str, float]]:
        """The learning curve on validation clips; empty where there is none yet."""
        return read_curve(self.curve) if self.curve.is_file() else []

    # -- how it is judged

    def judgement(self) -> Judgement:
        """What a comparison found."""
        return Judgement.from_json(json.loads(self.evaluation.read_text()), self._arrays())

    def judgements(self) -> dict[str, Judgement]:
        """The same of each fixed policy, by its name."""
        found, arrays = json.loads(self.evaluation.read_text()), self._arrays()
        own = {
            name: {key.removeprefix(f"{name}/"): part for key, part in arrays.items() if key.startswith(f"{name}/")}
            for name in found
        }
        return {name: Judgement.from_json(content, own[name]) for name, content in found.items()}

    def _arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.clips) as stored:
            return {name: stored[name] for name in stored.files}

    def write_judgement(self, judgement: Judgement) -> None:
        """Write the arrays, then the figures: where the latter are, both are whole."""
        self._write_judged(judgement.to_json(), judgement.arrays)

    def write_judgements(self, judgements: Mapping[str, Judgement]) -> None:
        """The same of fixed policies, by their names."""
        arrays = {f"{name}/{part}": values for name, one in judgements.items() for part, values in one.arrays.items()}
        self._write_judged({name: one.to_json() for name, one in judgements.items()}, arrays)

    def _write_judged(self, figures: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        write_arrays(self.clips, arrays)
        write_json(self.evaluation, figures)

    def evaluation_of(
        self,
        split: str = "test",
        selection: str = "greedy",
        *,
        recalibrated: bool = False,
        best: bool = False,
        views: int = 1,
    ) -> Path:
        """The file of what ``evaluate`` found, playing so."""
        words = [split]
        words += [selection] * (selection != "greedy") + ["recalibrated"] * recalibrated + ["best"] * best
        words += [f"{views}-views"] * (views > 1)
        return self.evaluation.with_stem("-".join([self.evaluation.stem, *words]))

    def confusion_of(self, judgement: Judgement) -> Path:
        """The picture of the confusion matrix, beside the file of what ``evaluate`` found."""
        file = self._evaluation_like(judgement)
        return file.with_name(file.name.replace(self.evaluation.stem, "confusion", 1)).with_suffix(".png")

    def write_evaluation(self, judgement: Judgement) -> None:
        """Write a judgement under one selection to the file of that way to play."""
        write_json(self._evaluation_like(judgement), judgement.to_json_alone())

    def read_evaluation(self, split: str = "test", selection: str = "greedy", **how: Any) -> Judgement:
        """What ``evaluate`` found; ``how`` as in ``evaluation_of``."""
        content = json.loads(self.evaluation_of(split, selection, **how).read_text())
        return Judgement.from_json({"split": split, **how, **content}, selection=selection)

    def is_first_test(self, judgement: Judgement) -> bool:
        """Is this of the greedy policy on test clips, and has nobody judged that before?"""
        test = self.evaluation_of()
        return self._evaluation_like(judgement) == test and not any(p.exists() for p in (test, self.evaluation))

    def _evaluation_like(self, judgement: Judgement) -> Path:
        return self.evaluation_of(
            judgement.split,
            judgement.selection,
            recalibrated=judgement.recalibrated,
            best=judgement.best,
            views=judgement.views,
        )


def _kind_of(config: Any) -> Kind | None:
    return next((kind for kind, of_kind in CONFIGS.items() if isinstance(config, of_kind)), None)


def runs_in(folder: Path) -> list[Run]:
    """The runs whose folders lie in a folder, by their names."""
    return [Run(path.parent) for path in sorted(Path(folder).glob(f"*/{Run.manifest.name}"))]
