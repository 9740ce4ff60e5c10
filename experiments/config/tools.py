"""Options of the commands that train nothing: ``describe``, ``check-data``, ``flips``, ``bench``, ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.config.ranges import AtLeast1, Batch, Checked, Cores, Frames, Pixels, Units, Within
from experiments.config.shared import Gates, JsonOutput, LayoutName, Plugins, Sources, shared_last


@shared_last
@dataclass(frozen=True)
class Describe(Gates, Plugins):
    """What a backbone and its gates cost: a table of its sites, totals, parameters. Computes nothing, needs no data."""

    architecture: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE")]
    """Name of the CNN: resnet50, ..., or one you registered; or a backbone.pt that `pretrain` wrote."""
    num_classes: Units | None = None
    """Classes; by default 174 as in Something-Something V1 and V2, or as many as the file has."""
    size: Pixels | None = None
    """Frames are size x size pixels; by default as the architecture is commonly run, or as the file says."""
    num_frames: Frames = 8
    """Frames T in a clip, for the totals."""
    sites: Annotated[tuple[str, ...], tyro.conf.arg(metavar="all|both|last_stage|NAME ...")] = ()
    """Where the agent decides, as in `pretrain`; by default all, or as the file says."""
    history: Literal["raw", "fused"] | None = None
    """What reuse reads, as in `pretrain`; by default raw, or as the file says."""
    temporal: Annotated[str | None, tyro.conf.arg(metavar="tsn|tsm|tsm-stream|tsm-adafuse|NAME")] = None
    """Temporal shift, which costs nothing; by default tsn, or as the file says."""
    consensus: Annotated[str | None, tyro.conf.arg(metavar="mean|lstm|NAME")] = None
    """From frames to a clip; by default mean, or as the file says."""
    lstm_hidden: Units | None = None
    """Units of that LSTM; by default 512, or as the file says."""
    json: bool = False
    """Print JSON in place of the tables: every count a whole number, MACs per frame."""


@shared_last
@dataclass(frozen=True)
class CheckData(Sources, Plugins, JsonOutput):
    """Look at every clip of a data set and report what is wrong with it; the exit code is 0 only if nothing is."""

    root: Annotated[Path, tyro.conf.Positional]
    """Folder of videos."""
    num_frames: Frames = 8
    """Frames T in a clip: shorter videos are reported."""
    workers: Cores = 0
    """Processes that decode; 0 takes all cores."""
    near: Annotated[int, Within(-1, 16)] = 8
    """Bits of 64 by which frames of two clips may differ, in two perceptual hashes, and still look alike: splits should not
    share such clips; -1 compares none."""


@shared_last
@dataclass(frozen=True)
class Flips(LayoutName, Plugins, JsonOutput):
    """List the labels that a horizontal flip exchanges, and the classes whose videos cannot be flipped."""

    source: Annotated[Path, tyro.conf.Positional]
    """Folder of videos, or a text file with the name of a class on each line."""


@dataclass(frozen=True)
class Bench(Checked):
    """Measure speeds as ratios, side by side in one process, with medians of interleaved pairs."""

    parts: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="environment|rollouts|episodes|cnn|cpu-ops|data|dataset|sparse|fuzz ..."),
    ] = ()
    """What to measure; by default all but sparse, a stream's time against the fastest dense engine that is installed (minutes
    each), and fuzz, which decodes damaged files. The CNN's part takes minutes."""
    clips: Batch = 32
    """Clips in a batch of the environment's part."""
    size: Pixels = 224
    """Pixels of the frames of the CNN's part and of sparse."""
    architectures: tuple[str, ...] = ("resnet50", "resnet18", "mobilenet_v2")
    """CNNs of sparse."""
    groups: tuple[Units, ...] = (16, 1)
    """Channels in a group, of sparse."""
    runs: tuple[Path, ...] = ()
    """Folders of training runs whose agents sparse plays at their own decisions."""
    threads: Cores = 1
    """CPU threads of sparse; 0 takes all cores. The others take one."""
    files: AtLeast1 = 2000
    """Damaged files of fuzz."""
    videos: AtLeast1 = 400
    """Videos of dataset, written in the layout of Something-Something V2; those beyond 400 are hard links to the 400."""
    repeats: AtLeast1 = 21
    """Interleaved pairs; a third of them where a pair takes seconds."""
    json: Path | None = None
    """File to write the figures to."""


@dataclass(frozen=True)
class Doctor(JsonOutput):
    """Look whether all is there: versions, devices, disk, codecs, data; the exit code is 0 only if nothing is missing."""
