"""The results of a comparison: all that its report is made of, gathered from finished runs and kept in two small files.

results.json has the facts, the runs and their learning curves; results.npz what each run did with each test clip: right
or wrong as bits, costs as whole numbers of COST_QUANTUM. No report reads anything else, so that tables and pictures can
be made again, or questioned, without training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbone.common.files import write_arrays, write_whole
from envs.clips import ClipSource
from experiments.analysis.confusion import MANY, Confusion
from experiments.analysis.statistics import Cluster
from experiments.config import Train
from experiments.judgement import PER_CLIP, Judgement, cluster_of, is_paired
from experiments.run import Fixed, Imported, Run

FIGURES, ARRAYS = "results.json", "results.npz"  # in the folder of a comparison
JOINT = "-joint"  # ends the name of a row whose CNN learns too
COST_QUANTUM = 1e-4  # of dense; a clip's cost is off by half of it at most, a mean of many clips by far less
SETTINGS = ("learning_rate", "warmup", "num_clips", "rollouts_per_clip", "n_epochs", "batch_size")  # of a run
MEASURED = ("rollouts", "clips_drawn", "updates", "clipped_updates", "seconds")  # of its training


class Arm(NamedTuple):
    """Runs at an equal budget, and what it is: "12,000 rollouts each", "15 seconds each".

    :param seconds: of training that settled their rollouts, if they did
    """

    title: str
    jobs: Sequence[Train]
    seconds: float | None = None


def row_method(job: Train | Imported) -> str:
    """The name of a run's row: its method, and that of the CNN's regime where it learns too."""
    return job.method if job.regime == "frozen" else f"{job.method}{JOINT}"


@dataclass(frozen=True)
class JudgedClips:
    """What a report knows of the N clips that were judged on.

    :param labels: (N,)
    :param reversed_class: for each class that of its videos played backwards, or None
    :param cluster: consecutive clips that are drawn together (2: a clip and its reversal)
    :param floor: accuracy that needs no look at the clip, or none at time, a share; hypervolume counts from there
    :param groups: (N,) which clips are of one source and drawn together, as numbers; None where that is not known
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    reversed_class: tuple[int | None, ...] | None
    cluster: int
    floor: float
    skipped: int
    groups: np.ndarray | None = None

    @property
    def together(self) -> Cluster:
        """The clips that are drawn together."""
        return self.cluster if self.groups is None else self.groups

    def __len__(self) -> int:
        return len(self.labels)

    def by_class(self) -> dict[str, np.ndarray]:
        """Each class that has clips by name -> (N,), whether a clip is of it."""
        found = {name: self.labels == label for label, name in enumerate(self.classes)}
        return {name: of_class for name, of_class in found.items() if of_class.any()}

    def pairs(self) -> dict[str, np.ndarray]:
        """Each pair of mutually reversed classes by name -> (N,), whether a clip is of it."""
        found = {}
        for label, partner in enumerate(self.reversed_class or ()):
            if partner is None or label >= partner:
                continue
            of_pair = np.isin(self.labels, (label, partner))
            if of_pair.any():
                found[f"{self.classes[label]} / {self.classes[partner]}"] = of_pair
        return found


@dataclass(frozen=True)
class ComparedRun:
    """A run that was trained and judged, or a fixed policy that was judged.

    :param arm: what it shares with the runs that it is compared with, "24,000 rollouts each"; of fixed policies ""
    :param method: of its row; of fixed policies their name
    :param training: how it was trained: SETTINGS and MEASURED, as far as they are known
    :param curve: on validation clips
    :param clips: name in clips.npz -> (N,): booleans, or costs
    :param confusion: what the greedy policy took clips of each class for; empty where classes are many, or it is not known
    """

    arm: str
    method: str
    group_size: int
    cost_weight: float
    reward: str
    seed: int
    training: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    clips: dict[str, np.ndarray] = field(default_factory=dict)
    confusion: Confusion = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Everything that a report needs.

    :param facts: configuration, provenance, seconds, rates
    """

    runs: list[ComparedRun]
    fixed: list[ComparedRun]
    test: JudgedClips
    facts: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write results.npz, then results.json: where the latter is, both are whole."""
        everything = [*self.runs, *self.fixed]
        arrays = {"labels": self.test.labels.astype(np.uint16), **pack([run.clips for run in everything])}
        test = {**asdict(self.test), "labels": len(self.test)}
        if test.pop("groups") is not None:
            arrays["groups"] = np.asarray(self.test.groups, np.uint32)
        write_arrays(Path(folder) / ARRAYS, arrays)
        content = {
            "cost_quantum": COST_QUANTUM,
            "test": test,
            "runs": [_described(run) for run in self.runs],
            "fixed": [_described(run) for run in self.fixed],
            "facts": self.facts,
        }
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
        write_whole(Path(folder) / FIGURES, lambda file: file.write(text.encode()))


def load_results(folder: Path) -> Results:
    """What ``Results.save`` wrote, costs rounded to their quantum."""
    content = json.loads((Path(folder) / FIGURES).read_text(encoding="utf-8"))
    with np.load(Path(folder) / ARRAYS) as stored:
        arrays = {name: stored[name] for name in stored.files}
    test = dict(
        content["test"], labels=arrays.pop("labels").astype(np.int64), classes=tuple(content["test"]["classes"])
    )
    test["reversed_class"] = test["reversed_class"] and tuple(test["reversed_class"])
    test["groups"] = arrays.pop("groups", None)
    everything = [*content["runs"], *content["fixed"]]
    unpacked = unpack(arrays, [run["clips"] for run in everything], len(test["labels"]))
    found = [ComparedRun(**{**run, "clips": clips}) for run, clips in zip(everything, unpacked)]
    runs, fixed = found[: len(content["runs"])], found[len(content["runs"]) :]
    return Results(runs, fixed, JudgedClips(**test), content["facts"])


def _described(run: ComparedRun) -> dict[str, Any]:
    known = {name: value for name, value in vars(run).items() if name != "confusion" or value}
    return {**known, "clips": list(run.clips)}


def pack(runs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """(N,) booleans and costs of each run by name, of which some may lack some -> small arrays for ``np.savez_compressed``."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: _pack(np.stack([run[name] for run in runs if name in run])) for name in names}


def unpack(arrays: Mapping[str, np.ndarray], names: Sequence[Sequence[str]], clips: int) -> list[dict[str, np.ndarray]]:
    """What ``pack`` was given, costs rounded to their quantum.

    :param names: of each run's arrays
    :param clips: N
    """
    unpacked = {name: iter(_unpack(packed, clips)) for name, packed in arrays.items()}
    return [{name: next(unpacked[name]) for name in own} for own in names]


def _pack(values: np.ndarray) -> np.ndarray:
    """(M, N) booleans as bits, (M, N / 8); costs as high and low bytes apart, (2, M, N), which deflate makes smaller."""
    if values.dtype == bool:
        return np.packbits(values, axis=-1)
    whole = np.round(np.asarray(values, np.float64) / COST_QUANTUM)
    if whole.min() < 0 or whole.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"expected costs from 0 to 6.5 of dense, got {values.min():.3f} to {values.max():.3f}")
    return np.stack(np.divmod(whole.astype(np.uint16), 256)).astype(np.uint8)


def _unpack(packed: np.ndarray, clips: int) -> np.ndarray:
    if packed.ndim == 2:
        return np.unpackbits(packed, axis=-1, count=clips).astype(bool)
    high, low = packed.astype(np.float64)
    return (256 * high + low) * COST_QUANTUM


def gather(arms: Sequence[Arm], fixed: Sequence[Fixed], test: ClipSource, facts: dict[str, Any]) -> Results:
    """Read what finished runs have left in their folders.

    :raises ValueError: one was judged on other clips
    """
    paired, together = is_paired(test), cluster_of(test)
    clips = JudgedClips(
        labels=np.asarray(test.labels),
        classes=tuple(test.classes),
        reversed_class=test.reversed_class and tuple(test.reversed_class),
        cluster=2 if paired else 1,
        floor=0.5 if paired else float(np.bincount(test.labels).max() / len(test)),
        skipped=len(test.skipped),
        groups=None if isinstance(together, int) else np.asarray(together),
    )
    runs = [_learned(arm.title, job) for arm in arms for job in arm.jobs]
    found = Results(runs, [run for job in fixed for run in _fixed(job)], clips, facts)
    for run in (*found.runs, *found.fixed):
        if len(run.clips["correct"]) != len(clips):
            raise ValueError(
                f"expected {run.method} to have been judged on the {len(clips)} clips of the test split, found "
                f"{len(run.clips['correct'])}: judge it again, or name the data that it was judged on"
            )
    return found


def _learned(arm: str, job: Train) -> ComparedRun:
    folder = Run(job.folder)
    result = folder.read_result()
    training = {name: getattr(job, name) for name in SETTINGS if getattr(job, name) is not None}
    training |= {name: result[name] for name in MEASURED if result.get(name) is not None}
    key = (arm, row_method(job), job.group_size, job.cost_weight, job.reward, job.seed)
    judgement = folder.judgement()
    return ComparedRun(*key, training, folder.read_curve(), _whole(judgement), _shown(judgement))


def _fixed(job: Fixed) -> list[ComparedRun]:
    """A run for each fixed policy; its seed is that of the backbone."""
    judged = Run(job.folder).judgements()
    return [
        ComparedRun("", name, job.group_size, 0.0, "", job.seed, clips=_whole(one), confusion=_shown(one))
        for name, one in judged.items()
    ]


def _shown(judgement: Judgement) -> Confusion:
    """The confusion matrix, where classes are few enough to be shown one by one."""
    return judgement.confusion if len(judgement.confusion) <= MANY else {}


def _whole(judgement: Judgement) -> dict[str, np.ndarray]:
    """PER_CLIP, as far as every clip has them: where only some have a reversal, no swap test is reported."""
    found = {name: values for name, values in judgement.arrays.items() if name in PER_CLIP}
    clips = max(map(len, found.values()))
    return {
        name: values.astype(float if name.endswith("macs_ratio") else bool)
        for name, values in found.items()
        if len(values) == clips
    }
